"""The experiments of a store: kept, started, stopped, archived, each change with a note of who made it."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, cast

import redis
from redis.client import Pipeline

from api.contract.buckets import moment
from api.contract.experiment import Experiment, read_experiments
from api.contract.ids import quote, unquote
from api.contract.keys import Keys
from batch.store import read
from batch.store.transaction import Write, transact

Change = Callable[[Pipeline, dict[str, Experiment]], Experiment]


class ExperimentRefused(ValueError):
    """An experiment cannot be made, started, stopped or archived as things stand."""


def create(client: redis.Redis, keys: Keys, one: Experiment, who: str, now_s: float) -> Experiment:
    """Keep a definition, in the place of an earlier draft of its name.

    Args:
        client: The store.
        keys: Names of the keys.
        one: The definition; a draft.
        who: Makes the change.
        now_s: When this is noted, epoch seconds.

    Raises:
        ExperimentRefused: One of its name has been started: what it means must not change any more.
    """

    def decide(_: Pipeline, known: dict[str, Experiment]) -> Experiment:
        before = known.get(one.name)
        if before is not None and before.state != "draft":
            raise ExperimentRefused(
                f"experiment {one.name} is {before.state}, and only a draft can be changed: give another name"
            )
        return one

    return _change(client, keys, one.name, decide, "created", who, now_s)


def start(client: redis.Redis, keys: Keys, name: str, who: str, now_s: float) -> Experiment:
    """Let a draft run, from now on or from its own later start.

    Raises:
        LookupError: There is none of that name.
        ExperimentRefused: It is no draft, its end is over, an arm's variant has no current generation, or
            another one that runs has a route in common at a time in common.
    """

    def decide(pipe: Pipeline, known: dict[str, Experiment]) -> Experiment:
        draft = _find(known, name)
        if draft.state != "draft":
            raise ExperimentRefused(f"experiment {name} is {draft.state}, and only a draft can be started")
        if draft.end_s is not None and draft.end_s <= now_s:
            raise ExperimentRefused(f"experiment {name} ended at {_say(draft.end_s)}: give a later end")
        running = replace(draft, state="running", start_s=max(draft.start_s, int(now_s)))
        for variant in dict.fromkeys(arm.variant for arm in draft.arms):
            if not pipe.hget(keys.current(variant), "generation"):
                raise ExperimentRefused(
                    f"nothing is published under variant {variant}, which an arm of {name} has: "
                    f"run `almanac run --variant {variant}`"
                )
        for other in known.values():
            if other.state == "running" and other.overlaps(running):
                raise ExperimentRefused(
                    f"experiment {other.name} runs on {', '.join(other.routes)} at the same time as {name} "
                    f"would: stop it, or give other routes or times"
                )
        return running

    return _change(client, keys, name, decide, "started", who, now_s)


def stop(client: redis.Redis, keys: Keys, name: str, who: str, now_s: float) -> Experiment:
    """End one that runs, for good.

    Raises:
        LookupError: There is none of that name.
        ExperimentRefused: It does not run.
    """

    def decide(_: Pipeline, known: dict[str, Experiment]) -> Experiment:
        one = _find(known, name)
        if one.state != "running":
            raise ExperimentRefused(
                f"experiment {name} is {one.state}, and only one that runs can be stopped"
            )
        end_s = max(int(now_s), one.start_s + 1)  # a stop before its start leaves it a second
        return replace(one, state="stopped", end_s=end_s if one.end_s is None else min(end_s, one.end_s))

    return _change(client, keys, name, decide, "stopped", who, now_s)


def archive(client: redis.Redis, keys: Keys, name: str, who: str, now_s: float) -> Experiment:
    """Leave one out of the list from now on; what was recorded of it stays.

    Raises:
        LookupError: There is none of that name.
        ExperimentRefused: It runs.
    """

    def decide(_: Pipeline, known: dict[str, Experiment]) -> Experiment:
        one = _find(known, name)
        if one.state == "running":
            raise ExperimentRefused(
                f"experiment {name} runs: `almanac experiments stop {name}` ends it first"
            )
        return replace(one, state="archived")

    return _change(client, keys, name, decide, "archived", who, now_s)


def find(client: redis.Redis, keys: Keys, name: str) -> Experiment:
    """Return an experiment by its name.

    Raises:
        LookupError: There is none.
    """
    return _find(_read(client, keys), name)


def find_all(client: redis.Redis, keys: Keys) -> list[Experiment]:
    """Return all experiments by name, archived ones too."""
    return [*_read(client, keys).values()]


def read_log(client: redis.Redis, keys: Keys, name: str) -> list[dict[str, str]]:
    """Return who did what to an experiment, and when, oldest first."""
    members = cast("list[bytes]", client.zrange(keys.experiment_log(), 0, -1))
    noted = [member.decode().split(" ") for member in members]
    return [
        {"at": _say(int(at_ms) // 1000), "who": unquote(who), "what": what}
        for at_ms, who, what, of in noted
        if of == name
    ]


def describe(one: Experiment) -> dict[str, Any]:
    """Return an experiment as people read it, times as ISO 8601."""
    return {
        "name": one.name,
        "state": one.state,
        "start": _say(one.start_s) if one.start_s else None,
        "end": None if one.end_s is None else _say(one.end_s),
        "routes": [*one.routes],
        "response": one.response,
        "salt": one.salt,
        "sample_percent": one.sample_percent,
        "arms": [asdict(arm) for arm in one.arms],
        "forced": {**one.forced},
    }


def _change(
    client: redis.Redis, keys: Keys, name: str, decide: Change, what: str, who: str, now_s: float
) -> Experiment:
    """Write what is decided by all that is kept, with a note; nothing where that raises."""
    decided: list[Experiment] = []

    def decide_by_stored(pipe: Pipeline) -> Write:
        decided[:] = [decide(pipe, _read(pipe, keys))]
        return write

    def write(queue: Pipeline) -> None:
        queue.hset(keys.experiments(), name, decided[0].to_json())
        queue.zadd(keys.experiment_log(), {f"{round(now_s * 1000)} {quote(who)} {what} {name}": int(now_s)})

    transact(client, [keys.experiments()], decide_by_stored)
    return decided[0]


def _read(client: redis.Redis, keys: Keys) -> dict[str, Experiment]:
    kept = read_experiments(read.fields(client, keys.experiments()).items())
    return {one.name: one for one in kept}


def _find(known: dict[str, Experiment], name: str) -> Experiment:
    if name not in known:
        raise LookupError(
            f"there is no experiment {name}: `almanac experiments list --all` shows those there are"
        )
    return known[name]


def _say(at_s: int) -> str:
    return moment(at_s).isoformat()
