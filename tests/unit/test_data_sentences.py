"""Posts' texts are embedded by a static model of sentences: a real one of five words, by the real library."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from batch.data.facts import Facts
from batch.data.sentences import embed_texts
from batch.features import asof
from batch.features.text import Unplaceable, place
from tests.facts import even_likes_even

WORDS = ("[UNK]", "sport", "tech", "movie", "all")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a model in which `sport`, `tech` and `movie` point three ways and `all` nowhere."""
    model2vec = pytest.importorskip("model2vec", reason="the extra `text` brings it")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.zeros((len(WORDS), 3), np.float32)
    vectors[1:4] = np.eye(3)
    folder = tmp_path_factory.mktemp("model")
    model2vec.StaticModel(vectors, tokenizer, normalize=True).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def facts() -> Facts:
    return even_likes_even(n_users=4, n_posts=30, days=2)


def test_posts_get_what_their_words_point_to(model: str, facts: Facts) -> None:
    found = embed_texts(facts, model).embeddings

    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.eye(3)[np.arange(30) % 3], atol=1e-6)


def test_texts_are_then_described_by_the_model(model: str, facts: Facts) -> None:
    texts = asof.describe(embed_texts(facts, model), 1).texts

    assert texts.space.shape == (30, 3)
    assert texts.map.words == ()
    assert len(np.unique(np.round(texts.space, 4), axis=0)) == 3


def test_a_post_without_text_has_no_embedding(model: str, facts: Facts) -> None:
    posts = facts.posts.copy()
    posts.loc[4, "text"] = None
    posts.loc[5, "text"] = "  "

    found = embed_texts(replace(facts, posts=posts), model).embeddings

    assert found is not None
    assert np.flatnonzero(np.isnan(found).all(axis=1)).tolist() == [4, 5]


def test_a_further_post_is_placed_among_others_of_the_same_model_only(model: str, facts: Facts) -> None:
    known = embed_texts(facts, model)
    about = asof.describe(known, 1).texts
    assert known.embeddings is not None

    placed = place(facts.posts[:3], known.embeddings[:3], about.map)

    np.testing.assert_allclose(placed.space, about.space[:3], atol=1e-5)
    with pytest.raises(Unplaceable, match="texts are of 0 columns, those before them of 3"):
        place(facts.posts[:3], None, about.map)


def test_embeddings_that_the_data_bring_stay(facts: Facts) -> None:
    own = np.ones((30, 2), np.float32)

    assert embed_texts(replace(facts, embeddings=own), "anything").embeddings is own


def test_without_a_model_texts_stay_texts(facts: Facts) -> None:
    assert embed_texts(facts, "") is facts


def test_a_folder_without_a_model_is_refused(tmp_path: Path, facts: Facts) -> None:
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(
        ValueError, match=r"text model '.*' has no model.safetensors, tokenizer.json: give the"
    ):
        embed_texts(facts, str(tmp_path))
