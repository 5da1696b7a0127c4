"""Columns as people's tables have them: any name, lists, infinities, embeddings of every form."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from batch.data.facts import Facts
from batch.data.seen import SeenPosts
from batch.features import asof
from batch.learn import loader
from batch.learn.recipe import Recipe
from batch.learn.train import train
from batch.publish.gate.stats import columns
from batch.score.engine import score
from batch.score.predict import score_by_predict
from tests.facts import even_likes_even

RECIPE = Recipe(30, 10**6, 3600, n_trees=5, n_leaves=7, seed=1, threads=1)
STRANGE = [
    "возраст, лет", "tags[0]", "a:b", 'the "q"', "os type", "os_type", "line\nbreak", "tab\there",
    "{x}", "🙂", "", " ", "Column_1", "position", "knn", "topic", "hour", "user_lift", "user_data.topic",
]  # fmt: skip


def facts_with(names: list[str]) -> Facts:
    """Give a world in which even users like even posts, and every profile column tells who is even."""
    facts = even_likes_even(n_users=40, days=14)
    numbers = pd.DataFrame({name: (facts.users.index + at) % 2 for at, name in enumerate(names)})
    return replace(facts, users=pd.concat([facts.users[["user_id"]], numbers], axis=1))


def test_a_profile_column_of_any_name_is_learned_from_scored_by_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IS_LMS", raising=False)
    facts = facts_with(STRANGE)
    statics = asof.describe(facts, seed=1)
    found = train(facts, statics, facts.as_of_s, RECIPE)
    model = found.model

    names = [feature.name for feature in model.features]
    shown = [f"user_data.{name}" if name in ("hour", "user_lift") else name for name in STRANGE]
    shown[STRANGE.index("topic")] = "user_data.user_data.topic"  # another column is user_data.topic
    assert names[: len(STRANGE)] == shown
    assert len(set(names)) == len(names)
    held = {"os_type", "position", "knn", *(name for name in shown if name.startswith("user_data."))}
    inside = [name if name in held else f"Column_{at}" for at, name in enumerate(shown)]
    assert model.booster().feature_name() == [*inside, *names[len(STRANGE) :]]

    counts = asof.start_tally(facts, statics).advance(facts.as_of_s)
    sides = asof.make_sides(facts, statics, counts, np.array([facts.as_of_s // 3600 * 3600]))
    assert set(columns(sides, np.arange(40))) == set(names)
    everyone, dense = SeenPosts.none(40), model.factors.dense
    (block,) = score(model.text, sides, everyone, 5, dense=dense)
    (exact,) = score_by_predict(model.booster(), sides, everyone, 5, dense=dense)
    np.testing.assert_array_equal(block.posts, exact.posts)

    loaded = loader.load_models(model.save(tmp_path))
    by_name = pd.DataFrame(found.rows.x, columns=names)[names[::-1]]
    np.testing.assert_array_equal(loaded.predict_proba(by_name), loaded.predict_proba(found.rows.x))


def test_a_models_text_holds_ordinary_names_as_they_are() -> None:
    facts = facts_with(["age", "os_type", "exp.group-2", "город"])
    statics = asof.describe(facts, seed=1)

    model = train(facts, statics, facts.as_of_s, RECIPE).model

    assert model.booster().feature_name() == [feature.name for feature in model.features]
    assert [feature.name for feature in model.features][:4] == ["age", "os_type", "exp.group-2", "город"]
