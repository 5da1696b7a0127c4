"""Several processes at one address: they count as one, and are replaced without a request lost."""

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from batch.store.wait import wait_until
from tests.clients import await_answer, first_token, run_process
from tests.world import World

pytestmark = pytest.mark.integration

FEED = "/post/recommendations/?id=2&time=2021-12-20%2012:00:00&limit=5"
EXPECTED = [36, 34, 32, 30, 28]
WAIT_S = 60


@dataclass
class Served:
    """An address that two workers serve, and what they have logged."""

    port: int
    pid: int
    folder: Path

    @property
    def address(self) -> str:
        """Return where they listen."""
        return f"http://127.0.0.1:{self.port}"

    def read_log(self, event: str) -> list[dict[str, object]]:
        """Return the lines of an event."""
        lines = []
        for text in (self.folder / "api.log").read_text().splitlines():
            with suppress(ValueError):  # one is half written
                lines.append(json.loads(text))
        return [line for line in lines if line["event"] == event]

    def read_pids(self, event: str = "workers.started") -> list[int]:
        """Return who serves, as of the last line of an event; wait for it."""
        assert wait_until(lambda: self.read_log(event), WAIT_S), f"no {event}"
        pids = self.read_log(event)[-1]["pids"]
        assert isinstance(pids, list)
        return pids

    def await_starts(self, n: int) -> None:
        """Wait until so many workers have begun to serve."""
        assert wait_until(lambda: len(self.read_log("api.started")) >= n, WAIT_S), f"not {n} workers"


@pytest.fixture
def served(store: redis.Redis, valkey_url: str, tmp_path: Path) -> Iterator[Served]:
    """Serve the world by two workers."""
    World().publish(store).promote(store)
    with run_process(valkey_url, tmp_path, ALMANAC_WORKERS="2") as (port, pid):
        address = Served(port, pid, tmp_path)
        address.await_starts(2)
        yield address
    assert "Traceback" not in (tmp_path / "api.log").read_text()
    with pytest.raises(OSError, match="refused"):
        await_answer(f"{address.address}/health", 0.1)


@dataclass
class Asking:
    """Clients that ask again and again, each time on a new connection or on a kept one."""

    address: str
    statuses: Counter[str] = field(default_factory=Counter)

    def until(self, done: Callable[[], bool]) -> None:
        """Ask until something is done."""
        stop = threading.Event()
        clients = [threading.Thread(target=self._ask, args=(stop, kept)) for kept in (True, False)]
        for client in clients:
            client.start()
        try:
            assert wait_until(done, WAIT_S)
        finally:
            stop.set()
            for client in clients:
                client.join()

    def _ask(self, stop: threading.Event, kept: bool) -> None:
        headers = {} if kept else {"Connection": "close"}
        with httpx2.Client(timeout=20) as client:
            while not stop.is_set():
                try:
                    reply = client.get(f"{self.address}{FEED}", headers=headers)
                    wrong = [post["id"] for post in reply.json()] != EXPECTED
                    self.statuses["wrong" if wrong else str(reply.status_code)] += 1
                except httpx2.HTTPError as exc:
                    self.statuses[type(exc).__name__] += 1


def count_requests(served: Served) -> float:
    """Return how many feed requests the address says it has answered."""
    token = first_token(served.folder, "admin")
    text = httpx2.get(f"{served.address}/metrics", headers=token).text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(s.value for s in samples if s.name == "almanac_requests_total" and "post" in s.labels["route"])


def test_workers_are_counted_as_one_and_replaced_when_they_end(served: Served) -> None:
    n = 40
    for _ in range(n):
        with httpx2.Client() as client:  # a new connection: the system chooses who takes it
            assert client.get(f"{served.address}{FEED}").status_code == 200
    assert wait_until(lambda: count_requests(served) == n, WAIT_S), count_requests(served)

    for lost, told, exit_code in zip(
        served.read_pids(), (signal.SIGTERM, signal.SIGKILL), (0, -9), strict=True
    ):
        n_before = len(served.read_log("api.started"))
        os.kill(lost, told)
        served.await_starts(n_before + 1)
        ended = served.read_log("worker.ended")[-1]
        assert (ended["pid"], ended["exit_code"]) == (lost, exit_code)
    assert count_requests(served) == n
    for _ in range(20):
        assert httpx2.get(f"{served.address}{FEED}").status_code == 200


def test_workers_hold_posts_once_and_leave_out_what_is_taken_down(served: Served) -> None:
    maps = [Path(f"/proc/{pid}/maps").read_text().splitlines() for pid in served.read_pids()]
    files = [{line.split(maxsplit=5)[-1] for line in lines if line.endswith(".posts")} for lines in maps]
    assert files[0] == files[1] != set()

    token = first_token(served.folder, "admin")
    assert httpx2.put(f"{served.address}/posts/{EXPECTED[0]}/takedown", headers=token).status_code < 300
    for _ in range(20):
        reply = httpx2.get(f"{served.address}{FEED}").json()
        assert [post["id"] for post in reply][:4] == EXPECTED[1:]


def test_all_workers_are_replaced_in_turns_and_no_request_is_lost(served: Served) -> None:
    before, asking = served.read_pids(), Asking(served.address)
    os.kill(served.pid, signal.SIGHUP)
    asking.until(lambda: bool(served.read_log("workers.replaced")))

    after = served.read_pids("workers.replaced")
    assert not set(before) & set(after)
    assert set(asking.statuses) == {"200"}, asking.statuses
    assert asking.statuses["200"] > 20


def test_workers_end_when_the_process_that_started_them_is_killed(served: Served) -> None:
    pids = served.read_pids()
    os.kill(served.pid, signal.SIGKILL)

    assert wait_until(lambda: len(served.read_log("api.stopped")) == 2, WAIT_S)
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), WAIT_S)
