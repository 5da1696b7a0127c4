"""An hour of short nights: a full run every five minutes, a refresh every two, and kills at random."""

import random
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis

from api.contract.keys import Keys
from batch.data.write import write
from batch.runs.runs import Runs
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables
from tests.bench.nights.house import Batch, FitStore, environment
from tests.bench.nights.judge import BAD, find_longest_s, find_overlaps, find_unaccounted, find_untold
from tests.clients import running
from tests.postgres import OwnPostgres, in_database, run_postgres
from tests.webhook import webhook

FULL, REFRESH = "*/5 * * * *", "1-59/2 * * * *"
AWAY_S = (0.5, 15.0)  # how long what was killed stays away
FIRST_S = 900.0  # for the first generation, without kills
PAUSE_S = 0.05  # between two requests of one client
CLIENTS = 4


@dataclass
class Asker:
    """Clients that ask for feeds all the time, and what they were answered."""

    address: str
    users: range
    statuses: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ask_on(self, seed: int) -> None:
        """Ask until it is over."""
        rng = random.Random(seed)
        while not self.over.wait(PAUSE_S):
            self._ask(rng.choice(self.users))

    def _ask(self, user: int) -> None:
        url = f"{self.address}/users/{user}/feed?limit=5"
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                self.statuses[str(reply.status)] += 1
                self.degraded[reply.headers["X-Almanac-Degraded"] or "no"] += 1
        except (OSError, urllib.error.HTTPError) as exc:
            self.statuses[type(exc).__name__] += 1
            self.failures.append(f"{time.time():.1f} {url}: {exc}")


def run(minutes: float, kills: int, users: int, seed: int) -> dict[str, Any]:
    """Let the schedule go on for so long, kill at random, and return what did and did not hold.

    Args:
        minutes: How long, from the first generation on.
        kills: How many, of database, store and batch in turn, each at a random moment.
        users: Of the made world.
        seed: Of moments, and of how long what was killed stays away.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="almanac-nights-")))
        for name in ("postgres", "store", "api", "state"):
            (folder / name).mkdir()
        database = in_database(stack.enter_context(run_postgres(folder / "postgres")), "facts")
        write(database, tables(WorldConfig(users, 300, 1)))
        store = FitStore(folder / "store")
        client = store.start()
        stack.callback(store.kill)
        hook = stack.enter_context(webhook()) if find_spec("apprise") else None
        batch = Batch(_settings(folder, database, store.url, hook.url if hook else ""))
        stack.callback(batch.kill)
        address = stack.enter_context(running(store.url, folder / "api", ALMANAC_READ_TIMEOUT_S="5"))
        batch.start()
        _await_first(client, batch)
        asker = Asker(address, range(200, 200 + users))
        stack.callback(asker.over.set)  # whatever goes wrong, nobody asks on
        askers = [threading.Thread(target=asker.ask_on, args=(seed + one,)) for one in range(CLIENTS)]
        for thread in askers:
            thread.start()
        killed = _kill_on(
            {"database": OwnPostgres(folder / "postgres"), "store": store, "batch": batch},
            random.Random(seed),
            minutes * 60,
            kills,
        )
        asker.over.set()
        for thread in askers:
            thread.join()
        stopped_s = time.time()
        code = batch.stop()
        runs = Runs(folder / "state").recent(10_000)
    return _judge(asker, batch, runs, hook.heard if hook else None, killed, stopped_s) | {"exit_code": code}


def _settings(folder: Path, database: str, store: str, notices: str) -> dict[str, str]:
    return environment(
        state_dir=str(folder / "state"),
        database_url=database,
        redis_url=store,
        schedule=FULL,
        refresh_schedule=REFRESH,
        notices=notices,
        stale_h="0",
        n_buckets="4",
        n_trees="20",
        prefix="almanac",
    )


def _await_first(client: redis.Redis, batch: Batch) -> None:
    """Return once something is served, and each job has run: from its record a job knows what it missed."""
    give_up = time.monotonic() + FIRST_S
    while (
        not client.exists(Keys().current("default"))
        or len({one["kind"] for one in batch.said("run.done")}) < 2
    ):
        if time.monotonic() > give_up:
            raise TimeoutError(f"the first runs did not end within {FIRST_S:g} s")
        time.sleep(0.5)


def _kill_on(parts: dict[str, Any], rng: random.Random, seconds: float, kills: int) -> list[str]:
    """Kill one part after another at random moments within so many seconds; return what and when."""
    begin, names = time.monotonic(), [list(parts)[place % len(parts)] for place in range(kills)]
    rng.shuffle(names)
    moments = sorted(rng.uniform(0.0, seconds * 0.85) for _ in names)
    killed = []
    for moment, name in zip(moments, names, strict=True):
        time.sleep(max(0.0, begin + moment - time.monotonic()))
        part, away_s = parts[name], rng.uniform(*AWAY_S)
        part.kill()
        killed.append(f"{time.monotonic() - begin:.0f} s: {name}, away for {away_s:.1f} s")
        time.sleep(away_s)
        part.start()
    time.sleep(max(0.0, begin + seconds - time.monotonic()))
    return killed


def _judge(
    asker: Asker,
    batch: Batch,
    runs: list[Any],
    heard: list[dict[str, Any]] | None,
    killed: list[str],
    stopped_s: float,
) -> dict[str, Any]:
    """Count what was, and list what does not hold of what was due until the schedule was told to stop.

    The last times are open, for as long as a run took at most: what was due beside it had yet to come.
    """
    from_s = datetime.fromisoformat(batch.said("schedule.started")[0]["at"]).timestamp()
    until_s = stopped_s - find_longest_s(runs)
    unaccounted = {
        kind: find_unaccounted(kind, cron, from_s, until_s, runs, batch.lines)
        for kind, cron in (("full", FULL), ("refresh", REFRESH))
    }
    wrong: dict[str, Sequence[object] | None] = {
        "failed_requests": asker.failures[:20],
        "unaccounted_times": [f"{kind} {at}" for kind, times in unaccounted.items() for at in times],
        "overlapping_runs": find_overlaps(runs),
        "failures_without_notice": None if heard is None else find_untold(runs, heard),
    }

    def missed(kind: str) -> int:
        return sum(len(line["slots"]) for line in batch.said("slot.missed") if line["job"] == kind)

    return {
        "kills": killed,
        "requests": sum(asker.statuses.values()),
        "statuses": dict(asker.statuses),
        "degraded": dict(asker.degraded),
        "runs": dict(Counter(f"{run.kind} {run.outcome}" for run in runs)),
        "failures": [f"{run.number} {run.kind}: {run.why}" for run in runs if run.outcome in BAD],
        "resumed": len(batch.said("run.resumed")),
        "retried": len(batch.said("run.retried")),
        "missed": {kind: missed(kind) for kind in ("full", "refresh")},
        "notices": None if heard is None else [notice["title"] for notice in heard],
        "wrong": wrong,
        "n_wrong": sum(len(found) for found in wrong.values() if found),
    }
