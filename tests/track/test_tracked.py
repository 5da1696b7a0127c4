"""Nights, flips, comparisons and tuning as a real MLflow server has them afterwards."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightgbm as lgb
import pytest
import redis

from batch.cli.listen import tracked
from batch.data.write import write
from batch.evaluate import commands
from batch.jobs.night import run_full
from batch.learn.ranker import Ranker
from batch.progress import Progress
from batch.publish.ledger.promotion import promote, rollback
from batch.runs.runs import Runs
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables
from batch.tracking.measured import Measured
from tests.content import generations

mlflow = pytest.importorskip(
    "mlflow", reason="needs mlflow, which is not installed: `make test-zoo` brings it"
)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
NAME = "almanac-default"


@pytest.fixture
def facts(tmp_path: Path) -> str:
    """Write a small world and give its folder."""
    write(str(tmp_path / "facts"), tables(WorldConfig(60, 300, 1)))
    return str(tmp_path / "facts")


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str) -> Settings:
    """Give settings of a short night."""
    return Settings(state_dir=tmp_path, redis_url=valkey_url, n_buckets=2, n_trees=5, depth=10)


class Night:
    """A night whose store is the tests'."""

    def __init__(self, store: redis.Redis, facts: str) -> None:
        self._store, self._facts = store, facts

    @contextmanager
    def _connect(self) -> Iterator[redis.Redis]:
        yield self._store

    def __call__(self, settings: Settings) -> None:
        with tracked(settings):
            run_full(settings, self._connect, self._facts, Progress())


@pytest.fixture
def night(store: redis.Redis, facts: str) -> Night:
    """Give a night of an empty store."""
    return Night(store, facts)


def find_runs(client: Any, experiment: str, **tags: str) -> list[Any]:
    """Return the runs of an experiment that have tags, oldest first."""
    found = client.get_experiment_by_name(f"almanac-{experiment}")
    wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    return list(client.search_runs([found.experiment_id], wanted, order_by=["attributes.start_time ASC"]))


def find_aliases(client: Any, name: str = NAME) -> dict[str, str]:
    """Return the generation that each alias of a model stands for."""
    aliases: dict[str, str] = client.get_registered_model(name).aliases
    return {
        alias: client.get_model_version(name, version).tags["generation"]
        for alias, version in aliases.items()
    }


def test_nights_are_told_and_the_aliases_go_with_promotion_and_rollback(
    server: str, settings: Settings, night: Night, store: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings.replace(tracking=f"mlflow:{server}", prefix="almanac")
    client = mlflow.MlflowClient(server, server)
    mlflow.set_tracking_uri(server)  # where its functions look for models
    night(settings)
    first = find_aliases(client)
    night(settings.replace(n_trees=6))
    second = find_aliases(client)
    with tracked(settings):
        rollback(generations(store), "default", 1)
    back = find_aliases(client)
    with tracked(settings):
        promote(generations(store), 2, 2)
    again = find_aliases(client)
    night(settings.replace(variant="popular"))

    assert [first, second] == [{"current": "1"}, {"current": "2", "previous": "1"}]
    assert [back, again] == [{"current": "1"}, second]
    assert "tracking.failed" not in caplog.messages
    told, last, peer = find_runs(client, "runs")
    record = Runs(settings.state_dir).show(1)
    assert told.info.status == "FINISHED"
    assert told.data.params["n_trees"] == "5"
    assert last.data.params["n_trees"] == "6"
    assert told.data.metrics["hitrate_at_5"] == record.made["metrics"]["hitrate_at_5"]
    for name in ("facts", "model", "root"):
        assert told.data.tags[name] == record.made[name]
    assert (told.data.tags["generation"], told.data.tags["chosen"]) == ("1", record.chosen)
    assert (peer.data.params["variant"], peer.data.tags["model"][:13]) == ("popular", "peer:popular:")
    assert [model.name for model in client.search_registered_models()] == [NAME]
    check_model(client, Ranker.load(settings.state_dir / "models" / record.made["model"]))


def check_model(client: Any, ours: Ranker | None) -> None:
    """Find our trees as text, with their signature, and no user of ours."""
    assert ours is not None
    (version,) = client.search_model_versions(f"name = '{NAME}' and tags.generation = '1'")
    folder = Path(mlflow.artifacts.download_artifacts(version.source))
    about = mlflow.models.Model.load(folder)
    trees = lgb.Booster(model_file=str(folder / "model.lgb"))
    assert about.flavors["lightgbm"]["model_class"] == "lightgbm.basic.Booster"
    assert about.signature.inputs.input_names() == trees.feature_name() == ours.booster().feature_name()
    assert trees.model_to_string() == ours.booster().model_to_string()
    assert {path.suffix for path in folder.iterdir()} <= {".lgb", ".txt", ".yaml", ""}
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".npz")]


def test_a_comparison_and_a_study_are_told_model_by_model_and_trial_by_trial(
    server: str, settings: Settings, facts: str, tmp_path: Path
) -> None:
    settings = settings.replace(tracking=f"mlflow:{server}", prefix="measured")
    client = mlflow.MlflowClient(server, server)
    measured = Measured(settings, "compare")
    report = commands.compare(settings, facts, None, 1, ("popular", "bm25"), Progress(), measured.note)
    measured.tell_report(report, lambda folder: (folder / "comparison.svg").write_text("<svg/>"))
    for n_trials in (1, 2):  # the second one goes on
        tuning = Measured(settings, "tune")
        url = f"sqlite:///{tmp_path}/tuning.db"
        found = commands.tune_model(settings, facts, "user_knn", n_trials, 600, url, Progress(), tuning.note)
        tuning.tell_study(found)

    experiment = client.get_experiment_by_name("measured-evaluations")
    whole, *parts = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    by_model = {run.data.tags["of"]: run for run in (whole, *parts) if "of" in run.data.tags}
    (parent,) = [run for run in (whole, *parts) if "of" not in run.data.tags]
    frame = report.results
    value = frame[(frame["model"] == "bm25") & (frame["metric"] == "hitrate") & (frame["against"] == "")][
        "value"
    ]
    assert {"almanac", "bm25", "popular", "random"} <= set(by_model)
    assert by_model["bm25"].data.metrics["hitrate_at_5"] == pytest.approx(float(value.iloc[0]))
    assert {run.data.tags["mlflow.parentRunId"] for run in by_model.values()} == {parent.info.run_id}
    assert len(parent.data.tags["facts"]) == 32
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"results.csv", "comparison.svg"} - files <= {"comparison.svg"}  # drawn where matplotlib is
    tuned = client.search_runs([client.get_experiment_by_name("measured-tuning").experiment_id])
    names = sorted(run.info.run_name for run in tuned)
    assert names == ["trial 0", "trial 1", "tune user_knn"]
    (study,) = [run for run in tuned if run.info.run_name == "tune user_knn"]
    assert study.data.metrics["n_trials"] + study.data.metrics["n_pruned"] == 2
    assert {run.data.tags.get("mlflow.parentRunId", "") for run in tuned} == {"", study.info.run_id}


@pytest.mark.filterwarnings("ignore")  # of MLflow's own use of SQLAlchemy
def test_a_folder_keeps_what_a_server_would(settings: Settings, night: Night, tmp_path: Path) -> None:
    night(settings.replace(tracking=f"mlflow:{tmp_path / 'tracked'}"))

    address = f"sqlite:///{tmp_path}/tracked/mlflow.db"
    client = mlflow.MlflowClient(address, address)
    (told,) = find_runs(client, "runs", generation="1")
    assert [file.path for file in client.list_artifacts(told.info.run_id)] == ["model.json"]
    assert find_aliases(client) == {"current": "1"}
    assert list((tmp_path / "tracked/artifacts").rglob("model.lgb"))


@pytest.mark.parametrize("how", ["refuses", "is silent"])
def test_a_server_that_is_away_costs_a_warning_and_the_record_says_the_same(
    how: str,
    settings: Settings,
    night: Night,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if how == "is silent":
            listening.listen()
        night(settings.replace(tracking=f"mlflow:http://127.0.0.1:{listening.getsockname()[1]}"))

    assert [message for message in caplog.messages if message.startswith("tracking.")] == ["tracking.failed"]
    (run,) = Runs(settings.state_dir).recent()
    assert (run.outcome, run.generation) == ("done", 1)
    assert set(run.made) == {"parameters", "facts", "model", "root", "metrics"}
