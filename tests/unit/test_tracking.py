"""What a tracking server is told: of which runs, in which order, and what becomes of what cannot be told."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from batch.evaluate.results import Figure, Report, result_frame
from batch.evaluate.tune import Tuned
from batch.runs.record import Asked
from batch.runs.runs import Runs
from batch.settings import Settings
from batch.tracking import listener, measured
from batch.tracking.hand_over import hand_over
from batch.tracking.listener import Tracker
from batch.tracking.measured import Measured
from batch.tracking.record import Served, Tracked, read_record
from batch.tracking.runs import track_run

NAN = float("nan")
TOLD = Tracked(
    "runs", "full 1", "FINISHED", 1.0, 2.5, {"depth": "50"}, {"auc": 0.5}, {"root": "5f"}, ("a.csv",)
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings that track into a folder."""
    return Settings(state_dir=tmp_path, tracking=f"mlflow:{tmp_path / 'tracked'}")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[list[Tracked | Served]]:
    """Give what is handed over, in place of a process that would tell it."""
    taken = list[list[Tracked | Served]]()

    def take(_settings: Settings, records: Sequence[Tracked | Served]) -> bool:
        taken.append(list(records))
        return True

    monkeypatch.setattr(listener, "hand_over", take)
    monkeypatch.setattr(measured, "hand_over", take)
    return taken


def say(tracker: Tracker, event: str, **fields: object) -> None:
    """Let a tracker hear an event."""
    tracker.handle(logging.makeLogRecord({"msg": event, "levelno": logging.INFO, **fields}))


def full_run(settings: Settings, outcome: str = "done") -> int:
    """Record a full run that ended, with its model."""
    runs = Runs(settings.state_dir)
    number = runs.begin("full", "default", Asked("hand"))
    runs.describe(
        number, parameters={"depth": 50, "zone": ""}, model="5f", facts="a1", metrics={"auc": 0.5, "x": NAN}
    )
    runs.tell(number, generation=7)
    runs.end(number, "done" if outcome == "done" else "failed")
    folder = settings.state_dir / "models/5f"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.txt").write_text("tree")
    return number


def test_a_record_comes_out_as_it_went_in() -> None:
    whole = replace(TOLD, parts=(TOLD, replace(TOLD, key="2")))

    for record in (whole, Served("almanac-default", 7, None)):
        assert read_record(orjson.loads(orjson.dumps(record.to_json()))) == record


def test_what_a_run_makes_current_is_told_after_its_model(
    settings: Settings, taken: list[list[Tracked | Served]]
) -> None:
    tracker, number = Tracker(settings), full_run(settings)
    say(tracker, "run.begun", run=number)
    say(tracker, "generation.promoted", variant="default", generation=7, previous=6)
    say(tracker, "run.done", run=number, generation=7)
    tracker.close()

    ((run, served),) = taken
    assert isinstance(run, Tracked)
    assert (run.model, run.registered) == (str(settings.state_dir / "models/5f"), "almanac-default")
    assert (run.parameters, run.tags["facts"], run.tags["generation"]) == ({"depth": "50"}, "a1", "7")
    assert run.metrics["auc"] == 0.5
    assert "x" not in run.metrics
    assert served == Served("almanac-default", 7, 6)


def test_what_people_make_current_is_told_at_once(
    settings: Settings, taken: list[list[Tracked | Served]]
) -> None:
    tracker = Tracker(settings)
    say(tracker, "generation.rolled_back", variant="default", generation=6, previous=5, **{"from": 7})
    say(tracker, "generation.quarantined", variant="default", generation=5, current=6, previous=None)
    tracker.close()

    assert taken == [[Served("almanac-default", 6, 5)], [Served("almanac-default", 6, None)]]


def test_a_run_that_failed_has_no_model_and_a_refresh_of_nothing_new_is_not_told(
    settings: Settings, taken: list[list[Tracked | Served]]
) -> None:
    tracker, number = Tracker(settings), full_run(settings, "failed")
    say(tracker, "run.begun", run=number)
    say(tracker, "run.failed", run=number, outcome="failed")
    say(tracker, "run.begun", run=number)
    say(tracker, "run.done", run=number, base=7, generation=7)
    tracker.close()

    ((run,),) = taken
    assert isinstance(run, Tracked)
    assert (run.end, run.model, run.files) == ("FAILED", "", ())


def test_a_part_of_a_run_is_not_told(settings: Settings) -> None:
    runs = Runs(settings.state_dir)
    number = runs.begin("preprocess", "default")

    assert track_run(runs.show(number), "done", 1.0, settings.state_dir, "almanac-default") is None


def test_a_report_is_told_model_by_model_and_whole_as_a_file(
    settings: Settings, taken: list[list[Tracked | Served]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.tracking.measured.require_extra", lambda *_: None)
    rows = [
        Figure("shown", "all", "bm25", "", "hitrate", 5, 0.5, 0.4, 0.6, 10, 20),
        Figure("shown", "all", "bm25", "", "fit_s", 0, 1.5, NAN, NAN, 10, 20),
        Figure("shown", "all", "almanac", "", "hitrate", 5, 0.6, 0.5, 0.7, 10, 20),
        Figure("shown", "all", "almanac", "bm25", "hitrate", 5, 0.1, 0.0, 0.2, 10, 20),
        Figure("shown", "women", "bm25", "", "hitrate", 5, 0.9, 0.8, 1.0, 5, 10),
    ]

    Measured(settings, "compare").tell_report(Report({"n_users": 10}, result_frame(rows)))

    ((whole,),) = taken
    assert isinstance(whole, Tracked)
    found = {part.tags["of"]: part.metrics for part in whole.parts}
    assert found == {
        "bm25": {"hitrate_at_5": 0.5, "hitrate_at_5_low": 0.4, "hitrate_at_5_high": 0.6, "fit_s": 1.5},
        "almanac": {"hitrate_at_5": 0.6, "hitrate_at_5_low": 0.5, "hitrate_at_5_high": 0.7},
    }
    assert whole.parameters["about.n_users"] == "10"
    assert [Path(file).name for file in whole.files] == ["results.csv"]


def test_a_study_is_told_trial_by_trial_under_a_key_of_its_own(
    settings: Settings, taken: list[list[Tracked | Served]], monkeypatch: pytest.MonkeyPatch
) -> None:
    optuna = pytest.importorskip("optuna", reason="needs optuna: pip install 'almanac-feed[tune]'")
    monkeypatch.setattr("batch.tracking.measured.require_extra", lambda *_: None)
    study = optuna.create_study(study_name="bm25 5f", direction="maximize")
    for value in (0.5, 0.25):
        trial = study.ask({"k1": optuna.distributions.FloatDistribution(0, 2)})
        study.tell(trial, value)

    Measured(settings, "tune").tell_study(
        Tuned("bm25", "auc", {"k1": 1.0}, {"k1": 1.5}, {"gain": 0.1}, study)
    )

    ((whole,),) = taken
    assert isinstance(whole, Tracked)
    assert (whole.key, whole.metrics, whole.parameters["best.k1"]) == ("bm25 5f", {"gain": 0.1}, "1.5")
    assert [(part.key, part.metrics["value"], part.end) for part in whole.parts] == [
        ("0", 0.5, "FINISHED"),
        ("1", 0.25, "FINISHED"),
    ]
    assert np.isclose(float(whole.parts[0].parameters["k1"]), study.trials[0].params["k1"])


def test_what_cannot_be_told_in_time_is_said_once_and_never_raised(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("batch.tracking.hand_over.LONGEST_S", 0.01)

    assert not hand_over(settings, [TOLD])

    assert [record.getMessage() for record in caplog.records] == ["tracking.failed"]
    assert vars(caplog.records[0])["why"] == "it took longer than 0 s"


def test_without_a_tracker_nothing_is_told(tmp_path: Path, taken: list[list[Tracked | Served]]) -> None:
    Measured(Settings(state_dir=tmp_path), "compare").tell_report(Report({}, result_frame([])))

    assert taken == []
