"""What the posts say: sentences whose nouns carry topic and cluster, and whose adjectives the text factors.

A sentence is a template with places for words. A noun is one of the topic's or of the cluster's; an adjective
belongs to one end of one factor, and is taken the more often the further the post lies towards that end. Long
texts thus tell much of a post's factors and short ones little, as in the original: covid posts have 20 words,
politics 400.
"""

import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batch.data.ragged import starts
from batch.simulate.config import WorldConfig
from batch.simulate.posts import N_CLUSTERS, N_FACTORS, TOPIC_NAMES, TOPICS, Catalogue

Ints = npt.NDArray[np.int64]

_CLUSTER_SHARE = 0.27  # of a text's nouns
_LENGTH_SD = 0.4  # of the log of a text's length; covid posts are cut at 140 characters and hardly differ
_SKEW = 1.3  # a list's first words are used most
_MARKS = ",:.?"
_FORMS = ("{}", *("{}" + mark for mark in _MARKS))  # of a word as it is, then of the word capitalised
_FIXED, _VERB, _NOUN, _ADJECTIVE = range(4)  # kinds of places; at a fixed one the template says the word
_KINDS = {"VERB": _VERB, "NOUN": _NOUN, "ADJ": _ADJECTIVE}

# Lists of words, in this order: fixed ones, verbs, nouns a topic, nouns a cluster, adjectives a factor's end.
_TOPIC_LIST = 2
_CLUSTER_LIST = _TOPIC_LIST + len(TOPICS)
_END_LIST = _CLUSTER_LIST + N_CLUSTERS


@dataclass(frozen=True, slots=True)
class Language:
    """All words and the places of all templates; the same in every world.

    Attributes:
        spelled: str (forms × words,). Every word in its first form, then every word in its second, and so on.
        list_start: int64 (lists + 1,). Where each list of words begins.
        template_start: int64 (templates + 1,). Where the places of each template begin.
        kind: int64 (places,).
        word: int64 (places,). Number of the word at a fixed place; 0 elsewhere.
        form: int64 (places,).
    """

    spelled: npt.NDArray[np.object_]
    list_start: Ints
    template_start: Ints
    kind: Ints
    word: Ints
    form: Ints


def post_table(config: WorldConfig, posts: Catalogue) -> pa.Table:
    """Return `post_text_df`: post_id ascending, text, topic."""
    text, topic = (
        pa.array(_write_texts(config.rng("texts"), posts, config.most_words)),
        pa.array(TOPIC_NAMES).take(posts.topic),
    )
    return pa.table({"post_id": posts.post_ids, "text": text, "topic": topic})


def read_language() -> Language:
    """Read the words and templates that lie beside this module."""
    read = tomllib.loads((Path(__file__).parent / "words.toml").read_text(encoding="utf-8"))
    tokens = [token for template in read["templates"] for token in template.split()]
    bare = [token.rstrip(_MARKS) for token in tokens]
    fixed = sorted({word for word in bare if word not in _KINDS})
    topics = [read["topics"][name] for name in TOPIC_NAMES]
    subjects = [subject for topic in topics for subject in topic["subjects"]]
    texts = [" ".join(fixed), read["verbs"], *(topic["words"] for topic in topics), *subjects, *read["tones"]]
    lists = [text.split() for text in texts]
    plain = [word for one in lists for word in one]
    cases = plain, [word.capitalize() for word in plain]
    template_start = starts([len(template.split()) for template in read["templates"]])
    form_of_place = np.array([_FORMS.index("{}" + token[len(token.rstrip(_MARKS)) :]) for token in tokens])
    form_of_place[template_start[:-1]] += len(_FORMS)  # a sentence's first word is capitalised
    return Language(
        spelled=np.array([form.format(word) for words in cases for form in _FORMS for word in words], object),
        list_start=starts([len(one) for one in lists]),
        template_start=template_start,
        kind=np.array([_KINDS.get(word, _FIXED) for word in bare]),
        word=np.array([0 if word in _KINDS else fixed.index(word) for word in bare]),
        form=form_of_place,
    )


def _write_texts(rng: np.random.Generator, posts: Catalogue, most_words: int) -> list[str]:
    language = read_language()
    template_sizes = np.diff(language.template_start)
    n_sentences = _draw_sentences(rng, posts.topic, float(template_sizes.mean()))
    if most_words:
        n_sentences = np.minimum(n_sentences, max(1, most_words // int(template_sizes.max())))
    template = rng.integers(0, len(template_sizes), n_sentences.sum())
    sizes = template_sizes[template]
    sentence_start = starts(sizes)
    place = np.arange(sentence_start[-1]) + np.repeat(
        language.template_start[template] - sentence_start[:-1], sizes
    )
    post = np.repeat(np.repeat(np.arange(len(n_sentences)), n_sentences), sizes)
    drawn = _draw_words(rng, posts, post, language.kind[place], language.list_start)
    words = np.where(language.kind[place] == _FIXED, language.word[place], drawn)
    spelled = language.spelled[words + language.form[place] * language.list_start[-1]].tolist()
    bounds = sentence_start[starts(n_sentences)].tolist()
    return [" ".join(spelled[begin:end]) for begin, end in pairwise(bounds)]


def _draw_sentences(rng: np.random.Generator, topic: Ints, words_a_sentence: float) -> Ints:
    """Return int64 (posts,): sentences a text, at least one; words are log-normal with the topic's mean."""
    mean = np.array([t.words for t in TOPICS.values()])[topic]
    sd = np.where(topic == TOPIC_NAMES.index("covid"), 0.1, _LENGTH_SD)
    words = mean * np.exp(sd * rng.standard_normal(len(topic)) - sd**2 / 2)
    return np.maximum(1, np.rint(words / words_a_sentence)).astype(np.int64)


def _draw_words(rng: np.random.Generator, posts: Catalogue, post: Ints, kind: Ints, list_start: Ints) -> Ints:
    """Return int64 (places,): the number of a word for every place, given the post and the kind of each."""
    of_cluster = rng.random(len(post)) < _CLUSTER_SHARE
    noun = np.where(of_cluster, _CLUSTER_LIST + posts.cluster[post], _TOPIC_LIST + posts.topic[post])
    which = np.select(
        [kind == _NOUN, kind == _ADJECTIVE], [noun, _END_LIST + _draw_ends(rng, posts, post)], _VERB
    )
    size = np.diff(list_start)[which]
    rank = (size * rng.random(len(post)) ** _SKEW).astype(np.int64)
    return np.asarray(list_start[which] + rank, np.int64)


def _draw_ends(rng: np.random.Generator, posts: Catalogue, post: Ints) -> Ints:
    """Return int64 (places,): one end of one factor, drawn with a chance like the factor's square."""
    shares = np.cumsum(posts.factors**2, axis=1)
    shares /= shares[:, -1:]
    drawn = rng.random(len(post))
    factor = np.zeros(len(post), np.int64)
    for column in range(N_FACTORS - 1):
        factor += drawn > shares[post, column]
    return 2 * factor + (posts.factors[post, factor] > 0)
