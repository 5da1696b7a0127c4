"""The inspector's experiments: what is defined, and the verdict that the command gives."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from api.contract.buckets import moment
from api.contract.event import Event
from api.contract.experiment import Arm, Experiment
from api.contract.exposure import FIELD, Exposure, pack
from batch.experiments.comparisons import Terms
from batch.experiments.registry import create, start
from batch.jobs.outcomes import NoExposures
from batch.jobs.report import report
from batch.progress import SILENT
from batch.settings import Settings
from tests.conftest import free_port
from tests.content import KEYS
from tests.inspecting import Inspected, inspecting
from tests.world import World

pytestmark = pytest.mark.integration

START_S = 1_700_000_000
AB = Experiment("ab", "ab", (Arm("a", "default", 50), Arm("b", "default", 50)), START_S)


@pytest.fixture
def inspector(valkey_url: str, store: redis.Redis, tmp_path: Path) -> Iterator[Inspected]:
    """Give the inspector, signed in, of a store whose experiment runs; nobody was answered yet."""
    World().publish(store).promote(store)
    create(store, KEYS, AB, "ann@here", START_S - 10)
    start(store, KEYS, "ab", "bob@there", START_S)
    with inspecting(valkey_url, tmp_path, exposures_days=0) as opened:
        opened.clock.now_s = START_S + 3600
        yield opened.enter()


def answer_users(
    store: redis.Redis, n: int, start_s: int = START_S, arms: Sequence[str] = ("a", "b")
) -> None:
    """Let `n` users be answered, half by each arm; whom the second answers, likes three times as often."""
    records = []
    for user in range(n):
        at_s, arm = start_s + 10 + user, arms[user % 2]
        records.append(Exposure("ab", str(user), arm, 0, at_s * 1000, 1, 0, "own", "r", [1, 2, 3, 4]))
        for post in range(1, 2 + (user % 2) * 2 + user % 3 % 2):
            event = Event(f"e{user}-{post}", str(user), str(post), "like", at_s + 5, at_s + 5)
            store.xadd(KEYS.events(), event.to_fields())  # type: ignore[arg-type]  # a dict of texts is one
    store.xadd(KEYS.exposures(), {FIELD: pack(records)})


def test_the_verdict_is_the_one_of_the_command(
    inspector: Inspected, store: redis.Redis, tmp_path: Path, valkey_url: str
) -> None:
    answer_users(store, 80)
    assert inspector.read("/experiment", name="ab")["verdict"] is None

    shown = inspector.read("/experiment", name="ab", verdict=1)["verdict"]

    settings = Settings(redis_url=valkey_url, state_dir=tmp_path, exposures_days=0)
    told: dict[str, Any] = report(settings, store, "ab", Terms(), SILENT, START_S + 3600).values()
    assert shown == orjson.loads(orjson.dumps(told))
    assert shown["users"] == {"a": 40, "b": 40}
    assert {one["says"] for one in shown["readings"] if one["metric"] == "likes a user"} == {"higher"}
    assert "<b>higher</b>" in inspector.text("/experiment", name="ab", verdict=1)


def test_the_way_to_the_verdict_is_what_was_said_at_each_look(
    inspector: Inspected, store: redis.Redis, tmp_path: Path, valkey_url: str
) -> None:
    answer_users(store, 80)
    inspector.clock.now_s = END_S = START_S + 112

    found = inspector.read("/experiment", name="ab", looks=1)

    settings = Settings(redis_url=valkey_url, state_dir=tmp_path, exposures_days=0)
    ends = [START_S + 8 * part for part in range(1, 15)]
    told = {}
    for until_s in ends:  # what a look at that time says
        try:
            values: dict[str, Any] = report(settings, store, "ab", Terms(), SILENT, until_s).values()
        except NoExposures:
            continue
        for one in values["readings"]:
            (early,) = [test for test in one["tests"] if test["test"] == "always_valid"]
            told[one["metric"], moment(until_s).isoformat()] = early, sum(values["users"].values())
    verdict = orjson.loads(orjson.dumps(report(settings, store, "ab", Terms(), SILENT, END_S).values()))
    assert found["verdict"] == verdict
    assert [(one["metric"], one["arm"]) for one in found["looks"]] == [
        (one["metric"], one["arm"]) for one in verdict["readings"]
    ]
    n_known = 0
    for one in found["looks"]:
        assert [look["until"] for look in one["looks"]] == [moment(end).isoformat() for end in ends]
        for look in one["looks"]:
            if (one["metric"], look["until"]) not in told:
                assert look["effect"] is None
                continue
            early, n_users = told[one["metric"], look["until"]]
            n_known += 1
            assert look["n_users"] == n_users
            for name in ("effect", "low", "high"):
                assert look[name] == pytest.approx(early[name])
    assert n_known > len(found["looks"])
    likes = next(one for one in found["looks"] if one["metric"] == "likes a user")["looks"]
    widths = [look["high"] - look["low"] for look in likes if look["effect"] is not None]
    assert widths[-1] < widths[0]
    page = inspector.text("/experiment", name="ab", looks=1)
    assert len(re.findall('class="whisker"', page)) >= n_known
    assert found["rungs"] == [{"arm": arm, "rung": "own", "n": 40, "share": 1.0} for arm in ("a", "b")]


def test_definitions_and_who_did_what_are_shown(inspector: Inspected) -> None:
    (one,) = inspector.read("/experiments")["experiments"]
    shown = inspector.read("/experiment", name="ab")

    assert (one["name"], one["state"], [arm["share"] for arm in one["arms"]]) == ("ab", "running", [50, 50])
    assert [note["what"] for note in shown["notes"]] == ["started", "created"]
    assert "at" in shown["notes"][0]
    assert any(note["who"] == "bob@there" for note in inspector.read("/generations")["notes"])


def test_what_is_missing_is_said(inspector: Inspected, store: redis.Redis) -> None:
    said = inspector.read("/experiment", name="ab", verdict=1)
    assert "has answered nobody" in said["why_not"]
    assert "there is no experiment none" in inspector.read("/experiment", 404, name="none")["error"]
    store.delete(KEYS.experiments())
    assert inspector.read("/experiments")["experiments"] == []


def test_a_database_that_is_away_is_said_without_its_password(
    inspector: Inspected, valkey_url: str, tmp_path: Path
) -> None:
    url = f"postgresql://almanac:secret@127.0.0.1:{free_port()}/events"
    with inspecting(valkey_url, tmp_path / "other", events_url=url) as away:
        for asked in ({"verdict": 1}, {"looks": 1}):
            found = away.enter().read("/experiment", 503, name="ab", **asked)

            assert found["title"] == "The facts or the live events cannot be read"
            assert "ALMANAC_EVENTS_URL" in found["error"]
            assert "secret" not in away.text("/experiment", name="ab", **asked)
        assert away.read("/experiment", name="ab")["state"] == "running"
