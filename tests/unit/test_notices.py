"""What is news, who hears of it, and that a failing address harms nobody."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batch.__main__ import app, run_command
from batch.notices import sender
from batch.notices.addresses import Address, parse_addresses, read_addresses
from batch.notices.finding import Finding, Notice
from batch.notices.memory import MOST_AN_HOUR, Memory
from batch.notices.rules import EVENTS, Rules
from batch.notices.sender import Notices, Send
from batch.settings import Settings

HOUR = 3600
RULES = Rules(stale_s=36 * HOUR, memory_mb=1000, variant="default")
SERVED: dict[str, Any] = {
    "generation": 7,
    "variant": "default",
    "as_of_s": 0,
    "promoted_s": 0,
    "fact_age_s": HOUR,
    "publication_age_s": HOUR,
    "list_left_s": 200 * HOUR,
    "list_life_s": 336 * HOUR,
    "store_used_mb": 100,
    "store_bound_mb": 1000,
}
DONE: dict[str, Any] = {
    "kind": "full",
    "generation": 7,
    "variant": "default",
    "rows_read": {"feed_data": 1200},
    "rows_rejected": {"future_time": 3},
    "lists_written": 120,
    "took_s": 5.4,
    "metrics": {"hitrate_at_5": 0.5, "test_sessions": 400.0},
}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_640_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hear(tmp_path: Path, clock: Clock) -> Callable[..., list[Notice]]:
    """Give a function that returns the notices that become of an event."""
    memory = Memory.read(tmp_path / "notices.json", clock)

    def of(event: str, **fields: Any) -> list[Notice]:
        made = (memory.take(finding) for finding in RULES.read(event, fields))
        return [notice for notice in made if notice is not None]

    return of


Hear = Callable[..., list[Notice]]


def test_a_run_that_finished_tells_what_it_made(hear: Hear) -> None:
    (notice,) = hear("run.done", **DONE)

    assert (notice.severity, notice.title, notice.is_good) == ("info", "full run finished", True)
    assert notice.text == (
        "Generation 7 of default took 5 s: 120 lists of 1,200 rows, 3 of them rejected; HitRate@5 0.500 on "
        "400 sessions.\n\nLook further: almanac generations show 7"
    )


def test_a_run_that_failed_tells_why_without_a_password(hear: Hear) -> None:
    (notice,) = hear("run.failed", why="no answer of redis://ann:hush@db:6379/0", exit_code=4)

    assert (notice.severity, notice.title, notice.is_good) == ("error", "full run failed", False)
    assert notice.text.startswith("no answer of redis://ann:***@db:6379/0 (exit code 4); what was served is ")


def test_a_run_that_goes_well_after_failures_tells_of_the_recovery_as_gravely(
    hear: Hear, clock: Clock
) -> None:
    hear("run.failed", why="the database is away")
    clock.now_s += 24 * HOUR

    (notice,) = hear("run.done", **DONE)

    assert (notice.severity, notice.is_good) == ("error", True)
    assert notice.title == "recovered: full run finished"
    assert notice.text.startswith("over after 24.0 h: full run failed. Generation 7 of default took 5 s")


def test_times_that_no_run_stands_for_are_told_and_over_with_the_next_run(hear: Hear) -> None:
    slots = ["2026-11-28T03:00:00+00:00", "2026-11-29T03:00:00+00:00"]
    (notice,) = hear("slot.missed", job="full", slots=slots, why="a later time was due by then")

    assert (notice.severity, notice.title) == ("warning", "scheduled times were missed")
    assert "2026-11-29T03:00:00+00:00 and 1 more: a later time was due by then." in notice.text
    assert hear("slot.missed", job="refresh", slots=slots, why="the full run was still going") == []
    assert "recovered: full run finished" in [notice.title for notice in hear("run.done", **DONE)]


def test_what_the_scheduler_does_beside_runs_is_told_too(hear: Hear) -> None:
    (failed,) = hear("drain.failed", why="the database is away")
    (resumed,) = hear("drain.resumed")
    (bug,) = hear("job.failed", job="asked", why="KeyError")

    assert (failed.severity, resumed.title) == ("warning", "recovered: live events are drained")
    assert (bug.severity, bug.title) == ("error", "the scheduler's asked failed")


def test_the_same_failure_within_an_hour_is_told_once_and_counted(hear: Hear, clock: Clock) -> None:
    told = []
    for _ in range(4):
        told += hear("run.failed", why="the database is away")
        clock.now_s += 25 * 60

    assert [notice.text.partition("\n")[0] for notice in told] == [
        "the database is away; what was served is served on.",
        "the database is away; what was served is served on. (2 more since 11:33 UTC)",
    ]


@pytest.mark.parametrize(
    ("event", "outcome", "severity"),
    [
        ("run.failed", "failed", "error"),
        ("run.lost", "lost", "error"),
        ("run.failed", "stopped", "warning"),
        ("run.failed", "cancelled", "warning"),
    ],
)
def test_a_run_that_somebody_ended_is_less_grave_than_one_that_ended_by_itself(
    hear: Hear, event: str, outcome: str, severity: str
) -> None:
    (notice,) = hear(event, run=12, kind="full", variant="default", outcome=outcome, why="so it is")

    assert (notice.severity, notice.title) == (severity, f"full run {outcome}")
    assert notice.text.endswith("Look further: almanac runs show 12")


@pytest.mark.parametrize(
    ("mode", "severity", "title"),
    [
        ("on", "error", "the gate held a generation back"),
        ("warn", "warning", "the gate doubts a generation"),
    ],
)
def test_what_the_gate_doubts_is_told_with_its_reason(
    hear: Hear, mode: str, severity: str, title: str
) -> None:
    (notice,) = hear("generation.judged", generation=9, outcome="wait", why="worse than live", mode=mode)

    assert (notice.severity, notice.title) == (severity, title)
    assert "worse than live" in notice.text
    assert notice.text.endswith("almanac generations show 9")


def test_a_gate_that_is_content_is_no_news_but_after_a_doubt(hear: Hear) -> None:
    fine = {"generation": 9, "outcome": "proceed", "why": "every check holds", "mode": "warn"}

    assert hear("generation.judged", **fine) == []
    hear("generation.judged", **{**fine, "outcome": "wait"})
    (notice,) = hear("generation.judged", **fine)

    assert (notice.severity, notice.title) == ("warning", "recovered: the gate is content")


@pytest.mark.parametrize(
    ("changed", "severity", "title", "says"),
    [
        ({"publication_age_s": 37 * HOUR}, "warning", "stale publication", "37 h ago; ALMANAC_STALE_H"),
        ({"fact_age_s": 40 * HOUR}, "warning", "stale facts", "newest fact of 40 h ago"),
        ({"list_left_s": 83 * HOUR}, "error", "lists about to expire", "end in 83 h"),
        ({"list_left_s": 0}, "error", "lists about to expire", "end in 0 h"),
        ({"store_used_mb": 901}, "warning", "store memory near its bound", "901 of 1,000 MiB"),
    ],
)
def test_a_look_at_what_is_served_finds_what_is_near_its_bound(
    hear: Hear, changed: dict[str, int], severity: str, title: str, says: str
) -> None:
    (bad,) = hear("generation.watched", **{**SERVED, **changed})
    (again,) = hear("generation.watched", **SERVED)

    assert (bad.severity, bad.title) == (severity, title)
    assert says in bad.text
    assert (again.severity, again.title.partition(":")[0]) == (severity, "recovered")


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"list_left_s": None},
        {"store_used_mb": None, "store_bound_mb": None},
        {"store_used_mb": 10**6, "store_bound_mb": 0},
        {"publication_age_s": 36 * HOUR},
    ],
)
def test_what_has_no_bound_or_stays_below_it_is_no_news(hear: Hear, changed: dict[str, Any]) -> None:
    assert hear("generation.watched", **{**SERVED, **changed}) == []


def test_nothing_is_stale_where_that_is_switched_off() -> None:
    rules = Rules.of(Settings(stale_h=0), None)
    old = {**SERVED, "fact_age_s": 9**9, "publication_age_s": 9**9}

    assert {f.severity for f in rules.read("generation.watched", old)} == {"info"}


@pytest.mark.parametrize(("peak", "n"), [(900, 0), (901, 1)])
def test_a_stage_that_comes_near_the_bound_of_memory_is_told(hear: Hear, peak: int, n: int) -> None:
    told = hear("stage.done", stage="publish", seconds=1.0, cpu_s=1.0, peak_mb=peak, rows=3)

    assert [notice.title for notice in told] == ["batch memory near its bound"] * n


def test_the_next_process_knows_what_was_told(tmp_path: Path, clock: Clock) -> None:
    failed = Finding("run default", "error", "full run failed", "why", "almanac plan")
    assert Memory.read(tmp_path / "notices.json", clock).take(failed)

    later = Memory.read(tmp_path / "notices.json", clock)
    assert later.take(failed) is None
    done = Finding("run default", "info", "full run finished", "fine", "almanac plan", quiet=True)
    recovered = later.take(done)
    assert recovered is not None
    assert recovered.title == "recovered: full run finished"


def test_a_clock_that_was_ahead_swallows_no_news_once_it_is_right(tmp_path: Path, clock: Clock) -> None:
    memory = Memory.read(tmp_path / "notices.json", clock)
    clock.now_s += 100 * 24 * HOUR
    for at in range(MOST_AN_HOUR):
        memory.take(Finding(str(at), "error", "bad", "why", "x"))
    clock.now_s -= 100 * 24 * HOUR

    assert memory.take(Finding("0", "error", "bad", "why", "x"))
    recovered = memory.take(Finding("1", "info", "well", "fine", "x"))
    assert recovered is not None
    assert recovered.text.startswith("over after 0.0 h: bad.")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"troubles": {"a": {"b": 1}}, "made_s": []}'])
def test_a_broken_memory_remembers_nothing_and_is_made_anew(tmp_path: Path, clock: Clock, text: str) -> None:
    path = tmp_path / "notices.json"
    path.write_text(text)

    memory = Memory.read(path, clock)

    assert memory.take(Finding("a", "error", "bad", "why", "almanac plan"))
    assert Memory.read(path, clock).troubles["a"].title == "bad"


def test_a_flood_is_cut_off_and_said(tmp_path: Path, clock: Clock) -> None:
    memory = Memory.read(tmp_path / "notices.json", clock)
    told = [memory.take(Finding(str(at), "error", "bad", "why", "x")) for at in range(MOST_AN_HOUR + 3)]
    clock.now_s += HOUR + 1

    after = memory.take(Finding("new", "error", "bad", "why", "x"))

    assert [notice is not None for notice in told] == [True] * MOST_AN_HOUR + [False] * 3
    assert after is not None
    assert after.text.endswith("(3 notices before this one were left out: more than 20 an hour)")


def test_every_command_that_a_notice_names_is_one() -> None:
    worst = {**SERVED, "fact_age_s": 9**9, "publication_age_s": 9**9, "list_left_s": 1, "store_used_mb": 999}
    missed = {"job": "full", "slots": ["2026-11-28"], "why": "so it is"}
    fields = {
        **DONE,
        **worst,
        **missed,
        "run": 3,
        "outcome": "wait",
        "mode": "on",
        "stage": "read",
        "peak_mb": 999,
    }
    commands = {finding.command for event in EVENTS for finding in RULES.read(event, fields)}

    assert len(commands) > 2
    for command in commands:
        name, *rest = command.split()
        assert name == "almanac"
        assert run_command([*(word for word in rest if not word.isdigit()), "-h"]) == 0
    assert app is not None


def test_addresses_come_from_variable_and_file_with_their_severities(tmp_path: Path) -> None:
    file = tmp_path / "notices"
    file.write_text("# the people of the night\nwarning=json://b\n\n  error=json://c?a=b&c=d\n")

    found = read_addresses(Settings(notices="json://a", notices_file=str(file)))

    assert [(address.place, address.least, address.url) for address in found] == [
        (1, "info", "json://a"),
        (2, "warning", "json://b"),
        (3, "error", "json://c?a=b&c=d"),
    ]
    assert "json" not in repr(found)
    assert [address.wants("warning") for address in found] == [True, True, False]


def test_a_file_of_addresses_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ALMANAC_NOTICES_FILE=\S+/none cannot be read: No such file"):
        read_addresses(Settings(notices_file=str(tmp_path / "none")))


@pytest.fixture
def listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Notices]]:
    """Give a function that starts sending, without waits between tries; what it started is ended."""
    monkeypatch.setattr(sender, "TRIES_AFTER_S", (0.0, 0.001))
    started: list[Notices] = []

    def start(*sends: Send) -> Notices:
        levels = ("info=json://zqzq", "error=json://zqzq")
        addresses = parse_addresses(levels[: len(sends)])
        memory = Memory.read(tmp_path / "notices.json")
        started.append(Notices(list(zip(addresses, sends, strict=True)), RULES, memory))
        return started[-1]

    yield start
    for notices in started:
        notices.close()


def into(told: list[Notice]) -> Send:
    def send(notice: Notice) -> bool:
        told.append(notice)
        return True

    return send


def say(notices: Notices, event: str, **fields: Any) -> None:
    notices.handle(logging.makeLogRecord({"msg": event, "levelno": logging.INFO, **fields}))


def test_each_address_gets_what_is_grave_enough_for_it(listening: Callable[..., Notices]) -> None:
    all_told: list[Notice] = []
    worst: list[Notice] = []

    notices = listening(into(all_told), into(worst))
    say(notices, "run.done", **DONE)
    say(notices, "run.failed", why="no room")
    say(notices, "step.done", step="read")
    notices.close()

    assert [notice.title for notice in all_told] == ["full run finished", "full run failed"]
    assert [notice.title for notice in worst] == ["full run failed"]


def test_an_address_that_fails_is_tried_again_then_logged_without_it_and_harms_no_other(
    listening: Callable[..., Notices], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    tried: list[Notice] = []
    told: list[Notice] = []

    def breaks(notice: Notice) -> bool:
        tried.append(notice)
        raise OSError("json://zqzq does not answer")

    notices = listening(breaks, into(told))
    say(notices, "run.failed", why="no room")
    notices.close()

    assert (len(tried), len(told)) == (2, 1)
    said = [(r.levelname, r.getMessage(), vars(r)["address"]) for r in caplog.records]
    assert said == [("WARNING", "notice.failed", 1), ("INFO", "notice.sent", 2)]
    assert "zqzq" not in "".join(str(vars(record)) for record in caplog.records)


def test_an_event_that_lacks_what_it_should_tell_ends_nothing(
    listening: Callable[..., Notices], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Notice] = []
    notices = listening(into(told))

    say(notices, "generation.watched")
    say(notices, "run.failed", why="no room")
    notices.close()

    assert [notice.title for notice in told] == ["full run failed"]
    (failed,) = [record for record in caplog.records if record.getMessage() == "notice.failed"]
    assert (vars(failed)["about"], vars(failed)["why"]) == ("generation.watched", "KeyError")


def test_an_address_shows_no_url() -> None:
    assert "zqzq" not in f"{Address(1, 'info', 'json://zqzq')!r}"
