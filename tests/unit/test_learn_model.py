from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest

from batch.data.facts import Facts
from batch.features import asof
from batch.learn import loader
from batch.learn.factors.factor_table import FactorTable, fingerprint
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.learn.train import Training, train
from batch.progress import Progress
from tests.facts import even_likes_even

RECIPE = Recipe(30, 10**6, 3600, n_trees=5, n_leaves=7, seed=1, threads=1)


@pytest.fixture(scope="module")
def facts() -> Facts:
    return even_likes_even(n_users=40, days=14)


@pytest.fixture(scope="module")
def statics(facts: Facts) -> asof.Statics:
    return asof.describe(facts, seed=1)


@pytest.fixture(scope="module")
def training(facts: Facts, statics: asof.Statics) -> Training:
    return train(facts, statics, facts.as_of_s, RECIPE)


def test_the_model_is_kept_as_lightgbm_text_with_a_json_beside_it(training: Training, tmp_path: Path) -> None:
    model = training.model

    path = model.save(tmp_path)

    about = orjson.loads((tmp_path / "model.json").read_bytes())
    assert path.read_text().startswith("tree\n")
    assert about["fingerprint"] == model.fingerprint
    assert about["as_of_s"] == model.as_of_s
    assert [f["name"] for f in about["features"]] == model.booster().feature_name()
    assert {f["side"] for f in about["features"]} == {"user", "post", "time", "user_group"}
    assert not list(tmp_path.glob("*.part"))


def test_the_same_facts_and_seed_give_the_same_model_in_two_steps(
    facts: Facts, statics: asof.Statics, training: Training
) -> None:
    progress = Progress()

    again = train(facts, statics, facts.as_of_s, RECIPE, {"auc_in_session": 0.6}, progress)

    assert again.model.fingerprint == training.model.fingerprint
    assert again.model.metrics == {"auc_in_session": 0.6, **training.model.metrics}
    assert list(progress.seconds) == ["estimate", "train"]


def test_labels_of_one_kind_train_nothing(facts: Facts, statics: asof.Statics) -> None:
    with pytest.raises(ValueError, match="with 0 likes"):
        train(replace(facts, target=np.zeros_like(facts.target)), statics, facts.as_of_s, RECIPE)


def test_what_was_trained_loads_as_a_checker_loads_it(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = training.model, training.rows
    monkeypatch.delenv("IS_LMS", raising=False)
    loaded = loader.load_models(model.save(tmp_path))

    probabilities = loaded.predict_proba(rows.x)
    frame = pd.DataFrame(rows.x, columns=[f.name for f in model.features])

    assert probabilities.shape == (len(rows.x), 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    np.testing.assert_array_equal(loaded.predict(rows.x), probabilities[:, 1] >= 0.5)
    np.testing.assert_allclose(loaded.predict_proba(frame[frame.columns[::-1]]), probabilities)


@pytest.fixture(scope="module")
def saved(training: Training, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ranker, Path]:
    return training.model, training.model.save(tmp_path_factory.mktemp("model"))


def test_a_loaded_model_answers_known_users_and_posts_with_trees_and_factors(
    saved: tuple[Ranker, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = saved
    factors = model.factors
    monkeypatch.delenv("IS_LMS", raising=False)
    pairs = pd.DataFrame({"user_id": [3, 3, -5], "post_id": [7, 8, 7]})
    frame = pairs.assign(**{f.name: 0.0 for f in model.features})

    like = loader.load_models(path).predict_proba(frame)[:, 1]
    alone = loader.load_models(path).predict_proba(frame.drop(columns="user_id"))[:, 1]

    odds, trees_odds = (np.log(p / (1 - p)) for p in (like, alone))
    taste = factors.x[2] @ factors.y[[6, 7]].T
    of_all = factors.x.mean(axis=0) @ factors.y[6]
    np.testing.assert_allclose(odds - trees_odds, [*(factors.level[2] + taste), of_all], atol=1e-9)
    assert like[0] > like[1]  # odd users like odd posts
    texts = frame.assign(user_id=["3", "3", "who"], post_id=["7", "8", "7"])
    np.testing.assert_array_equal(loader.load_models(path).predict_proba(texts)[:, 1], like)


def test_trees_without_their_factors_still_say_how_often_anything_is_liked(
    saved: tuple[Ranker, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = saved
    monkeypatch.delenv("IS_LMS", raising=False)
    (tmp_path / "model.txt").write_text(path.read_text())

    loaded = loader.load_models(tmp_path / "model.txt")

    assert loaded.factors is None
    like = loaded.predict_proba(np.zeros((1, len(model.features)), np.float32))[0, 1]
    assert 0.3 < like < 0.7  # half of all impressions are liked


def test_the_fingerprint_names_trees_and_factors(saved: tuple[Ranker, Path]) -> None:
    model, _ = saved
    factors = model.factors
    moved = replace(factors, x=factors.x + np.eye(*factors.x.shape) * 1e-6)
    turned = replace(factors, y=-factors.y)

    names = {
        one.fingerprint for one in (model, replace(model, factors=moved), replace(model, factors=turned))
    }

    assert len(names | {replace(model, text=model.text + " ").fingerprint}) == 4
    assert model.fingerprint == fingerprint(model.text, [factors.x[:9], factors.x[9:]], factors.y)


def test_saved_factors_load_as_they_were(saved: tuple[Ranker, Path]) -> None:
    model, path = saved

    again = FactorTable.load(path.parent / "factors.npz")

    for name in ("user_ids", "post_ids", "x", "y", "level"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model.factors, name))


def test_a_frame_that_lacks_a_column_is_refused_by_name(training: Training, tmp_path: Path) -> None:
    model, rows = training.model, training.rows
    loaded = loader.load_models(model.save(tmp_path))
    frame = pd.DataFrame(rows.x, columns=[f.name for f in model.features]).drop(columns="hour")

    with pytest.raises(ValueError, match="hour"):
        loaded.predict_proba(frame)


@pytest.mark.parametrize(
    ("group", "place"), [("", "model"), ("control", "model_control"), ("test", "model_test")]
)
def test_the_checkers_place_counts_on_the_checkers_machine(
    group: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IS_LMS", "1")

    assert loader.get_model_path("at/home", group) == Path("/workdir/user_input") / place


def test_a_missing_model_names_the_place_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IS_LMS", raising=False)

    with pytest.raises(FileNotFoundError, match=r"no model at .*none\.txt: run `almanac run`"):
        loader.load_models(tmp_path / "none.txt")
