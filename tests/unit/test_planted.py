"""Planted in made worlds: what does not pay later is refused, what does is kept.

Two worlds of each kind; twenty, of which one may go wrong, with `ALMANAC_CHAOS=1`.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from batch.arrays import Bools, Floats
from batch.data.facts import Facts
from batch.features import asof
from batch.features.text import Texts
from batch.learn import trees
from batch.learn.choose_trees import TreeChoice, choose_trees
from batch.learn.factors import components, estimate
from batch.learn.factors.components import Components
from batch.learn.factors.estimate import Estimates
from batch.learn.factors.names import HOURS, NAMES
from tests.facts import BEGIN_S, DAY_S, TOPICS, facts_of

CHAOS = bool(os.environ.get("ALMANAC_CHAOS"))
SEEDS, MAY_FAIL = (range(20), 1) if CHAOS else (range(2), 0)
N_USERS, N_POSTS, DAYS, A_SESSION = 80, 60, 28, 12
REFUSABLE = ("taste", "taste_placed", "types", "post_lately")  # where posts differ in quality alone


def make_feed(seed: int, odds: Floats) -> Facts:
    """Show every user a session of random posts a day; `odds` float64 (users, posts) of a like."""
    rng = np.random.default_rng(seed)
    events = []
    for day in range(DAYS):
        for user in range(N_USERS):
            for place, post in enumerate(rng.choice(N_POSTS, A_SESSION, replace=False).tolist()):
                at_s = BEGIN_S + day * DAY_S + 9 * 3600 + place * 60
                events.append((user, post, at_s, 0, int(rng.random() < odds[user, post])))
    return facts_of(events, N_USERS, N_POSTS)


def make_choices(seed: int, odds: Floats) -> Facts:
    """Let every user take a third of the posts, all liked, at any time, those of greater odds more likely."""
    rng = np.random.default_rng(seed)
    events = [
        (user, post, BEGIN_S + int(rng.integers(DAYS * DAY_S)), 0, 1)
        for user in range(N_USERS)
        for post in rng.choice(N_POSTS, 20, replace=False, p=odds[user] / odds[user].sum()).tolist()
    ]
    return replace(facts_of(sorted(events, key=lambda event: event[2]), N_USERS, N_POSTS), shown="choices")


def no_taste(seed: int) -> Floats:
    """Return odds that are the posts' own, the same for everybody."""
    return np.tile(np.random.default_rng([seed, 1]).uniform(0.05, 0.35, N_POSTS), (N_USERS, 1))


def choose(facts: Facts, estimates: Estimates, column: Floats | None = None) -> TreeChoice:
    """Choose among trees on rows, whose first feature may be another column, float64 (events,)."""
    statics = asof.describe(facts, 1)
    shown = trees.gather_rows(facts, statics, estimates, 3600, 10**6, np.random.default_rng(1))
    if column is not None:
        shown.x[:, 0] = column[shown.event]
    parameters = trees.parameters_for(len(shown.y), 7, 1, 1)
    return choose_trees(facts, statics, estimates, shown, parameters, 48, 3600)


def fit(facts: Facts) -> Estimates:
    return estimate.fit(facts, asof.describe(facts, 1).texts, facts.as_of_s, 1)


@pytest.fixture(scope="module")
def worlds() -> list[tuple[Facts, Estimates]]:
    made = [make_feed(seed, no_taste(seed)) for seed in SEEDS]
    return [(facts, fit(facts)) for facts in made]


def held(facts: Facts, estimates: Estimates) -> Bools:
    return facts.time > estimates.past[-1].as_of_s


def chance(facts: Facts, _: Estimates) -> Floats:
    return np.random.default_rng(len(facts.time)).normal(size=len(facts.time))


def turning(facts: Facts, estimates: Estimates) -> Floats:
    """Tell what is liked, and from the last period on what is not."""
    sign = np.where(held(facts, estimates), -1, 1)
    return np.asarray(
        sign * (facts.target - 0.2) + np.random.default_rng(1).normal(size=len(sign)), np.float64
    )


def leaking(facts: Facts, estimates: Estimates) -> Floats:
    """Tell the likes of all periods but the last, as a feature made of the label would in training alone."""
    told = np.where(held(facts, estimates), 0, facts.target)
    return told + np.random.default_rng(1).normal(0, 0.3, len(told))


def test_parts_without_information_are_refused(worlds: list[tuple[Facts, Estimates]]) -> None:
    kept = [[name for name in REFUSABLE if found.weights[name] > 0] for _, found in worlds]

    assert sum(map(bool, kept)) <= MAY_FAIL, kept


@pytest.mark.parametrize(("make", "part"), [(make_feed, "types"), (make_choices, "taken_next")])
def test_a_part_of_noise_is_refused(
    make: Callable[[int, Floats], Facts], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, k = components.fit_components, NAMES.index(part)

    def fit_with_noise(past: Facts, texts: Texts, end_s: int, *others: Any) -> Components:
        found, rng = real(past, texts, end_s, *others), np.random.default_rng([len(past.time), end_s, 4])
        x, y = list(found.x), list(found.y)
        x[k], y[k] = (rng.normal(0, 0.3, (len(rows), 4)) for rows in (past.users, past.posts))
        return replace(found, x=tuple(x), y=tuple(y))

    monkeypatch.setattr(estimate, "fit_components", fit_with_noise)
    kept = [fit(make(seed, no_taste(seed))).weights[part] > 0 for seed in SEEDS]

    assert sum(kept) <= MAY_FAIL, kept


@pytest.mark.parametrize("fault", [chance, turning, leaking])
def test_trees_that_would_not_rank_later_likes_better_are_refused(
    worlds: list[tuple[Facts, Estimates]], fault: Callable[[Facts, Estimates], Floats]
) -> None:
    kept = [choose(facts, found, fault(facts, found)).share > 0 for facts, found in worlds]

    assert sum(kept) <= MAY_FAIL, kept


def test_trees_that_a_few_lists_praise_by_chance_are_refused() -> None:
    kept = []
    for seed in SEEDS:
        facts = make_choices(seed, no_taste(seed))
        kept.append(choose(facts, fit(facts)).share > 0)

    assert sum(kept) <= MAY_FAIL, kept


def test_trees_do_not_learn_which_posts_somebody_will_take_first() -> None:
    """Nobody says when a post came, so that it is there is known from its likes alone."""
    a_day, seen = 3, []
    for seed in SEEDS:
        rng = np.random.default_rng([seed, 6])
        events = [
            (user, day * a_day + int(rng.integers(a_day)), BEGIN_S + day * DAY_S + user * 60, 0, 1)
            for day in range(DAYS)
            for user in range(N_USERS)
        ]
        facts = replace(facts_of(events, N_USERS, a_day * DAYS), shown="choices")
        statics, found = asof.describe(facts, 1), fit(facts)
        rows = trees.gather_rows(facts, statics, found, 3600, 10**6, np.random.default_rng(1))
        seen.append(
            np.isnan(rows.x[rows.y == 1, [one.name for one in statics.features].index("post_days_shown")])
        )

    assert all(len(of) for of in seen)
    assert not np.concatenate(seen).any()


def test_trees_are_kept_where_only_they_see_what_goes_together() -> None:
    kept = []
    for seed in SEEDS:
        facts = make_feed(seed, np.full((N_USERS, N_POSTS), 0.2))
        match = (facts.user + facts.post) % 2
        likes = np.random.default_rng([seed, 2]).random(len(match)) < np.where(match, 0.27, 0.13)
        facts = replace(facts, target=likes.astype(np.int8))
        chosen = choose(facts, fit(facts), match.astype(np.float64))
        kept.append(chosen.share > 0)
        assert len(chosen.compared.get("almanac", "")) <= 1, "the last period is clear, so no other is asked"

    assert sum(kept) >= len(kept) - MAY_FAIL, kept


def test_what_is_liked_of_late_alone_is_published_as_recency() -> None:
    kept = []
    for seed in SEEDS:
        facts, rng = make_feed(seed, np.full((N_USERS, N_POSTS), 0.2)), np.random.default_rng([seed, 5])
        famous = rng.random((DAYS // 4, N_POSTS)) < 0.25  # for four days each
        now = famous[(facts.time - BEGIN_S) // DAY_S // 4, facts.post]
        likes = rng.random(len(now)) < np.where(now, 0.5, 0.1)
        kept.append(fit(replace(facts, target=likes.astype(np.int8))).weights["post_lately"] > 0)

    assert sum(kept) >= len(kept) - MAY_FAIL, kept


def test_what_is_published_is_not_far_behind_neighbours_alone() -> None:
    kept, published = [], 0
    for seed in SEEDS:
        same = np.arange(N_USERS)[:, None] % 5 == np.arange(N_POSTS) % 5
        found = fit(make_choices(seed, np.where(same, 8.0, 1.0)))
        lead = np.mean(found.compared["liked_near"]) - np.mean(found.compared["estimate"])
        kept.append(lead < 0.05)  # three standard errors are about .04
        published += found.weights["liked_near"] > 0

    assert sum(kept) >= len(kept) - MAY_FAIL, kept
    assert published >= 0.8 * len(kept)


def test_tastes_of_types_are_kept() -> None:
    kept = []
    for seed in SEEDS:
        same = np.arange(N_USERS)[:, None] % 3 == np.arange(N_POSTS) % 3
        found = fit(make_feed(seed, np.where(same, 0.4, 0.15)))
        kept.append(sum(found.weights[name] for name in ("taste", "taste_placed", "types")) > 0.3)

    assert sum(kept) >= len(kept) - MAY_FAIL, kept


def make_hours(seed: int, strength: float) -> Facts:
    """Show every user a session a day at any hour; what is liked of a topic goes up and down with it."""
    facts, rng = make_feed(seed, no_taste(seed)), np.random.default_rng([seed, 3])
    at = rng.integers(24, size=(N_USERS, DAYS))[facts.user, (facts.time - BEGIN_S) // DAY_S]
    time = facts.time + (at - 9) * 3600
    wave = np.cos(2 * np.pi * (at - 8 * (facts.post % len(TOPICS))) / 24)
    likes = rng.random(len(time)) < no_taste(seed)[facts.user, facts.post] + strength * (1 + wave)
    order = np.lexsort((facts.user, time))
    return replace(facts, time=time, target=likes.astype(np.int8)).select(order)


@pytest.mark.parametrize("strength", [0.06, 0.0])
def test_hours_of_topics_are_kept_where_they_tell_and_none_are_made(strength: float) -> None:
    kept = [fit(make_hours(seed, strength)).weights[HOURS] > 0 for seed in SEEDS]

    assert abs(sum(kept) - len(kept) * (strength > 0)) <= MAY_FAIL, kept
