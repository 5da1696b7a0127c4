"""A minute of traffic while generations flip and the store is killed twice: every answer is checked.

`ALMANAC_CHAOS=1` makes it ten minutes with a flip every five seconds; what was counted is among the
properties that `pytest --junitxml=FILE` writes.
"""

import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import redis
import sqlalchemy as sa

from api.contract.keys import Keys
from batch.data.live.events import drain
from tests.clients import OwnStore, first_token, running
from tests.world import AS_OF_S, World

FULL = bool(os.environ.get("ALMANAC_CHAOS"))
KEYS = Keys()
LASTS_S, FLIP_S = (600.0, 5.0) if FULL else (12.0, 2.0)
LOAD_S = 1.0  # how long the generation before may answer after a flip
DEAD_S, BACK_S = 1.0, 1.0  # how long the store is away; how soon all must be well again
N_CLIENTS, USERS_EACH = 4, 8
N_POSTS = 3000 if FULL else 1200  # more than anyone sees meanwhile, so that no answer may be short
PAUSE_S = 0.015  # of a client between two requests: what is tried is what meets what, not how fast

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(int(LASTS_S) + 120)]


class Marked(World):
    """The world whose posts say which generation they are of, so that a mixture shows."""

    def post(self, post_id: int) -> dict[str, object]:
        """Return a post as it is answered."""
        return {"id": post_id, "text": "", "topic": f"generation {self.generation}"}


@dataclass
class Truth:
    """What the clients of one test know, together."""

    newest: int = 1  # the generation that is, or is about to be, current
    flips: list[tuple[float, int]] = field(default_factory=list)  # monotonic time, generation
    outages: list[list[float]] = field(default_factory=list)  # monotonic begin and end of each
    taken_down: set[int] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)  # `503 away` while the store was, else `200`
    n_answers: int = 0
    n_labelled: int = 0
    counting: threading.Lock = field(default_factory=threading.Lock)

    def oldest(self, at: float) -> int:
        """Return the least generation that may answer at a time; the one before may while one loads."""
        return max((generation for since, generation in self.flips if since <= at - LOAD_S), default=1)

    def away(self, begin: float, end: float) -> bool:
        """Tell whether the store was away at some time of a request."""
        return any(begin <= until and end >= since for since, until in self.outages)


class Client(threading.Thread):
    """Asks for the feeds of users of its own, tells what they saw, and checks each answer."""

    def __init__(self, number: int, base: str, token: dict[str, str], truth: Truth, until: float) -> None:
        """Begin when started; end at the monotonic time `until`."""
        super().__init__()
        self._rng = random.Random(number)
        self._users = range(1 + number * USERS_EACH, 1 + (number + 1) * USERS_EACH)
        self._ids = (f"{number}-{n}" for n in itertools.count())
        self._http = httpx2.Client(base_url=base, headers=token, timeout=10)
        self._truth = truth
        self._until = until
        self._seen: dict[int, set[int]] = {user: set() for user in self._users}
        self._shown: dict[int, list[int]] = {}

    def run(self) -> None:
        """Send one request after another."""
        with self._http:
            while time.monotonic() < self._until:
                time.sleep(self._rng.uniform(0, 2 * PAUSE_S))
                user = self._rng.choice(self._users)
                if self._rng.random() < 0.7 or not self._shown.get(user):
                    self._ask(user)
                elif self._rng.random() < 0.95:
                    self._tell(user)
                else:
                    self._take_down(self._rng.randrange(1, N_POSTS))

    def _ask(self, user: int) -> None:
        taken_down, oldest = set(self._truth.taken_down), self._truth.oldest(time.monotonic())
        limit = self._rng.choice((1, 5, 10, 60))
        native = self._rng.random() < 0.3
        path = f"/users/{user}/feed" if native else "/post/recommendations/"
        reply, away = self._call("GET", path, params={"limit": limit} | ({} if native else {"id": user}))
        if reply is None or reply.status_code != 200:
            return
        posts = reply.json()["posts"] if native else reply.json()
        shown = [post["id"] for post in posts]
        generation = int(reply.headers["x-almanac-generation"])
        labelled = reply.headers.get("x-almanac-degraded") == "store"
        with self._truth.counting:
            self._truth.n_answers += 1
            self._truth.n_labelled += labelled
        self._check(user, len(set(shown)) == len(shown) == limit, f"duplicates or too few: {shown}")
        self._check(user, not taken_down & set(shown), f"taken down: {taken_down & set(shown)}")
        self._check(
            user, labelled or not self._seen[user] & set(shown), f"seen: {self._seen[user] & set(shown)}"
        )
        self._check(user, away or not labelled, "labelled without an outage")
        self._check(
            user,
            {post["topic"] for post in posts} == {f"generation {generation}"}
            and (labelled or oldest <= generation <= self._truth.newest),
            f"generation {generation}, not {oldest}..{self._truth.newest}, of {posts[0]['topic']}",
        )
        self._shown[user] = shown

    def _tell(self, user: int) -> None:
        post, event_id = self._rng.choice(self._shown[user]), next(self._ids)
        event = {
            "id": event_id,
            "user_id": user,
            "post_id": post,
            "action": self._rng.choice(("view", "like")),
        }
        if self._rng.random() < 0.3:
            event["time"] = AS_OF_S - self._rng.randrange(1000)
        self._truth.sent.add(event_id)
        reply, _ = self._call("POST", "/events", json=event)
        if reply is not None and reply.status_code == 200:
            self._check(user, reply.json()["results"][0]["status"] in ("accepted", "late"), reply.text)
            self._truth.acknowledged.add(event_id)
            self._seen[user].add(post)

    def _take_down(self, post: int) -> None:
        reply, _ = self._call("PUT", f"/posts/{post}/takedown")
        if reply is not None and reply.status_code == 200 and len(self._truth.taken_down) < 150:
            self._truth.taken_down.add(post)

    def _call(self, method: str, path: str, **options: object) -> tuple[httpx2.Response | None, bool]:
        """Return an answer, and whether the store was away meanwhile; a 5xx is allowed only then."""
        begin = time.monotonic()
        reply = self._http.request(method, path, **options)  # type: ignore[arg-type]  # params or json
        away = self._truth.away(begin, time.monotonic())
        with self._truth.counting:
            self._truth.statuses[f"{reply.status_code}{' away' if away else ''}"] += 1
        if reply.status_code != 200 and not (reply.status_code == 503 and away):
            self._truth.wrong.append(f"{method} {path}: {reply.status_code} {reply.text[:200]}")
        return reply, away

    def _check(self, user: int, holds: bool, what: str) -> None:
        if not holds:
            self._truth.wrong.append(f"user {user}: {what}")


def flip(store: redis.Redis, truth: Truth) -> None:
    """Publish the next generation and make it current."""
    world = Marked(
        generation=truth.newest + 1,
        turn=truth.newest,
        depth=50,
        users=range(1, 1 + N_CLIENTS * USERS_EACH),
        posts=range(1, 1 + N_POSTS),
    ).publish(store)
    truth.newest += 1
    world.promote(store, int(time.time()))
    truth.flips.append((time.monotonic(), truth.newest))


def restart(own: OwnStore, truth: Truth) -> redis.Redis:
    """Kill the store, leave it dead for a while, and start it again."""
    outage = [time.monotonic() - 0.05, float("inf")]
    truth.outages.append(outage)
    own.kill()
    time.sleep(DEAD_S)
    client = own.start()
    outage[1] = time.monotonic() + BACK_S
    return client


def test_no_answer_is_wrong_and_no_event_is_lost_whatever_happens(
    own_store: OwnStore, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    truth, url = Truth(), f"sqlite:///{tmp_path}/events.db"
    store = own_store.start()
    flip(store, truth)
    with running(own_store.url, tmp_path) as base:
        token = first_token(tmp_path, "admin")
        begin = time.monotonic()
        kills = [begin + LASTS_S / 3, begin + 2 * LASTS_S / 3]
        clients = [Client(n, base, token, truth, begin + LASTS_S) for n in range(N_CLIENTS)]
        for client in clients:
            client.start()
        for turn in itertools.count(1):
            flip(store, truth)
            drain(store, KEYS, url)
            time.sleep(max(0.0, begin + turn * FLIP_S - time.monotonic()))
            if not any(client.is_alive() for client in clients):
                break
            if kills and time.monotonic() > kills[0]:
                kills.pop(0)
                store.close()
                store = restart(own_store, truth)
        for client in clients:
            client.join()
    drain(store, KEYS, url)
    store.close()

    engine = sa.create_engine(url)
    with engine.connect() as connection:
        kept = [str(row[0]) for row in connection.execute(sa.text("SELECT event_id FROM live_events"))]
    engine.dispose()
    figures = {
        "answers": truth.n_answers,
        "answers labelled": truth.n_labelled,
        "flips": len(truth.flips),
        "restarts": len(truth.outages),
        "posts taken down": len(truth.taken_down),
        "events acknowledged": len(truth.acknowledged),
        "events drained": len(kept),
        "wrong": len(truth.wrong),
        **{f"status {status}": n for status, n in sorted(truth.statuses.items())},
    }
    for name, value in figures.items():
        record_testsuite_property(name, value)
    assert truth.wrong == []
    assert len(kept) == len(set(kept))
    assert truth.acknowledged <= set(kept) <= truth.sent
    assert (len(truth.outages), truth.newest > 5) == (2, True)
    assert min(truth.n_answers, len(truth.acknowledged)) > 100
    assert truth.n_labelled
