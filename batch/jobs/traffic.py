"""Traffic of a made world: its users ask an API, look at the first posts, like some, and tell it so.

It is bounded: so many visits a second on so few connections, however fast the API is. A visit that fails is
counted and over; the next one tries again.
"""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from api.tokens import FIRST
from batch.progress import Advance, Progress
from batch.simulate.config import WorldConfig
from batch.simulate.guests import Guests
from batch.simulate.truth import Truth

WORLD = "world.json"  # in the state folder
N_LINES = 4  # connections
TIMEOUT_S = 10.0
LOOKED_AT = 5  # posts of an answer
ROUTES = ("/post/recommendations/?id={user}&limit={limit}", "/users/{user}/feed?limit={limit}")
EXPERIMENT, ARM = "X-Almanac-Experiment", "X-Almanac-Arm"
Reply = tuple[int, http.client.HTTPMessage, bytes]  # status, headers, body
_FAILURES = (OSError, http.client.HTTPException)


class NotAsked(LookupError):
    """The API does not answer, or not by this experiment; nothing was played."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked, and how fast.

    Attributes:
        url: Of the API.
        token: Of scope write, for the events.
        experiment: Whose answers are wanted.
        per_s: Visits a second, at most: two requests each.
        seconds: How long, at most.
        visits: How many, at most; None: as many as fit.
    """

    url: str
    token: str
    experiment: str
    per_s: float
    seconds: float
    visits: int | None = None


@dataclass(slots=True)
class Played:
    """What was played, counted.

    Attributes:
        visits: Begun visits.
        statuses: Route and status to answers; status 0 is no answer.
        arms: Arm to its answers, by the header; empty: answers of no arm.
        views: Arm to posts that were looked at.
        likes: Arm to posts that were liked.
        events: What became of each event that was told, to how many.
        seen: User to the arms that answered them.
    """

    visits: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    arms: Counter[str] = field(default_factory=Counter)
    views: Counter[str] = field(default_factory=Counter)
    likes: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    seen: dict[int, set[str]] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """Return it as JSON writes it: users by number alone."""
        names = ("statuses", "arms", "views", "likes", "events")
        counted = {name: dict(getattr(self, name)) for name in names}
        several = sum(len(arms - {""}) > 1 for arms in self.seen.values())
        return {"visits": self.visits, "users": len(self.seen), "users_in_several_arms": several, **counted}


class Line:
    """One connection to an API, opened anew where it broke."""

    def __init__(self, url: str, token: str) -> None:
        """Open nothing yet.

        Raises:
            ValueError: That is no http address.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of an API: give one such as http://127.0.0.1:8000")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
        self._head = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, method: str, target: str, body: object = None) -> Reply:
        """Send a request; return status, headers and body.

        Raises:
            OSError, http.client.HTTPException: There is no answer.
        """
        content = None if body is None else orjson.dumps(body)
        head = self._head | ({} if body is None else {"Content-Type": "application/json"})
        try:
            self._connection.request(method, target, content, head)
            reply = self._connection.getresponse()
            return reply.status, reply.headers, reply.read()
        except _FAILURES:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        self._connection.close()


def play(guests: Guests, load: Load, progress: Progress, stopped: threading.Event | None = None) -> Played:
    """Play visits until time, number or `stopped` end them.

    Raises:
        NotAsked: The API does not answer, or by another experiment.
    """
    route = find_route(load, guests.user_ids[0])
    stage, stopped = _Stage(guests, load, route), stopped or threading.Event()
    with progress.step("traffic", load.visits or int(load.per_s * load.seconds)) as advance:
        lines = [threading.Thread(target=stage.play, args=(stopped, advance)) for _ in range(N_LINES)]
        for line in lines:
            line.start()
        try:
            for line in lines:
                line.join()
        finally:
            stopped.set()
            for line in lines:
                line.join()
    return stage.played


def load_truth(state_dir: Path) -> Truth:
    """Return the truth of the world that `almanac simulate` made last with this state folder.

    Raises:
        ValueError: It made none.
    """
    described = state_dir / WORLD
    if not described.is_file():
        raise ValueError(f"{described} is not there: make a world by `almanac simulate`, whose users come")
    return Truth.from_config(WorldConfig.from_json(described.read_text()))


def find_token(state_dir: Path) -> str:
    """Return the token of scope write that the API's first start with this state folder made.

    Raises:
        ValueError: It is not there any more.
    """
    try:
        return str(orjson.loads((state_dir / FIRST).read_bytes())["write"])
    except (OSError, ValueError, KeyError) as exc:
        raise ValueError(
            "the API wants a token of scope write for events: give --token, one of "
            "`almanac tokens add --scope write --name traffic`"
        ) from exc


def find_route(load: Load, user_id: int) -> str:
    """Return the first route whose answers are the experiment's.

    Raises:
        NotAsked: There is none.
    """
    line, said = Line(load.url, load.token), set[str]()
    for route in ROUTES:
        try:
            status, headers, _ = line.ask("GET", route.format(user=user_id, limit=1))
        except _FAILURES as exc:
            raise NotAsked(f"{load.url} does not answer: {exc}; start the API by `almanac serve`") from exc
        if headers.get(EXPERIMENT) == load.experiment:
            line.close()
            return route
        said.add(headers.get(EXPERIMENT) or f"none, status {status}")
    line.close()
    found = ", ".join(sorted(said))
    raise NotAsked(
        f"experiment {load.experiment!r} answers nothing at {load.url} (what does: {found}); "
        f"start it by `almanac experiments start {load.experiment}`"
    )


class _Stage:
    """What the lines of one play share."""

    def __init__(self, guests: Guests, load: Load, route: str) -> None:
        self.played = Played()
        self._guests, self._load, self._route = guests, load, route
        self._run = f"traffic-{time.time_ns():x}"  # events' ids must be new, however often it is played
        self._began, self._numbers, self._lock = time.monotonic(), count(), threading.Lock()

    def play(self, stopped: threading.Event, advance: Advance) -> None:
        """Play one visit after another, each at its time."""
        line, load = Line(self._load.url, self._load.token), self._load
        while True:
            number = next(self._numbers)
            begin_s = number / load.per_s
            if (load.visits is not None and number >= load.visits) or begin_s >= load.seconds:
                break
            if stopped.wait(max(0.0, self._began + begin_s - time.monotonic())):
                break
            self._visit(line, number)
            with self._lock:
                self.played.visits += 1
                advance(1)
        line.close()

    def _visit(self, line: Line, number: int) -> None:
        user_id = self._guests.who(number)
        body, arm = self._ask(line, "feed", "GET", self._route.format(user=user_id, limit=LOOKED_AT))
        if body is None:
            return
        posts = read_posts(body)
        liked = self._guests.likes(number, user_id, posts, int(time.time()))
        with self._lock:
            self.played.arms[arm] += 1
            self.played.views[arm] += len(posts)
            self.played.likes[arm] += sum(liked)
            self.played.seen.setdefault(user_id, set()).add(arm)
        events = [
            {"user_id": user_id, "post_id": post, "action": action}
            | {"id": f"{self._run}-{number}-{post}-{action}"}
            for post, is_liked in zip(posts, liked, strict=True)
            for action in ("view", "like")[: 1 + is_liked]
        ]
        told, _ = self._ask(line, "events", "POST", "/events", events) if events else (None, "")
        if told is not None:
            with self._lock:
                self.played.events.update(result["status"] for result in orjson.loads(told)["results"])

    def _ask(
        self, line: Line, name: str, method: str, target: str, body: object = None
    ) -> tuple[bytes | None, str]:
        """Return the body of an answer, None where there is none, and its arm."""
        try:
            status, headers, content = line.ask(method, target, body)
        except _FAILURES:
            status, headers, content = 0, http.client.HTTPMessage(), b""
        with self._lock:
            self.played.statuses[f"{name} {status}"] += 1
        return (content if status == 200 else None), headers.get(ARM, "")


def read_posts(body: bytes) -> Sequence[int]:
    """Return the ids of an answer's posts, in whichever shape it comes.

    >>> read_posts(b'[{"id":7}]'), read_posts(b'{"exp_group":"test","recommendations":[{"id":7}]}')
    ([7], [7])
    """
    said = orjson.loads(body)
    posts = said if isinstance(said, list) else said.get("recommendations", said.get("posts"))
    return [int(post["id"]) for post in posts]
