"""One visit: pages are asked for, posts scrolled by and seen, views and likes sent back as events.

Users of even id scroll our own shape, page after page by its cursor; the others ask the feed checker's route
again and again, where only their events keep what they saw from coming back.
"""

import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlencode

import orjson

from tests.bench.traffic.judge import Answer, Chain, Judge
from tests.bench.traffic.visits import Visit

FEED, PAGES = "GET /post/recommendations/", "GET /users/{user_id}/feed"
EVENTS, TAKEDOWN = "POST /events", "PUT /posts/{post_id}/takedown"
PUT_BACK = "DELETE /posts/{post_id}/takedown"
TRIES = 5  # of what could not be sent at the end of a visit
AGAIN_S = 0.5  # between two of them, seconds on the wall


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the API; status 0 means that none came. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http(Protocol):
    """Sends requests to the API."""

    def ask(self, route: str, target: str, body: object = None) -> Reply:
        """Send a request; `route` is its method and path as in OpenAPI, under which it is counted."""
        ...


class Clock(Protocol):
    """The time of the world that is played."""

    def wait_until(self, at_s: float) -> None:
        """Return at a time, or at once if it is past."""
        ...

    def rest(self, seconds: float) -> None:
        """Return after some seconds on the wall."""
        ...


@dataclass(slots=True)
class Tally:
    """What people did and got, counted: deeds, answers by rung and by what they lacked, events by outcome."""

    did: Counter[str] = field(default_factory=Counter)
    rungs: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)


class Visitor:
    """A user during one visit."""

    def __init__(
        self, http: Http, clock: Clock, judge: Judge, tally: Tally, run: str, *, tells: bool = True
    ) -> None:
        """Share `judge` and `tally` with the others of a run, whose name makes the events' ids its own."""
        self._http = http
        self._clock = clock
        self._judge = judge
        self._tally = tally
        self._run = run
        self._tells = tells
        self._cursor: str | None = None
        self._chain = Chain()
        self._untold: list[dict[str, Any]] = []

    def come(self, visit: Visit, limit: int) -> None:
        """Play a visit; where no page comes, the view is missed and the next one tries again."""
        page: list[int] = []
        for at_s, liked in zip(visit.views_s, visit.liked, strict=True):
            self._clock.wait_until(at_s)
            if not page:
                self._tell()
                page = self._fetch(visit.user_id, at_s, limit)
            if page:
                self._see(visit.user_id, page.pop(0), at_s, liked=liked)
        for attempt in range(TRIES):
            if not self._tell():
                break
            self._clock.rest(AGAIN_S * (attempt < TRIES - 1))
        self._tally.events["untold"] += len(self._untold)
        self._tally.did["visits"] += 1

    def _see(self, user_id: int, post_id: int, at_s: int, *, liked: bool) -> None:
        self._tally.did["views"] += 1
        self._tally.did["likes"] += liked
        for action in ("view", "like")[: 1 + liked]:
            event_id = f"{self._run}-{user_id}-{post_id}-{at_s}-{action}"
            self._untold.append(
                {"id": event_id, "user_id": user_id, "post_id": post_id, "action": action, "time": at_s}
            )
        if liked:
            self._tell()

    def _tell(self) -> int:
        """Send what is not told yet, in one request; return how many are left because nobody took them."""
        if not self._tells or not self._untold:
            self._untold.clear()
            return 0
        reply = self._http.ask(EVENTS, "/events", self._untold)
        if reply.status == 200:
            for event, result in zip(self._untold, orjson.loads(reply.body)["results"], strict=True):
                self._tally.events[result["status"]] += 1
                if result["status"] == "malformed":
                    self._judge.note("malformed", result["why"])
                else:
                    self._judge.saw(event["user_id"], event["post_id"], event["time"])
            self._untold.clear()
        return len(self._untold)

    def _fetch(self, user_id: int, at_s: int, limit: int) -> list[int]:
        """Ask for the next page, and for a first one where the next is no longer kept."""
        taken_down = self._judge.taken_down()
        if user_id % 2:
            query = urlencode({"id": user_id, "time": _text(at_s), "limit": limit})
            reply = self._http.ask(FEED, f"/post/recommendations/?{query}")
            return self._read(reply, user_id, at_s, limit, taken_down, None)
        if self._cursor is None:
            self._chain = Chain()
        asked = {"at": _text(at_s)} if self._cursor is None else {"cursor": self._cursor}
        reply = self._http.ask(PAGES, f"/users/{user_id}/feed?{urlencode({**asked, 'limit': limit})}")
        if reply.status == 410:
            self._cursor = None
            return self._fetch(user_id, at_s, limit)
        if self._cursor is not None:
            at_s = int(self._cursor.split(".")[3])  # all pages are of the first one's time
        return self._read(reply, user_id, at_s, limit, taken_down, self._chain)

    def _read(
        self,
        reply: Reply,
        user_id: int,
        at_s: int,
        limit: int,
        taken_down: frozenset[int],
        chain: Chain | None,
    ) -> list[int]:
        if reply.status != 200:
            return []
        said, headers = orjson.loads(reply.body), reply.headers
        posts, named = (said, None) if chain is None else (said["posts"], said["generation"])
        generation = int(headers["x-almanac-generation"])
        answer = Answer(
            user_id=user_id,
            at_s=at_s,
            limit=limit,
            posts=[(int(post["id"]), _number(post)) for post in posts],
            generation=generation,
            named=generation if named is None else int(named),
            degraded=headers.get("x-almanac-degraded", ""),
            underfill=headers.get("x-almanac-underfill", ""),
        )
        self._judge.read(answer, taken_down, chain)
        self._cursor = None if chain is None else said["next"]
        self._tally.did["pages"] += 1
        self._tally.rungs[headers["x-almanac-rung"]] += 1
        if answer.degraded:
            self._tally.degraded[answer.degraded] += 1
        return answer.post_ids


def _number(post: Mapping[str, Any]) -> int:
    return zlib.crc32(f"{post['text']}\n{post['topic']}".encode())


def _text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
