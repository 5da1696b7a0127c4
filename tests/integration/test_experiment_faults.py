"""An experiment's traffic while store, API and drain are killed: arms stay, each exposure is stored once.

`ALMANAC_CHAOS=1` makes it ten minutes. The store writes its log at each command here: what it acknowledged
has to be there afterwards, whatever its disk was doing when it died.
"""

import http.client
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from api.contract.experiment import Arm, Experiment
from api.contract.exposure import FIELD, unpack
from api.contract.keys import Keys
from batch.data.live.accepted import drain_accepted
from batch.data.live.layout import EXPOSURES
from batch.settings import Settings
from tests.clients import ROOT, OwnStore, await_answer
from tests.conftest import free_port
from tests.world import World

FULL = bool(os.environ.get("ALMANAC_CHAOS"))
LASTS_S, KILL_S = (600.0, 7.0) if FULL else (6.5, 1.5)
DEAD_S = 0.3
N_CLIENTS, PAUSE_S = 3, 0.01
KEYS = Keys()
EXPERIMENT = Experiment(
    "turned", "turned", (Arm("as-it-is", "default", 50), Arm("turned", "other", 50)), state="running"
)
ARMS = {user: EXPERIMENT.assign(user).name for user in range(1, 60)}
DRAIN = """
import time
from batch.data.live.accepted import drain_accepted
from batch.settings import Settings
from batch.store.connection import connect
settings = Settings()
with connect(settings.redis_url.get_secret_value(), 5.0) as store:
    while True:
        try:
            drain_accepted(settings, store)
        except Exception as exc:
            print(exc, flush=True)
        time.sleep(0.05)
"""

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(int(LASTS_S) + 120)]


@dataclass
class Truth:
    """What is known outside of the table.

    Attributes:
        asked: Request id to its user, of all that was asked.
        stored: Entry, place and request id of each record that a reader of the stream has seen there.
        wrong: What should not have been answered.
        answers: Arm to answers.
    """

    asked: dict[str, int] = field(default_factory=dict)
    stored: dict[tuple[str, int], str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass
class Process:
    """A process that is killed and started again."""

    command: list[str]
    env: dict[str, str]
    log: Path
    _running: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as out:
            self._running = subprocess.Popen(
                self.command, env={**os.environ, **self.env}, cwd=ROOT, stdout=out, stderr=out
            )

    def end(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, and wait for its end."""
        if self._running is not None:
            self._running.send_signal(number)
            self._running.wait(20)


def ask(number: int, port: int, truth: Truth) -> None:
    """Ask for feeds until the end; an answer of an arm must be of the user's own."""
    rng, http_ = random.Random(number), http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for turn in itertools.count():
        if truth.ended.wait(rng.uniform(0, 2 * PAUSE_S)):
            break
        user, name = rng.choice(list(ARMS)), f"r{number}-{turn}"
        truth.asked[name] = user
        path = rng.choice((f"/post/recommendations/?id={user}&limit=5", f"/users/{user}/feed?limit=5"))
        try:
            http_.request("GET", path, headers={"X-Request-Id": name})
            reply = http_.getresponse()
            reply.read()
        except (OSError, http.client.HTTPException):  # the API is away
            http_.close()
            continue
        arm = reply.headers.get("X-Almanac-Arm", "none")
        truth.answers[arm] += reply.status == 200
        if reply.status == 200 and arm not in (ARMS[user], "none"):
            truth.wrong.append(f"user {user} of {ARMS[user]} got {arm}")
    http_.close()


def read_along(url: str, truth: Truth) -> None:
    """Take note of all records that stand in the stream, until the end."""
    last = b"0"
    while not truth.ended.is_set():
        with suppress(redis.RedisError), redis.Redis.from_url(url, socket_timeout=5) as client:
            while not truth.ended.is_set():
                for _, entries in client.xread({KEYS.exposures(): last}, block=100) or ():
                    for last, fields in entries:
                        for place, one in enumerate(unpack(fields[FIELD.encode()])):
                            truth.stored[last.decode(), place] = one.request_id
        time.sleep(0.05)


@contextmanager
def running(threads: list[threading.Thread], truth: Truth) -> Iterator[None]:
    """Run threads until the end."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        truth.ended.set()
        for thread in threads:
            thread.join()


def test_arms_never_change_and_each_exposure_that_the_store_took_is_stored_once(
    own_store: OwnStore, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    truth, port, always = Truth(), free_port(), ("--appendfsync", "always")
    settings = Settings(state_dir=tmp_path, redis_url=own_store.url)
    env = {"ALMANAC_REDIS_URL": own_store.url, "ALMANAC_STATE_DIR": str(tmp_path), "ALMANAC_PORT": str(port)}
    api = Process([sys.executable, "-m", "api.main"], env, tmp_path / "api.log")
    drain = Process([sys.executable, "-c", DRAIN], env, tmp_path / "drain.log")
    with closing(own_store.start(*always)) as store:
        for generation, variant in ((1, "default"), (2, "other")):
            world = World(generation, turn=generation, depth=50, posts=range(1, 200), variant=variant)
            world.publish(store).promote(store)
        store.hset(KEYS.experiments(), EXPERIMENT.name, EXPERIMENT.to_json())
    api.start()
    drain.start()
    await_answer(f"http://127.0.0.1:{port}/ready")
    clients = [threading.Thread(target=ask, args=(n, port, truth)) for n in range(N_CLIENTS)]
    reader = threading.Thread(target=read_along, args=(own_store.url, truth))
    try:
        with running([*clients, reader], truth):
            ends = time.monotonic() + LASTS_S
            for turn in itertools.cycle(range(3)):
                time.sleep(KILL_S)
                if time.monotonic() > ends:
                    break
                if turn == 2:
                    own_store.kill()
                    time.sleep(DEAD_S)
                    own_store.start(*always).close()
                else:
                    (drain, api)[turn].end()
                    (drain, api)[turn].start()
    finally:
        api.end(signal.SIGTERM)
        drain.end()
    with closing(redis.Redis.from_url(own_store.url)) as store:
        drain_accepted(settings, store)

    engine = sa.create_engine(f"sqlite:///{tmp_path}/events.db")
    chosen = [EXPOSURES.c[name] for name in ("entry_id", "place", "request_id", "user_id", "arm")]
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(sa.select(*chosen))]
        unreadable = connection.scalar(sa.text("SELECT count(*) FROM live_unreadable"))
    engine.dispose()
    table = {(entry, place): name for entry, place, name, _, _ in rows}
    figures = {
        "asked": len(truth.asked),
        **{f"answers {arm}": n for arm, n in sorted(truth.answers.items())},
        "exposures seen in the stream": len(truth.stored),
        "exposures in the table": len(rows),
    }
    for name, value in figures.items():
        record_testsuite_property(name, value)
    assert truth.wrong == []
    assert unreadable == 0
    assert truth.stored.items() <= table.items()
    assert len({name for _, _, name, _, _ in rows}) == len(rows)
    assert all(truth.asked[name] == int(user) and ARMS[int(user)] == arm for _, _, name, user, arm in rows)
    assert min(len(truth.stored), len(rows)) > 50
    assert {arm for *_, arm in rows} == {arm.name for arm in EXPERIMENT.arms}
