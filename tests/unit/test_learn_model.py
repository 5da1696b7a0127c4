from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest

from batch.features import asof
from batch.features.asof import Rows
from batch.learn import loader, ranker
from batch.learn.ranker import Ranker
from tests.facts import BEGIN_S, DAY_S, even_likes_even


@pytest.fixture(scope="module")
def trained() -> tuple[Ranker, Rows]:
    facts = even_likes_even(n_users=40, days=14)
    known = asof.statics(facts, seed=1)
    rows = asof.rows(facts, known, BEGIN_S, BEGIN_S + 14 * DAY_S, 3600, 10**6, np.random.default_rng(0))
    return ranker.train(rows, known.features, facts.as_of_s, n_trees=20, n_leaves=7, seed=1, threads=1), rows


def test_the_model_is_kept_as_lightgbm_text_with_a_json_beside_it(
    trained: tuple[Ranker, Rows], tmp_path: Path
) -> None:
    model, _ = trained

    path = model.save(tmp_path)

    about = orjson.loads((tmp_path / "model.json").read_bytes())
    assert path.read_text().startswith("tree\n")
    assert about["fingerprint"] == model.fingerprint
    assert about["as_of_s"] == model.as_of_s
    assert [f["name"] for f in about["features"]] == model.booster().feature_name()
    assert {f["side"] for f in about["features"]} == {"user", "post", "time", "user_group"}
    assert not list(tmp_path.glob("*.part"))


def test_the_same_rows_and_seed_give_the_same_model(trained: tuple[Ranker, Rows]) -> None:
    model, rows = trained

    again = ranker.train(rows, model.features, model.as_of_s, n_trees=20, n_leaves=7, seed=1, threads=1)

    assert again.text == model.text


def test_labels_of_one_kind_train_nothing(trained: tuple[Ranker, Rows]) -> None:
    model, rows = trained

    with pytest.raises(ValueError, match="with 0 likes"):
        ranker.train(
            Rows(rows.event, rows.x, np.zeros_like(rows.y)), model.features, 0, n_trees=1, n_leaves=2, seed=1
        )


def test_what_was_trained_loads_as_a_checker_loads_it(
    trained: tuple[Ranker, Rows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = trained
    monkeypatch.delenv("IS_LMS", raising=False)
    loaded = loader.load_models(model.save(tmp_path))

    probabilities = loaded.predict_proba(rows.x)
    frame = pd.DataFrame(rows.x, columns=[f.name for f in model.features])

    assert probabilities.shape == (len(rows.x), 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    np.testing.assert_array_equal(loaded.predict(rows.x), probabilities[:, 1] >= 0.5)
    np.testing.assert_allclose(loaded.predict_proba(frame[frame.columns[::-1]]), probabilities)


def test_a_frame_that_lacks_a_column_is_refused_by_name(trained: tuple[Ranker, Rows], tmp_path: Path) -> None:
    model, rows = trained
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
