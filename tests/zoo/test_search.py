"""Search through faiss: flat finds what exact products find, HNSW nearly all of it, both fill the list."""

import logging

import numpy as np
import pytest

from batch.learn.baselines import search
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.named import find_baseline
from batch.learn.baselines.recommender import top

pytest.importorskip("faiss", reason="`make test-zoo` brings faiss")
N_USERS, N_POSTS, N_FACTORS, K = 100, 3_000, 16, 10


def factors() -> tuple[np.ndarray, np.ndarray]:
    """Draw users' and posts' factors; posts differ much in length, as those of popular posts do."""
    rng = np.random.default_rng(2)
    lengths = rng.gamma(1.0, size=(N_POSTS, 1))
    return rng.normal(size=(N_USERS, N_FACTORS)), lengths * rng.normal(size=(N_POSTS, N_FACTORS))


def test_flat_finds_the_largest_products_in_order() -> None:
    x, y = factors()

    found = search.make_search(search.flat, y)(x, K)

    np.testing.assert_array_equal(found, top(x @ y.T, K))


def test_hnsw_finds_nearly_all_of_them_and_the_same_again() -> None:
    x, y = factors()
    exact = top(x @ y.T, K)

    found, again = (search.make_search(search.hnsw, y)(x, K) for _ in range(2))

    np.testing.assert_array_equal(found, again)
    assert np.mean([len(np.intersect1d(*pair)) for pair in zip(found, exact, strict=True)]) / K > 0.95


@pytest.mark.parametrize("name", ["als_flat", "als_hnsw"])
def test_lists_are_those_of_als_down_to_what_is_found_then_popular(
    interactions: Interactions, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(search, "N_FOUND", 5)
    caplog.set_level(logging.INFO)
    users, n_posts = np.array([2, 3]), len(interactions.facts.posts)
    als, own, popular = (find_baseline(one) for one in ("als", name, "popular"))
    assert als
    assert own
    assert popular

    found = own.fit(interactions).lists(users, n_posts)

    for row, user in enumerate(users.tolist()):
        n = 5 + int(interactions.likes()[users].sum(axis=1).max())
        np.testing.assert_array_equal(found[row, :n], als.fit(interactions).lists(users, n)[row])
        rest = popular.fit(interactions).lists(np.array([user]), n_posts)[0]
        np.testing.assert_array_equal(found[row, n:], rest[~np.isin(rest, found[row, :n])])
    (said,) = (record for record in caplog.records if record.msg == "search.measured")
    assert vars(said)["recall"] > 0.99
