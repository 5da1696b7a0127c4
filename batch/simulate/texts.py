"""What the posts say: made-up words whose frequencies carry topic, cluster and text factors.

A word comes from one of four lists: everyone's, the topic's, the cluster's, or that of one end of one factor,
taken the more often the further the post lies towards that end. Long texts thus tell much of a post's
factors and short ones little, as in the original: covid posts have 20 words, politics 400.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batch.simulate.config import WorldConfig
from batch.simulate.posts import N_CLUSTERS, N_FACTORS, TOPIC_NAMES, TOPICS, Catalogue

Ints = npt.NDArray[np.int64]

_SHARES = (0.50, 0.25, 0.09, 0.16)  # of a text's words: common, topic, cluster, factor
_SIZES = (400, 150, 40, 30)  # words in one list of each kind
_LISTS = (1, len(TOPICS), N_CLUSTERS, 2 * N_FACTORS)
_OFFSETS = np.cumsum([0, *(size * n for size, n in zip(_SIZES, _LISTS, strict=True))])
_LENGTH_SD = 0.4  # of the log of a text's length; covid posts are cut at 140 characters and hardly differ
_SENTENCE = 13  # words
_ONSETS = (*"bcdfghklmnprstv", "st", "br", "tr", "pl", "gr")
_NUCLEI = (*"aeiou", "ea", "ou")
_CODAS = ("", "n", "r", "s", "l", "t")
_PLAIN, _FIRST, _LAST = 0, 1, 2  # a word as it is, at a sentence's beginning, at its end


def post_table(config: WorldConfig, posts: Catalogue) -> pa.Table:
    """Return `post_text_df`: post_id ascending, text, topic."""
    names = pa.array(TOPIC_NAMES)
    return pa.table(
        {"post_id": posts.post_ids, "text": pa.array(_texts(config, posts)), "topic": names.take(posts.topic)}
    )


def _texts(config: WorldConfig, posts: Catalogue) -> list[str]:
    rng = config.rng("texts")
    lengths = _lengths(rng, posts.topic)
    post = np.repeat(np.arange(len(lengths)), lengths)
    words = _words(rng, posts, post)
    ends = np.cumsum(lengths)
    place = np.arange(len(words)) - (ends - lengths)[post]
    forms = np.full(len(words), _PLAIN)
    forms[place % _SENTENCE == 0] = _FIRST
    forms[(place % _SENTENCE == _SENTENCE - 1) | (place == lengths[post] - 1)] = _LAST
    spelled = _vocabulary()[words + forms * _OFFSETS[-1]].tolist()
    return [" ".join(spelled[end - n : end]) for n, end in zip(lengths.tolist(), ends.tolist(), strict=True)]


def _lengths(rng: np.random.Generator, topic: Ints) -> Ints:
    """Return words a text, at least 5: log-normal with the topic's mean."""
    mean = np.array([t.words for t in TOPICS.values()])[topic]
    sd = np.where(topic == TOPIC_NAMES.index("covid"), 0.1, _LENGTH_SD)
    words = mean * np.exp(sd * rng.standard_normal(len(topic)) - sd**2 / 2)
    return np.asarray(np.maximum(5, words), np.int64)


def _words(rng: np.random.Generator, posts: Catalogue, post: Ints) -> Ints:
    """Return the number in the vocabulary of each word, for the post each word is in."""
    kind = np.searchsorted(np.cumsum(_SHARES[:-1]), rng.random(len(post)), side="right")
    which = np.stack([np.zeros_like(post), posts.topic[post], posts.cluster[post], _ends(rng, posts, post)])
    chosen = which[kind, np.arange(len(post))]
    size = np.array(_SIZES)[kind]
    rank = (size * rng.random(len(post)) ** 2).astype(np.int64)  # a list's first words are used most
    return np.asarray(_OFFSETS[kind] + chosen * size + rank, np.int64)


def _ends(rng: np.random.Generator, posts: Catalogue, post: Ints) -> Ints:
    """Return for each word one end of one factor, drawn with a chance like the factor's square."""
    shares = np.cumsum(posts.factors**2, axis=1)
    shares /= shares[:, -1:]
    drawn = rng.random(len(post))
    factor = np.zeros(len(post), np.int64)
    for column in range(N_FACTORS - 1):
        factor += drawn > shares[post, column]
    return 2 * factor + (posts.factors[post, factor] > 0)


def _vocabulary() -> npt.NDArray[np.object_]:
    """Return the words, three times: plain, capitalised, with a full stop. The same in every world."""
    syllables = [onset + nucleus for onset in _ONSETS for nucleus in _NUCLEI]
    rng = np.random.default_rng(2021)
    words: dict[str, None] = {}
    while len(words) < _OFFSETS[-1]:
        least, most = (1, 2) if len(words) < _OFFSETS[1] else (2, 3)  # everyone's words are short
        stem = "".join(syllables[i] for i in rng.integers(0, len(syllables), rng.integers(least, most + 1)))
        words[stem + _CODAS[rng.integers(0, len(_CODAS))]] = None
    plain = list(words)
    return np.array([*plain, *(w.capitalize() for w in plain), *(w + "." for w in plain)], object)
