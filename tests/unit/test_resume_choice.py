"""Whose facts a run takes: those of one that died, whatever failed between the two without reading."""

from pathlib import Path

import pytest

from batch.jobs.resume import FOLDER, Kept, _choose, _save
from batch.progress import Progress
from batch.runs.record import Outcome
from batch.runs.recorded import recorded
from batch.runs.runs import Runs

Ended = tuple[Outcome, bool]  # how a run ended, and whether one after it may go on from it
LOST: Ended = ("lost", True)
AWAY: Ended = ("failed", True)
BAD_FACTS: Ended = ("failed", False)
DONE: Ended = ("done", True)


@pytest.mark.parametrize(
    ("after", "takes"),
    [
        ([], True),
        ([AWAY], True),
        ([AWAY, AWAY, LOST], True),
        ([("stopped", True)], True),
        ([DONE], False),
        ([DONE, AWAY], False),
        ([BAD_FACTS], False),
        ([BAD_FACTS, AWAY], False),
    ],
)
def test_facts_are_taken_as_long_as_all_runs_since_have_died(
    tmp_path: Path, after: list[Ended], takes: bool
) -> None:
    runs, folder = Runs(tmp_path), tmp_path / FOLDER
    for outcome, resumes in [LOST, *after]:
        runs.end(runs.begin("full", "default"), outcome, resumes=resumes)
    folder.mkdir()
    _save(folder, Kept(run=1, read_s=0, key="here", digest="5f"))

    with recorded(runs, Progress(), "full", "default") as record:
        kept = _choose(folder, record, "here", "")

    assert (kept is not None) == takes


def test_another_variants_runs_decide_nothing(tmp_path: Path) -> None:
    runs, folder = Runs(tmp_path), tmp_path / FOLDER
    for variant in ("bold", "default"):
        runs.end(runs.begin("full", variant), "lost")
    folder.mkdir()
    _save(folder, Kept(run=1, read_s=0, key="here", digest="5f"))

    with recorded(runs, Progress(), "full", "default") as record:
        assert _choose(folder, record, "here", "") is None
    with recorded(runs, Progress(), "full", "bold") as record:
        assert _choose(folder, record, "here", "") is not None
