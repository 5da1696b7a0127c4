"""Experiments as people keep them: drafts, starts, stops, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from api.contract.experiment import Arm, Experiment
from api.contract.keys import Keys
from batch.__main__ import run_command
from batch.experiments import registry
from batch.experiments.registry import ExperimentRefused, archive, create, find, read_log, start, stop
from tests.world import PROMOTED_AT_S, World

pytestmark = pytest.mark.integration

NOW_S = PROMOTED_AT_S + 60.5
KEYS = Keys()
ANN = "ann smith@night-1"
AB = Experiment("buttons", "my_salt", (Arm("old", "default", 50), Arm("new", "text", 50)))


@pytest.fixture(autouse=True)
def published(store: redis.Redis) -> None:
    """Publish two variants."""
    World().publish(store).promote(store)
    World(generation=2, turn=1, variant="text").publish(store).promote(store)


def test_an_experiment_goes_from_draft_to_archive_and_each_step_is_noted(store: redis.Redis) -> None:
    steps: list[Callable[..., Experiment]] = [start, stop, archive]
    done = [create(store, KEYS, AB, ANN, NOW_S)]
    done += [step(store, KEYS, AB.name, ANN, NOW_S + 100 * n) for n, step in enumerate(steps, 1)]

    assert [one.state for one in done] == ["draft", "running", "stopped", "archived"]
    assert (done[1].start_s, done[1].end_s) == (int(NOW_S) + 100, None)
    assert (done[3].start_s, done[3].end_s) == (int(NOW_S) + 100, int(NOW_S) + 200)
    assert find(store, KEYS, AB.name) == done[3]
    log = read_log(store, KEYS, AB.name)
    assert [line["what"] for line in log] == ["created", "started", "stopped", "archived"]
    assert {line["who"] for line in log} == {ANN}
    assert log[0]["at"] == "2021-12-20T10:46:00+00:00"


def test_a_draft_may_be_written_anew_and_what_runs_may_not(store: redis.Redis) -> None:
    create(store, KEYS, AB, ANN, NOW_S)
    create(store, KEYS, replace(AB, salt="other"), ANN, NOW_S)
    start(store, KEYS, AB.name, ANN, NOW_S)

    assert find(store, KEYS, AB.name).salt == "other"
    with pytest.raises(ExperimentRefused, match="is running, and only a draft can be changed"):
        create(store, KEYS, AB, ANN, NOW_S)
    stop(store, KEYS, AB.name, ANN, NOW_S)
    with pytest.raises(ExperimentRefused, match="is stopped, and only a draft can be changed"):
        create(store, KEYS, AB, ANN, NOW_S)


def test_it_starts_at_its_own_later_start_and_a_stop_before_leaves_it_a_second(store: redis.Redis) -> None:
    later_s = int(NOW_S) + 1000
    create(store, KEYS, replace(AB, start_s=later_s), ANN, NOW_S)

    assert start(store, KEYS, AB.name, ANN, NOW_S).start_s == later_s
    assert stop(store, KEYS, AB.name, ANN, NOW_S).end_s == later_s + 1


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (
            replace(AB, name="b", routes=("feed",)),
            "buttons runs on checker, feed at the same time as b would",
        ),
        (replace(AB, name="b", start_s=int(NOW_S) + 10**6), "at the same time as b would"),
        (replace(AB, name="b", end_s=int(NOW_S)), "experiment b ended at 2021-12-20T10:46:00"),
        (
            replace(AB, name="b", arms=(AB.arms[0], Arm("x", "bold", 50))),
            "published under variant bold, which",
        ),
        (replace(AB, name="buttons"), "buttons is running, and only a draft can be started"),
    ],
)
def test_a_start_is_refused_with_one_sentence(store: redis.Redis, other: Experiment, why: str) -> None:
    create(store, KEYS, AB, ANN, NOW_S)
    start(store, KEYS, AB.name, ANN, NOW_S)
    if other.name != AB.name:
        create(store, KEYS, other, ANN, NOW_S)

    with pytest.raises(ExperimentRefused, match=why):
        start(store, KEYS, other.name, ANN, NOW_S)
    running = [one.name for one in registry.find_all(store, KEYS) if one.state == "running"]
    assert running == [AB.name]


def test_experiments_of_other_routes_or_times_run_side_by_side(store: redis.Redis) -> None:
    for one in (
        replace(AB, name="a", routes=("checker",)),
        replace(AB, name="b", routes=("feed",), end_s=int(NOW_S) + 100),
        replace(AB, name="c", routes=("feed",), start_s=int(NOW_S) + 100),
    ):
        create(store, KEYS, one, ANN, NOW_S)
        start(store, KEYS, one.name, ANN, NOW_S)

    assert {one.state for one in registry.find_all(store, KEYS)} == {"running"}


def test_who_is_missing_or_runs_is_named(store: redis.Redis) -> None:
    with pytest.raises(LookupError, match="there is no experiment buttons"):
        stop(store, KEYS, AB.name, ANN, NOW_S)
    create(store, KEYS, AB, ANN, NOW_S)
    with pytest.raises(ExperimentRefused, match="is draft, and only one that runs can be stopped"):
        stop(store, KEYS, AB.name, ANN, NOW_S)
    start(store, KEYS, AB.name, ANN, NOW_S)
    with pytest.raises(ExperimentRefused, match="`almanac experiments stop buttons` ends it first"):
        archive(store, KEYS, AB.name, ANN, NOW_S)


def test_the_commands(
    valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALMANAC_REDIS_URL", valkey_url)
    monkeypatch.setenv("ALMANAC_STATE_DIR", str(tmp_path))
    path = tmp_path / "buttons.toml"
    arms = "".join(
        f'[[arms]]\nname = "{name}"\nvariant = "{variant}"\nshare = 50\n'
        for name, variant in (("old", "default"), ("new", "text"))
    )
    path.write_text(f'name = "buttons"\nresponse = "ab"\n{arms}')

    def say(*arguments: str) -> dict[str, object]:
        assert run_command(["experiments", *arguments, "--json"]) == 0
        said: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return said

    assert say("create", str(path))["state"] == "draft"
    assert say("start", "buttons")["state"] == "running"
    assert say("show", "buttons")["arms"] == [
        {"name": "old", "variant": "default", "share": 50},
        {"name": "new", "variant": "text", "share": 50},
    ]
    assert say("stop", "buttons")["state"] == "stopped"
    assert len(say("list")["experiments"]) == 1  # type: ignore[arg-type]  # a list, as JSON has it
    assert say("archive", "buttons")["state"] == "archived"
    assert say("list") == {"experiments": []}
    assert len(say("list", "--all")["experiments"]) == 1  # type: ignore[arg-type]  # likewise
    assert run_command(["experiments", "list"]) == 0
    assert run_command(["experiments", "start", "buttons"]) == 2
    assert "is archived, and only a draft can be started" in capsys.readouterr().err
