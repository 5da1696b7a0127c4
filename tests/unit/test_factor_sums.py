"""Sums over impressions: what vectors and threads make of them is what plain arithmetic does."""

import numba
import numpy as np
import pytest

from batch.arrays import Floats, Ints32
from batch.data.facts import Facts
from batch.features import asof
from batch.learn.factors import biases, blocks, latent_classes, sums, sweeps, taste_factors
from batch.learn.factors.components import fit_components
from batch.learn.factors.impressions import gather
from batch.learn.factors.names import NAMES
from tests.facts import BEGIN_S, DAY_S, facts_of

START = np.array([0, 0, 130, 131, 300])


def _world() -> Facts:
    """Make a world where user rows differ in how often they like anything."""
    rng = np.random.default_rng(3)
    events = []
    for day in range(10):
        for user in range(30):
            for place, post in enumerate(rng.choice(45, 12, replace=False).tolist()):
                liked = int(rng.random() < 0.02 + 0.02 * user)
                events.append((user, post, BEGIN_S + day * DAY_S + 9 * 3600 + place * 60, 0, liked))
    return facts_of(events, 30, 45)


def _impressions() -> tuple[np.random.Generator, Ints32, Floats, Floats]:
    rng = np.random.default_rng(5)
    n = int(START[-1])
    return rng, rng.integers(0, 9, n).astype(np.int32), rng.random(n), rng.normal(size=n)


@pytest.mark.parametrize("k", [0, 1, 8, 13, 16, 25])
def test_precisions_are_those_of_plain_arithmetic_whatever_the_width(k: int) -> None:
    rng, post, hessian, gradient = _impressions()
    values = rng.normal(size=(9, k))

    square, product = sums.accumulate(START, post, hessian, gradient, values)

    for user in range(len(START) - 1):
        rows = slice(START[user], START[user + 1])
        seen = values[post[rows]]
        np.testing.assert_allclose(square[user], seen.T @ (hessian[rows, None] * seen), atol=1e-12)
        np.testing.assert_allclose(product[user], gradient[rows] @ seen, atol=1e-12)


@pytest.mark.parametrize("k", [0, 1, 8, 13])
def test_weighted_sums_are_those_of_plain_arithmetic_to_the_bit(k: int) -> None:
    rng, post, _, weight = _impressions()
    values = rng.normal(size=(9, k))

    found = sums.sum_values(START, post, weight, sums.lay_panels(values))

    wanted = np.zeros((len(START) - 1, k))
    for user in range(len(wanted)):
        for row in range(START[user], START[user + 1]):
            wanted[user] += weight[row] * values[post[row]]
    assert np.array_equal(found[:, :k], wanted)
    assert not found[:, k:].any()


def test_a_user_without_impressions_adds_up_to_nothing() -> None:
    rng, post, hessian, gradient = _impressions()

    square, product = sums.accumulate(START, post, hessian, gradient, rng.normal(size=(9, 3)))

    assert not square[0].any()
    assert not product[0].any()


def test_blocks_hold_each_user_once_and_no_more_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    _, post, weight, _ = _impressions()
    monkeypatch.setattr(sums, "ROWS_A_SUM", 50)  # of which `count_by_post` makes its parts

    assert blocks.split_users(START, 50) == [(0, 2), (2, 4)]
    assert blocks.split_users(START, 1_000) == [(0, 4)]
    expected = np.bincount(post, weight, 9).astype(np.float64)
    np.testing.assert_allclose(sums.sum_by_post(post, weight, 9), expected)
    np.testing.assert_array_equal(sums.count_by_post(post, 9), np.bincount(post, minlength=9))


def test_estimates_have_the_same_bits_however_many_threads_make_them(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = _world()
    statics = asof.describe(facts, 1)
    for module in (latent_classes, sweeps, taste_factors):
        monkeypatch.setattr(module, "ROWS_A_SUM", 1_000)
    monkeypatch.setattr(blocks, "ROWS_A_BLOCK", 300)
    most = numba.get_num_threads()

    found = []
    for threads in (1, most):
        numba.set_num_threads(threads)
        found.append(fit_components(facts, statics.texts, facts.as_of_s, 3, None))
    numba.set_num_threads(most)

    for one, other in zip(found[0].x + found[0].y, found[1].x + found[1].y, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_component_does_not_depend_on_which_others_are_wanted() -> None:
    facts = _world()
    statics = asof.describe(facts, 1)
    whole = fit_components(facts, statics.texts, facts.as_of_s, 3, None)

    part = fit_components(facts, statics.texts, facts.as_of_s, 3, None, ["taste_placed"])

    for name in ("post", "taste_placed"):
        k = NAMES.index(name)
        np.testing.assert_array_equal(part.x[k], whole.x[k])
        np.testing.assert_array_equal(part.y[k], whole.y[k])
    assert not part.x[NAMES.index("taste")].size
    assert part.classes is None


def test_biases_find_who_likes_more() -> None:
    shown = gather(_world())

    found = biases.fit_biases(shown, with_place=True)

    rate = shown.likes / np.maximum(shown.sizes, 1)
    assert np.corrcoef(found.user, rate)[0, 1] > 0.8
