"""No later fact enters what a model learns or sees, and a feature that does know later facts is caught."""

from dataclasses import replace

import numpy as np
import pytest

from batch.data.facts import Facts
from batch.evaluate.nightly import measure_run
from batch.features import asof
from batch.features.asof import Statics
from batch.features.tally import Tally
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.learn.split import last_week
from batch.learn.train import train
from batch.publish.gate.thresholds import Thresholds
from tests.facts import BEGIN_S, DAY_S, even_likes_even, facts_of

RECIPE = Recipe(train_days=30, train_rows=10**6, width_s=3600, n_trees=20, n_leaves=7, seed=1, threads=1)
AS_OF_S = BEGIN_S + 14 * DAY_S
STARTS = np.array([AS_OF_S + 3600], np.int64)


class Leaky(Tally):
    """Counts every fact there is, whatever time was asked for."""

    def advance(self, to_s: int) -> Tally:
        """Count to the end."""
        return super().advance(max(to_s, self.at_s, int(self._facts.time[-1])))


def leaky(facts: Facts, statics: Statics) -> Tally:
    return Leaky(facts, statics.texts.cluster, len(statics.texts.topic_of_cluster))


def news(seed: int = 2, n_users: int = 60, a_day: int = 15, days: int = 21) -> Facts:
    """Make a world of news: every day has posts of its own, some liked more, which nobody can know before.

    Users like topics to differing degrees as well.
    """
    rng = np.random.default_rng(seed)
    rate, taste = 0.2 * rng.gamma(2.0, 0.5, days * a_day), rng.gamma(2.0, 0.5, (n_users, 3))
    events = []
    for day in range(days):
        for user in range(n_users):
            for place, post in enumerate(day * a_day + rng.choice(a_day, 12, replace=False)):
                liked = int(rng.random() < rate[post] * taste[user, post % 3])
                events.append((user, int(post), BEGIN_S + day * DAY_S + 9 * 3600 + place * 60, 0, liked))
    return facts_of(events, n_users, days * a_day)


def model_of(facts: Facts) -> Ranker:
    statics = asof.describe(facts, RECIPE.seed)
    return train(facts, statics, AS_OF_S, RECIPE).model


def changed_features(facts: Facts) -> list[str]:
    """Return the sides that differ when the facts after `AS_OF_S` are turned round."""
    later = facts.time > AS_OF_S
    turned = replace(facts, target=np.where(later, 1 - facts.target, facts.target).astype(np.int8))
    statics = asof.describe(facts, RECIPE.seed)
    one, other = (
        asof.make_sides(some, statics, asof.start_tally(some, statics).advance(AS_OF_S), STARTS)
        for some in (facts, turned)
    )
    return [
        name
        for name in ("user", "post", "time", "user_group")
        if not np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
    ]


def evaluate_last_week(facts: Facts) -> dict[str, float]:
    split = last_week(facts)
    assert split is not None
    return measure_run(facts, asof.describe(facts, RECIPE.seed), split, replace(RECIPE, n_trees=30))


def test_later_facts_change_nothing_of_a_model() -> None:
    facts = news(n_users=24)

    with_later, without = model_of(facts), model_of(facts.until(AS_OF_S))

    assert with_later.fingerprint == without.fingerprint
    assert with_later.metrics == without.metrics


def test_later_facts_change_no_feature_and_a_planted_one_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = news(n_users=24)
    assert changed_features(facts) == []

    monkeypatch.setattr(asof, "start_tally", leaky)

    assert changed_features(facts) == ["user", "post", "user_group"]


def test_a_model_of_shuffled_likes_scores_at_chance_in_all_its_parts() -> None:
    facts = even_likes_even(n_users=60, n_posts=60, days=21)
    shown = facts.views
    facts.target[shown] = np.random.default_rng(5).permutation(facts.target[shown])

    found = evaluate_last_week(facts)

    for part in ("", "_estimate", "_trees_alone", "_position_fixed", "_popular"):
        assert 0.46 < found[f"auc_in_session{part}"] < 0.54, part


def test_a_feature_that_knows_the_future_is_too_good_for_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = news()
    honest = evaluate_last_week(facts)

    monkeypatch.setattr(asof, "start_tally", leaky)
    planted = evaluate_last_week(facts)

    assert planted["auc_in_session"] > honest["auc_in_session"] + Thresholds().too_good
