"""Six nodes under traffic: slots move, primaries are killed; every answer is judged, the API's CPU compared.

What is wrong: an answer of a generation that was not current while it was asked for, one that is not that
generation's list, one with a post whose event was acknowledged before. With WAIT off a post that is shown
again after a failover is counted as lost, not as wrong. An answer from memory, or a 503, is an error, told by
its label. While a generation is loaded, the one before may answer (decision 0026): on a busy machine some do,
as they do of a single store, and are counted.
"""

import http.client
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import redis

from api.contract.keys import Keys
from api.store.slots import slot_of_key
from batch.publish.ledger.promotion import promote
from tests.clients import OwnStore, first_token, run_process
from tests.clusters import LOG, Cluster, await_true, run_cluster
from tests.content import generations
from tests.world import AS_OF_S, HOUR_S, World

USERS = range(1, 241)
LIMIT = 4
MOST_EVENTS = 5  # of a user: their own list of ten then still fills an answer
NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S
PATH = f"/post/recommendations/?limit={LIMIT}&time=2021-12-20T12:00:00&id="
N_CLIENTS = 6
BACK_S = 5.0  # after a fault and the node time-out all is as before
LOADING_S = 1.0  # after a flip the generation before may answer, while the new one is loaded


@dataclass
class Judge:
    """What was acknowledged, and what is said of each answer; for many threads."""

    worlds: dict[int, World]
    hidden: dict[int, set[int]] = field(default_factory=dict)  # user to posts of acknowledged events
    maybe: dict[int, set[int]] = field(default_factory=dict)  # those that were told, acknowledged or not
    counts: Counter[str] = field(default_factory=Counter)
    errors: list[tuple[float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    promoted: list[tuple[float, float, int]] = field(default_factory=list)  # from when to when it was written
    lock: threading.Lock = field(default_factory=threading.Lock)
    own: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    def list_of(self, generation: int, user: int) -> list[int]:
        """Return the list that a generation has for a user at noon."""
        key = (generation, user)
        if key not in self.own:
            self.own[key] = self.worlds[generation].own(user, NOON_S)
        return self.own[key]

    def current(self, begin_s: float, end_s: float) -> set[int]:
        """Return what may have been current between two times."""
        before = [one for one in self.promoted if one[1] <= begin_s][-1:]
        return {generation for _, _, generation in before} | {
            generation for begun, done, generation in self.promoted if begun <= end_s and done >= begin_s
        }

    def judge(self, user: int, begin_s: float, hidden: set[int], generation: int, posts: list[int]) -> None:
        """Judge an answer; `hidden` is what was acknowledged before it was asked for."""
        with self.lock:
            maybe = self.maybe.get(user, set()) - hidden
            end_s = time.monotonic()
            if generation not in self.current(begin_s, end_s):
                if generation not in self.current(begin_s - LOADING_S, end_s):
                    self.wrong.append(f"generation {generation} was not current")
                    return
                self.counts["before"] += 1
            place = 0
            for post in self.list_of(generation, user):
                if place < len(posts) and posts[place] == post:
                    if post in hidden:
                        self.wrong.append(f"user {user}: post {post} is shown again")
                        return
                    place += 1
                elif place < LIMIT and post not in hidden | maybe:
                    self.wrong.append(f"user {user}: {posts}, not {post} at place {place}")
                    return
            if place < LIMIT:
                self.wrong.append(f"user {user}: {posts} is not the list of generation {generation}")


class Client(threading.Thread):
    """Asks and tells, so many times a second, over one connection."""

    def __init__(self, port: int, token: dict[str, str], judge: Judge, rate: float, seed: int) -> None:
        super().__init__(daemon=True)
        self._port, self._token, self._judge, self._rate = port, token, judge, rate
        self._rng = random.Random(seed)
        self.done = threading.Event()
        self._users = [user for user in USERS if user % N_CLIENTS == seed]  # nobody else tells of them
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def run(self) -> None:
        """Go on until it is done."""
        next_s = time.monotonic()
        while not self.done.is_set():
            user = self._rng.choice(self._users)
            if self._rng.random() < 0.08 and len(self._judge.maybe.get(user, ())) < MOST_EVENTS:
                self._tell(user)
            else:
                self._ask(user)
            next_s += 1 / self._rate
            self.done.wait(max(0.0, next_s - time.monotonic()))
        self._http.close()

    def _ask(self, user: int) -> None:
        begin_s, hidden = time.monotonic(), set(self._judge.hidden.get(user, ()))
        said = self._send("GET", f"{PATH}{user}")
        if said is None:
            return
        status, headers, body = said
        degraded = headers.get("x-almanac-degraded")
        if status != 200 or degraded:
            self._note(begin_s, f"feed {status} {degraded or body.get('detail', '')}".strip()[:60])
            return
        posts = [int(post["id"]) for post in body]
        self._judge.judge(user, begin_s, hidden, int(headers["x-almanac-generation"]), posts)

    def _tell(self, user: int) -> None:
        judge, begin_s = self._judge, time.monotonic()
        post = self._rng.choice(judge.list_of(1, user)[:8])
        judge.maybe.setdefault(user, set()).add(post)
        event = {
            "user_id": user,
            "post_id": post,
            "action": "view",
            "id": f"{user}-{post}",
            "time": NOON_S - 60,
        }
        said = self._send("POST", "/events", orjson.dumps(event))
        if said is None:
            return
        status, _, _ = said
        if status == 200:
            judge.hidden.setdefault(user, set()).add(post)
            judge.counts["acknowledged"] += 1
        else:
            self._note(begin_s, f"event {status}")

    def _send(
        self, method: str, path: str, body: bytes | None = None
    ) -> tuple[int, dict[str, str], Any] | None:
        self._judge.counts["requests"] += 1
        begin_s = time.monotonic()
        try:
            headers = {**self._token, "Content-Type": "application/json"}
            self._http.request(method, path, body, headers)
            reply = self._http.getresponse()
            text = reply.read()
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, orjson.loads(text)
        except OSError as exc:
            self._http.close()
            self._note(begin_s, f"no answer: {type(exc).__name__}")
            return None

    def _note(self, at_s: float, label: str) -> None:
        with self._judge.lock:
            self._judge.errors.append((at_s, label))


def run(
    seconds: float = 600.0,
    rate: int = 300,
    timeout_ms: int = 5000,
    n_moved: int = 1000,
    n_copies: int = 1,
    rounds: int = 5,
) -> dict[str, Any]:
    """Drive traffic over a cluster that changes, then compare its CPU with a single store's.

    Args:
        seconds: Of traffic.
        rate: Requests a second, of all clients.
        timeout_ms: After which a node counts as failed.
        n_moved: Slots that move meanwhile.
        n_copies: ALMANAC_EVENTS_WAIT.
        rounds: Pairs of ten seconds, on the cluster and on a single store; 0: none.
    """
    with TemporaryDirectory() as folder, run_cluster(timeout_ms, tuple(LOG)) as cluster:
        found = _drive(cluster, Path(folder), seconds, rate, n_moved, n_copies)
        if rounds:
            found |= _compare(cluster, Path(folder), rate, rounds)
    return found


def _drive(
    cluster: Cluster, folder: Path, seconds: float, rate: int, n_moved: int, n_copies: int
) -> dict[str, Any]:
    with cluster.client() as client:
        worlds = _publish(client)
        judge = Judge(worlds)
        begin_s = time.monotonic()
        promote(generations(client), 1, AS_OF_S, force=True)
        judge.promoted.append((begin_s, time.monotonic(), 1))
        with (
            run_process(cluster.url, folder, ALMANAC_EVENTS_WAIT=str(n_copies)) as (port, _),
            _clients(port, folder, judge, rate),
        ):
            faults = _change(cluster, client, judge, seconds, n_moved)
        shown_again = [one for one in judge.wrong if "shown again" in one]
        lost = shown_again if not n_copies else []
    window_s = cluster.timeout_ms / 1000 + BACK_S
    outside = [
        label
        for at_s, label in judge.errors
        if not any(begin <= at_s <= end + window_s for begin, end in faults.values())
    ]
    last = {
        name: max((at_s - begin for at_s, _ in judge.errors if begin <= at_s <= end + window_s), default=0.0)
        for name, (begin, end) in faults.items()
    }
    return {
        "requests": judge.counts["requests"],
        "acknowledged": judge.counts["acknowledged"],
        "promotions": len(judge.promoted),
        "answers_of_the_generation_before": judge.counts["before"],
        "slots_moved": n_moved,
        "wrong_answers": len(judge.wrong) - len(lost),
        "lost_by_failover": len(lost),
        "wrong": judge.wrong[:5],
        "errors": dict(Counter(label for _, label in judge.errors)),
        "errors_outside_faults": len(outside),
        "longest_s": {name: round(value, 2) for name, value in last.items()},
        "node_timeout_s": cluster.timeout_ms / 1000,
    }


def _publish(client: redis.Redis) -> dict[int, World]:
    in_cluster = not isinstance(client, redis.Redis)
    first = World(users=USERS, in_cluster=in_cluster)
    keys = Keys(in_cluster=in_cluster)
    for world in (first, first.successor()):
        world.publish(client)
        client.set(keys.users(world.generation), " ".join(map(str, USERS)))
        for user in USERS:
            client.expire(keys.list(user, world.generation), 86_400)
    return {1: first, 2: first.successor()}


@contextmanager
def _clients(port: int, folder: Path, judge: Judge, rate: int) -> Iterator[None]:
    token = first_token(folder, "admin")
    clients = [Client(port, token, judge, rate / N_CLIENTS, seed) for seed in range(N_CLIENTS)]
    for one in clients:
        one.start()
    try:
        yield
    finally:
        for one in clients:
            one.done.set()
        for one in clients:
            one.join(20)


def _change(
    cluster: Cluster, client: redis.Redis, judge: Judge, seconds: float, n_moved: int
) -> dict[str, tuple[float, float]]:
    """Move slots, kill a primary of users, then home, with flips meanwhile; return when each fault was."""
    keys, faults = Keys(in_cluster=True), dict[str, tuple[float, float]]()
    end_s = time.monotonic() + seconds

    def calmly(share: float) -> None:
        until_s = time.monotonic() + share * seconds
        while time.monotonic() < min(until_s, end_s):
            _flip(client, judge)
            time.sleep(min(2.0, share * seconds / 4))

    def fault(name: str, act: Callable[[], object]) -> None:
        begin_s = time.monotonic()
        act()
        faults[name] = (begin_s, time.monotonic())

    calmly(0.1)
    moving = _choose_slots(cluster, n_moved)

    def move() -> None:
        for slot, source, to in moving:
            cluster.begin_move(slot, to, source)()

    _background(move, client, judge)
    calmly(0.1)
    for name, key in (("users' primary killed", None), ("home killed", keys.states())):
        home = cluster.primary_of(keys.states())
        port = home if key else next(p for p in map(cluster.primary_of, map(keys.seen, USERS)) if p != home)
        fault(name, lambda port=port: cluster.kill(port))  # type: ignore[misc]
        _await_takeover(cluster, port)
        cluster.start(port)  # as whoever supervises it does
        cluster.await_whole()
        calmly(0.25)
    calmly(1.0)  # until all of its time is over
    return faults


def _await_takeover(cluster: Cluster, port: int) -> None:
    def is_over() -> bool:
        return port not in cluster.primaries

    await_true(is_over, "its replica takes over", 60.0)


def _choose_slots(cluster: Cluster, n: int) -> list[tuple[int, int, int]]:
    """Return slots to move, those of users and of all other keys among them, from whom and to whom."""
    keys = Keys(in_cluster=True)
    wanted = {slot_of_key(keys.states()), *(slot_of_key(keys.seen(user)) for user in USERS)}
    slots = [*sorted(wanted), *(slot for slot in range(0, 16384, 13) if slot not in wanted)][:n]
    owners, primaries = cluster.owners(), cluster.primaries
    others = {port: [other for other in primaries if other != port] for port in primaries}
    return [(slot, owners[slot], others[owners[slot]][place % 2]) for place, slot in enumerate(slots)]


def _background(act: Callable[[], object], client: redis.Redis, judge: Judge) -> None:
    """Do something while generations flip."""
    thread = threading.Thread(target=act)
    thread.start()
    while thread.is_alive():
        _flip(client, judge)
        thread.join(0.5)


def _flip(client: redis.Redis, judge: Judge) -> None:
    generation = 3 - judge.promoted[-1][2]
    begin_s = time.monotonic()
    judge.promoted.append((begin_s, float("inf"), generation))
    promote(generations(client), generation, int(AS_OF_S + len(judge.promoted)), force=True)
    with judge.lock:
        judge.promoted[-1] = (begin_s, time.monotonic(), generation)


def _compare(cluster: Cluster, folder: Path, rate: int, rounds: int) -> dict[str, Any]:
    """Return the API's CPU a request on the cluster over that on a single store, in turn, the median."""
    (folder / "single").mkdir()
    single = OwnStore(folder / "single")
    urls = {"single": single.url, "cluster": cluster.url}
    cpu: dict[str, list[float]] = {name: [] for name in urls}
    try:
        with single.start() as client:
            _publish(client)
            promote(generations(client), 1, AS_OF_S, force=True)
        for _ in range(rounds):
            for name, url in urls.items():
                cpu[name].append(_measure(url, folder, rate))
    finally:
        single.kill()
    ratios = [a / b for a, b in zip(cpu["cluster"], cpu["single"], strict=True)]
    return {
        "cpu_us": {name: round(statistics.median(found), 1) for name, found in cpu.items()},
        "cpu_ratio": round(statistics.median(ratios), 3),
        "cpu_ratios": [round(ratio, 3) for ratio in ratios],
    }


def _measure(url: str, folder: Path, rate: int, seconds: float = 10.0) -> float:
    """Return the microseconds of CPU that the API takes for a feed request."""
    with run_process(url, folder) as (port, pid):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

        def ask(n: int) -> None:
            begin_s = time.monotonic()
            for k in range(n):
                connection.request("GET", f"{PATH}{1 + k % len(USERS)}")
                reply = connection.getresponse()
                reply.read()
                assert reply.status == 200, reply.status
                time.sleep(max(0.0, begin_s + k / rate - time.monotonic()))

        ask(rate)
        before, n = _cpu_s(pid), int(rate * seconds)
        ask(n)
        connection.close()
        return 1e6 * (_cpu_s(pid) - before) / n


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, from its own clock in nanoseconds."""
    text = Path(f"/proc/{pid}/schedstat").read_text()
    return int(text.split()[0]) / 1e9
