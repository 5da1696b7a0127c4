"""A user's id in what runs have told: it goes wherever it stands as a word, and nothing else does."""

import json
import logging
import re
from contextlib import suppress
from pathlib import Path

import pytest

from batch.progress import Progress
from batch.runs.forget import forget_told
from batch.runs.recorded import recorded
from batch.runs.runs import Runs


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Give the record of an empty state folder."""
    return Runs(tmp_path)


def run(runs: Runs, **fields: object) -> list[dict[str, object]]:
    """Run to a bug that is logged with fields, and ends the run; return the log's lines."""
    bug = RuntimeError(fields["why"])
    with suppress(RuntimeError), recorded(runs, Progress(), "full", "default"):
        logging.getLogger(__name__).error("user.odd", exc_info=bug, extra=fields)
        raise bug
    return lines(runs)


def lines(runs: Runs) -> list[dict[str, object]]:
    """Return the lines of the newest run's log."""
    return [json.loads(line) for line in runs.log_of(runs.newest().number).read_text().splitlines()]


@pytest.mark.parametrize(
    ("user", "spelled"),
    [
        ("ann smith", "Ann Smith"),
        ("Мария", "Мария"),
        ('a"b\\c', 'a"b\\c'),
        ("{x}", "{x}"),
    ],
)
def test_an_id_goes_from_sentences_and_tracebacks(runs: Runs, user: str, spelled: str) -> None:
    run(runs, why=f"no row of {spelled}\n{spelled}: there", posts=3)
    size = runs.log_of(1).stat().st_size

    n = forget_told(runs, [user])

    kept = b"".join(path.read_bytes() for path in (runs.log_of(1), runs.path)).decode(errors="replace")
    why, error = (re.sub(r"\*+", "*", str(lines(runs)[0][name])) for name in ("why", "error"))
    assert n == 2  # a line of the log, and the record's sentence
    assert spelled not in kept.replace("\\\\", "\\").replace('\\"', '"')
    assert why == "no row of *\n*: there"
    assert error.endswith(f"RuntimeError: {why}")
    assert re.sub(r"\*+", "*", runs.show(1).why) == "no row of * *: there"
    assert lines(runs)[0]["posts"] == 3
    assert runs.log_of(1).stat().st_size == size
    assert forget_told(runs, [user]) == 0


def test_times_figures_and_parts_of_words_stay(runs: Runs) -> None:
    fields = {"why": "7 of 17, a7 at 7.5 s", "as_of": "2021-12-07T07:00:00", "lists": 7, "model": "a-7"}
    (before,) = run(runs, **fields)

    assert forget_told(runs, ["7"]) == 2

    (told,) = lines(runs)
    assert told.pop("why") == "* of 17, a7 at *.5 s"
    assert {**told, "error": before["error"]} == {name: before[name] for name in before if name != "why"}


def test_a_run_that_goes_on_writes_on_behind_what_was_masked(runs: Runs) -> None:
    log = logging.getLogger(__name__)
    with recorded(runs, Progress(), "full", "default"):
        log.warning("user.odd", extra={"why": "ann has no row"})
        assert forget_told(runs, ["ann"]) == 1
        log.warning("user.odd", extra={"why": "bob has no row"})

    told = [json.loads(line) for line in runs.log_of(1).read_text().splitlines()]
    assert [line["why"] for line in told if line["event"] == "user.odd"] == [
        "*** has no row",
        "bob has no row",
    ]


def test_nothing_is_made_where_no_run_was(runs: Runs) -> None:
    assert forget_told(runs, ["ann"]) == 0
    assert not runs.path.exists()
