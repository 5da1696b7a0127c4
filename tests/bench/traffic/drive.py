"""The process that plays visits: locust, which lets gevent patch the standard library, and so runs apart.

    python -m tests.bench.traffic.drive < plan.json > heard.json

`run.py` writes the plan and reads what was heard. Nothing of locust is imported before `main` runs.
"""

import random
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from typing import Any

import orjson

from tests.bench.traffic.judge import Judge
from tests.bench.traffic.visitor import PUT_BACK, TAKEDOWN, Reply, Tally, Visitor
from tests.bench.traffic.visits import Visit

SPAWNED_PER_S = 200.0
GRACE_S = 30.0  # on the wall, for what is under way when the last visit should have ended
TIMEOUT_S = 10.0  # of one request


class Played:
    """The time of the world, which goes `speed` times as fast as that on the wall."""

    def __init__(self, begin_s: float, speed: float) -> None:
        """Begin now."""
        self._begin_s = begin_s
        self._speed = speed
        self._began = time.monotonic()

    def now_s(self) -> float:
        """Return the time, epoch seconds."""
        return self._begin_s + self.elapsed_s() * self._speed

    def elapsed_s(self) -> float:
        """Return the seconds on the wall since the begin."""
        return time.monotonic() - self._began

    def wait_until(self, at_s: float) -> None:
        """Return at a time, or at once if it is past."""
        time.sleep(max(0.0, (at_s - self.now_s()) / self._speed))

    def rest(self, seconds: float) -> None:
        """Return after some seconds on the wall."""
        time.sleep(seconds)


class Ear:
    """Hears every answer that locust times.

    Attributes:
        took_ms: Route to milliseconds of each request.
        statuses: Route and status to requests; status 0 is no answer.
        hours: Hour of the played day to requests.
    """

    def __init__(self, clock: Played) -> None:
        """Have heard nothing yet."""
        self.took_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.statuses: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.hours: Counter[str] = Counter()
        self._clock = clock

    def hear(self, name: str, response_time: float, response: Any = None, **_: object) -> None:
        """Take note of one request; locust calls this."""
        self.took_ms[name].append(round(response_time, 3))
        self.statuses[name][str(getattr(response, "status_code", 0) or 0)] += 1
        self.hours[str(int(self._clock.now_s() // 3600 % 24))] += 1


class Line:
    """One user's connection, through locust's client."""

    def __init__(self, client: Any, token: str) -> None:
        """Bring `token` with every request; empty brings none."""
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, route: str, target: str, body: object = None) -> Reply:
        """Send a request and return what came; locust times it under its route."""
        kind = {"Content-Type": "application/json"} if body is not None else {}
        answered = self._client.request(
            route.partition(" ")[0],
            target,
            name=route,
            data=None if body is None else orjson.dumps(body),
            headers=self._headers | kind,
        )
        headers = {name.lower(): value for name, value in (answered.headers or {}).items()}
        return Reply(int(answered.status_code or 0), headers, answered.content or b"")


def play(plan: dict[str, Any]) -> dict[str, Any]:
    """Play all visits of a plan and return what was heard."""
    from locust import FastHttpUser, task
    from locust.env import Environment
    from locust.exception import StopUser

    clock, judge, tally = Played(plan["begin_s"], plan["speed"]), Judge(plan["taken_down"]), Tally()
    ear, coming, late = Ear(clock), deque(Visit(*visit) for visit in plan["visits"]), Counter[str]()

    class Person(FastHttpUser):
        """Plays one visit after another, each from its time on."""

        host = plan["url"]
        connection_timeout = network_timeout = TIMEOUT_S
        max_retries = 0

        @task
        def visit(self) -> None:
            """Take the next visit; stop when there is none."""
            if not coming:
                raise StopUser
            visit, line = coming.popleft(), Line(self.client, plan["token"])
            late["visits"] += clock.now_s() > visit.views_s[0] + plan["speed"]
            visitor = Visitor(line, clock, judge, tally, plan["name"], tells=plan["tells"])
            visitor.come(visit, plan["limit"])

    environment = Environment(user_classes=[Person], host=plan["url"])
    environment.events.request.add_listener(ear.hear)  # type: ignore[no-untyped-call]  # locust's own
    runner = environment.create_local_runner()
    runner.start(plan["seats"], spawn_rate=SPAWNED_PER_S)
    guard = Line(Person(environment).client, plan["token"])
    down: list[int] = []
    taking_down = threading.Thread(target=take_down, args=(guard, clock, judge, plan, down))
    taking_down.start()
    while (coming or runner.user_count) and clock.elapsed_s() < plan["seconds"] + GRACE_S:
        clock.rest(0.05)
    took_s = clock.elapsed_s()
    taking_down.join()
    runner.quit()
    for post_id in down:
        guard.ask(PUT_BACK, f"/posts/{post_id}/takedown")
    return {
        "took_s": took_s,
        "cpu_s": time.process_time(),
        "took_ms": ear.took_ms,
        "statuses": ear.statuses,
        "hours": ear.hours,
        "did": {**tally.did, "late": late["visits"], "unfinished": len(plan["visits"]) - tally.did["visits"]},
        "rungs": tally.rungs,
        "degraded": tally.degraded,
        "events": tally.events,
        "takedowns": len(down),
        "wrong": judge.wrong,
        "told": judge.told,
    }


def take_down(guard: Line, clock: Played, judge: Judge, plan: dict[str, Any], down: list[int]) -> None:
    """Take posts that were shown down, evenly over the time, and put their ids into `down`."""
    n, rng = plan["takedowns"], random.Random(plan["begin_s"])
    for place in range(n):
        clock.rest(max(0.0, plan["seconds"] * (place + 0.5) / n - clock.elapsed_s()))
        shown = judge.shown()
        if shown:
            post_id = rng.choice(shown)
            if guard.ask(TAKEDOWN, f"/posts/{post_id}/takedown").status == 200:
                judge.took_down(post_id)
                down.append(post_id)


def main() -> None:
    """Read the plan from stdin, play it, and write what was heard to stdout."""
    import locust  # noqa: F401 - first of all: it patches what the rest uses

    heard = play(orjson.loads(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(orjson.dumps(heard, option=orjson.OPT_NON_STR_KEYS))


if __name__ == "__main__":
    main()
