"""A model that somebody trained on our features: rows out, lists in, and what is refused."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import redis

from api.contract.keys import Keys
from batch.__main__ import run_command
from batch.data.facts import Facts
from batch.features import asof
from batch.jobs.assemble import assemble_publication
from batch.learn.given import ABOUT, KEYS, README, ROWS, read_model, write_rows
from batch.learn.recipe import Recipe
from batch.learn.train import training_rows
from batch.progress import silent
from batch.publish.proof.verify import verify
from batch.publish.publish import publish
from batch.publish.store import GenerationStore
from tests.changing import N_USERS, Feed, config_of, settings_of

pytestmark = pytest.mark.integration


def written(folder: Path, facts: Facts) -> asof.Statics:
    """Write the rows of facts."""
    of = settings_of(folder, "almanac")
    statics = asof.describe(facts, of.seed)
    estimates, rows = training_rows(facts, statics, facts.as_of_s, Recipe.of(of))
    write_rows(folder, estimates.shown, statics, rows)
    return statics


def trained(folder: Path, **other: object) -> Path:
    """Train a model of somebody's own, as the page in the folder says it."""
    table, about = pq.read_table(folder / ROWS).to_pandas(), orjson.loads((folder / ABOUT).read_bytes())
    columns = [feature["column"] for feature in about["features"]]
    categories = [feature["column"] for feature in about["features"] if feature["categorical"]]
    data = lgb.Dataset(table[columns], table["target"], categorical_feature=categories)
    given = {
        "objective": "binary",
        "num_leaves": 15,
        "verbosity": -1,
        "num_threads": 1,
        "min_data_in_leaf": 5,
    }
    booster = lgb.train({**given, **other}, data, 20)
    booster.save_model(folder / "model.txt")
    return folder / "model.txt"


def test_rows_are_of_facts_and_every_column_has_its_line(tmp_path: Path) -> None:
    facts = Feed.drawn(1).facts()

    statics = written(tmp_path, facts)

    table = pq.read_table(tmp_path / ROWS)
    names = [feature["name"] for feature in orjson.loads((tmp_path / ABOUT).read_bytes())["features"]]
    assert names == [feature.name for feature in statics.features]
    assert table.column_names[: len(KEYS)] == list(KEYS)
    page = (tmp_path / README).read_text()
    for name in table.column_names:
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert not line.endswith("|  |")
    seen = set(zip(facts.user_ids[facts.user].tolist(), facts.post_ids[facts.post].tolist(), strict=True))
    assert set(zip(table["user_id"].to_pylist(), table["post_id"].to_pylist(), strict=True)) <= seen
    assert 0 < sum(table["target"].to_pylist()) < len(table)


def test_no_row_changes_when_later_facts_come(tmp_path: Path) -> None:
    feed = Feed.drawn(1)
    whole = feed.facts()
    recipe = Recipe.of(settings_of(tmp_path, "almanac"))
    as_of_s = whole.as_of_s - 3600
    statics = asof.describe(whole, 1)

    one, other = (training_rows(of, statics, as_of_s, recipe)[1] for of in (whole, whole.until(as_of_s)))

    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.y, other.y)


def test_lists_are_what_the_given_model_predicts(store: redis.Redis, tmp_path: Path) -> None:
    facts = Feed.drawn(2).facts()
    statics = written(tmp_path, facts)
    path = trained(tmp_path)
    of = settings_of(tmp_path, "almanac")

    model = read_model(path, facts, statics, facts.as_of_s)
    full = assemble_publication(of, facts, statics, model, facts.as_of_s)
    generations = GenerationStore(store, Keys())
    made = publish(generations, full.content, full.lists, config_of(of), inputs=full.inputs)

    rng = np.random.default_rng(0)
    proven = verify(
        generations, 1, of.state_dir / "generations", sample=N_USERS, rng=rng, progress=silent, threads=1
    )
    assert proven.ok
    assert proven.n_lists == N_USERS * 4
    assert made.model == model.fingerprint
    assert model.text == path.read_text()


def test_what_cannot_be_ranked_by_is_refused_in_a_sentence(tmp_path: Path) -> None:
    facts = Feed.drawn(3).facts()
    statics = written(tmp_path, facts)
    path = trained(tmp_path)
    text = path.read_text()

    def refusal(of: Facts = facts, known: asof.Statics = statics) -> str:
        with pytest.raises(ValueError) as refused:  # noqa: PT011 - the sentence is asserted
            read_model(path, of, known, of.as_of_s)
        return str(refused.value)

    path.write_text(text.replace("user_lift ", "user_loft "))
    assert "is 'user_loft', of our features 'user_lift'" in refusal()
    path.write_text("hello")
    assert "is not the text of a LightGBM model" in refusal()
    trained(tmp_path, linear_tree=True)
    assert "linear models in its leaves" in refusal()
    path.write_text(text)
    others = replace(facts, posts=facts.posts.assign(topic="tech"))
    assert "posts or profiles are others" in refusal(others, asof.describe(others, 42))
    assert read_model(path, facts, statics, facts.as_of_s).text == text
    (tmp_path / ABOUT).unlink()
    assert f"there is no {tmp_path / ABOUT}" in refusal()
    shutil.rmtree(tmp_path)
    assert "there is no" in refusal()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--model", "model.txt", "--incremental"], "--incremental refreshes by the model"),
        (["run", "--model", "model.txt", "--variant", "popular"], "is a peer's, which ranks by no model"),
    ],
)
def test_a_model_where_none_is_taken_is_a_bad_argument(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    valkey_url: str,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    for name in [name for name in os.environ if name.startswith("ALMANAC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ALMANAC_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("ALMANAC_REDIS_URL", valkey_url)
    assert run_command(["simulate", "--users", "20", "--posts", "100", "--json"]) == 0

    assert run_command([*arguments, "--json"]) == 2

    printed = capsys.readouterr()
    assert says in json.dumps(printed.out + printed.err)


def test_the_commands_work_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey_url: str, store: redis.Redis
) -> None:
    for name in [name for name in os.environ if name.startswith("ALMANAC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ALMANAC_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ALMANAC_REDIS_URL", valkey_url)
    for name, value in {"N_BUCKETS": "2", "DEPTH": "10", "TRAIN_DAYS": "5", "THREADS": "1"}.items():
        monkeypatch.setenv(f"ALMANAC_{name}", value)
    assert run_command(["simulate", "--users", "30", "--posts", "150", "--json"]) == 0

    assert run_command(["features", "--out", str(tmp_path / "mine"), "--json"]) == 0
    path = trained(tmp_path / "mine")
    assert run_command(["run", "--model", str(path), "--json"]) == 0

    manifest = orjson.loads(store.get(Keys().manifest(1)) or b"")
    kept = tmp_path / "state" / "models" / manifest["model"] / "model.txt"
    assert kept.read_text() == path.read_text()
