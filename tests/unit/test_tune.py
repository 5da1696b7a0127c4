"""Tuning: the tests lie in the past, the usual values are tried first, a study goes on where it ended."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from batch.data.facts import Facts
from batch.evaluate import tune as tuning
from batch.evaluate.tune import find_knobs, find_tests, tune
from batch.features import asof
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.knobs import Knob, read_tuned, write_tuned
from batch.learn.baselines.model_name import model_name
from batch.learn.baselines.named import find_baseline
from batch.learn.baselines.neighbours import USERS
from batch.learn.recipe import KNOBS, OURS, Recipe
from batch.settings import Settings
from tests.facts import BEGIN_S, DAY_S, facts_of

pytest.importorskip("optuna", reason="the extra tune brings it")
N_USERS, N_POSTS = 60, 40
RECIPE = Recipe.of(Settings(n_trees=10, threads=1))
WHOLE, RATE = Knob("factors", 8, 2, 64), Knob("learning_rate", 0.05, 0.001, 1.0, whole=False)


@pytest.fixture(scope="module")
def facts() -> Facts:
    """Let users of four kinds take posts of their own kind, mostly."""
    rng, events = np.random.default_rng(1), list[tuple[int, int, int, int, int]]()
    for user in range(N_USERS):
        odds = np.where(np.arange(N_POSTS) % 4 == user % 4, 12.0, 1.0)
        taken = rng.choice(N_POSTS, 12, replace=False, p=odds / odds.sum()).tolist()
        events += [(user, post, BEGIN_S + int(rng.integers(20 * DAY_S)), 0, 1) for post in taken]
    return replace(facts_of(sorted(events, key=lambda one: one[2]), N_USERS, N_POSTS), shown="choices")


@pytest.fixture(scope="module")
def statics(facts: Facts) -> asof.Statics:
    return asof.describe(facts, 1)


def test_tests_follow_one_another_over_the_last_three_tenths(facts: Facts) -> None:
    splits = find_tests(facts)

    assert [one.test_to_s for one in splits[:-1]] == [one.test_from_s for one in splits[1:]]
    assert splits[-1].test_to_s == facts.as_of_s + 1
    assert np.mean(facts.time < splits[0].test_from_s) == pytest.approx(0.7, abs=0.01)
    with pytest.raises(ValueError, match="1 events do not make 3 tests"):
        find_tests(facts.select(slice(0, 1)))


def test_the_usual_values_come_first_and_the_best_are_no_worse(facts: Facts, statics: asof.Statics) -> None:
    found = tune("user_knn", facts, statics, RECIPE, 6, 60.0)

    assert found.usual == {"neighbours": 200}
    assert found.study.trials[0].params == found.usual
    assert found.figures["best"] >= found.figures["usual"]
    assert found.figures["gain"] == pytest.approx(found.figures["best"] - found.figures["usual"], abs=2e-6)
    assert found.figures["n_trials"] + found.figures["n_pruned"] == 6
    assert USERS.least <= found.given["neighbours"] <= USERS.most


def test_no_test_sees_what_it_is_asked_for(
    facts: Facts, statics: asof.Statics, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[Interactions] = []
    real = tuning._fit

    def fit(name: str, recipe: Recipe, before: Interactions, given: Mapping[str, float]) -> Any:
        learnt.append(before)
        return real(name, recipe, before, given)

    monkeypatch.setattr(tuning, "_fit", fit)
    tune("user_knn", facts, statics, RECIPE, 1, 60.0)

    begins = [one.test_from_s for one in find_tests(facts)]
    assert [int(one.facts.time.max()) < begin for one, begin in zip(learnt, begins, strict=True)] == [
        True
    ] * 3


def test_a_study_goes_on_where_it_ended(facts: Facts, statics: asof.Statics, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'tuning.db'}"
    first = tune("user_knn", facts, statics, RECIPE, 2, 60.0, storage)
    begun = [trial.params for trial in first.study.trials]
    again = tune("user_knn", facts, statics, RECIPE, 4, 60.0, storage)
    done = tune("user_knn", facts, statics, RECIPE, 4, 60.0, storage)

    params = [trial.params for trial in again.study.trials]
    assert len(params) == 4
    assert params[:2] == begun
    assert (done.given, done.figures) == (again.given, again.figures)


def test_a_study_that_was_ended_in_its_first_trial_goes_on(
    facts: Facts, statics: asof.Statics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    storage = f"sqlite:///{tmp_path / 'tuning.db'}"
    with monkeypatch.context() as patched:
        patched.setattr(tuning._Test, "measure", end)
        with pytest.raises(KeyboardInterrupt):
            tune("user_knn", facts, statics, RECIPE, 2, 60.0, storage)

    found = tune("user_knn", facts, statics, RECIPE, 2, 60.0, storage)

    assert found.figures["n_trials"] == 2
    assert found.figures["best"] >= found.figures["usual"]


def test_without_time_left_the_usual_values_are_still_tried(facts: Facts, statics: asof.Statics) -> None:
    found = tune("user_knn", facts, statics, RECIPE, 50, 1e-9)

    assert (found.given, found.figures["n_trials"], found.figures["gain"]) == (found.usual, 1, 0.0)


def test_ours_is_tuned_by_what_a_run_takes(facts: Facts, statics: asof.Statics, tmp_path: Path) -> None:
    found = tune(OURS, facts, statics, RECIPE, 1, 60.0)
    file = tmp_path / "tuned.toml"
    write_tuned(file, OURS, {**found.given, "n_trees": 7})

    recipe = Recipe.of(Settings(tuned=str(file)))

    assert found.usual == {"n_trees": 10, "n_leaves": RECIPE.n_leaves}
    assert (recipe.n_trees, recipe.n_leaves) == (7, RECIPE.n_leaves)


def test_a_feeds_sessions_are_judged_by_their_order(facts: Facts, statics: asof.Statics) -> None:
    times = BEGIN_S + np.arange(len(facts.time)) // 12 * 3600
    order = np.argsort(facts.user, kind="stable")
    shown = replace(facts.select(order), time=times, shown="impressions")
    liked = np.where(np.arange(len(times)) % 3, 0, 1).astype(np.int8)

    found = tune("user_knn", replace(shown, target=liked), statics, RECIPE, 1, 60.0)

    assert found.metric == "auc_in_session"


@pytest.mark.parametrize("name", ["popular", "nobody"])
def test_what_has_no_knobs_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' has nothing to tune: almanac, .*user_knn"):
        find_knobs(name, RECIPE)


def test_tables_of_other_models_stay_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "tuned.toml"
    write_tuned(file, "user_knn", {"neighbours": 70})
    write_tuned(file, "als", {"factors": 96, "alpha": 0.25})
    write_tuned(file, "user_knn", {"neighbours": 71})

    assert file.read_text() == "[user_knn]\nneighbours = 71\n\n[als]\nfactors = 96\nalpha = 0.25\n"
    assert read_tuned(str(file), "user_knn", (USERS,)) == {"neighbours": 71}
    assert read_tuned(str(file), "slim", ()) == {}
    assert read_tuned("", "als", ()) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[m]\nrounds = 3", "has no 'rounds'; it has factors, learning_rate"),
        ("[m]\nfactors = 3.5", "factors = 3.5 is not a whole number above 0, such as 8"),
        ("[m]\nfactors = true", "factors = True is not a whole number"),
        ("[m]\nlearning_rate = -1", "learning_rate = -1 is not a number above 0, such as 0.05"),
        ("[m]\nlearning_rate = 'x'", "learning_rate = 'x' is not a number"),
        ("m = 1", "m is no table"),
        ("[m", "cannot be read"),
    ],
)
def test_a_bad_file_is_refused_by_what_is_wrong(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "tuned.toml"
    file.write_text(text)

    with pytest.raises(ValueError, match="ALMANAC_TUNED") as caught:
        read_tuned(str(file), "m", (WHOLE, RATE))

    assert says in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.toml cannot be read"):
        Recipe.of(Settings(tuned=str(tmp_path / "nothing.toml")))


def test_a_file_that_is_something_else_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("title = 'mine'\n")

    with pytest.raises(ValueError, match="is no file of tuned values"):
        write_tuned(file, "als", {"factors": 96})

    assert file.read_text() == "title = 'mine'\n"


def test_a_manifest_tells_a_tuned_peer_from_the_usual_one(facts: Facts, statics: asof.Statics) -> None:
    baseline, usual = find_baseline("user_knn"), Interactions(facts, statics, 1)
    assert baseline is not None

    names = [
        model_name(baseline, replace(usual, given=given))
        for given in ({}, {"neighbours": 70}, {"neighbours": 71})
    ]

    assert len(set(names)) == 3
    assert names[0] == model_name(baseline, usual)


def test_every_knob_reaches_its_peer(facts: Facts, statics: asof.Statics) -> None:
    users = np.arange(N_USERS)
    for name, given in (("user_knn", {"neighbours": 3}), ("ease", {"ridge": 10.0}), ("slim", {"l1": 10.0})):
        baseline, usual = find_baseline(name), Interactions(facts, statics, 1)
        assert baseline is not None
        assert {knob.name for knob in baseline.knobs} >= set(given)

        scores = [baseline.fit(one).scores(users) for one in (usual, replace(usual, given=given))]

        assert not np.array_equal(scores[0], scores[1])


def test_knobs_of_ours_are_of_the_recipe() -> None:
    assert all(hasattr(RECIPE, knob.name) for knob in KNOBS)
    assert orjson.loads(orjson.dumps({knob.name: knob.number(knob.usual) for knob in KNOBS}))
