"""Traffic against an API: a running one, or one of its own whose generations flip meanwhile."""

import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import orjson
import redis

from api.contract.buckets import epoch, moment
from api.contract.keys import Keys
from api.tokens import FILE, add_token
from batch.extras import require_extra
from batch.progress import Show
from tests.bench import apps, stock
from tests.bench.load import Asked
from tests.bench.stock import FIRST_USER, VARIANT, Stock
from tests.bench.traffic.figures import figures
from tests.bench.traffic.visits import most_at_once, visits

COMMAND = [sys.executable, "-m", "tests.bench.traffic.drive"]
FLIP_S = 5.0
OWN_TAKEDOWNS = 20
READY_S = 10.0
SLACK = 1.2  # more seats than visits that should be under way at once, as answers take their time


@dataclass(frozen=True, slots=True)
class Target:
    """An API, and what may be asked of it.

    Attributes:
        url: Its base address.
        token: Brought with every request; empty brings none.
        user_ids: Who may come.
        as_of_s: The newest fact of what it serves, epoch seconds.
        taken_down: What is taken down already, where that is known.
        takedowns: How many posts are taken down meanwhile, and put back at the end.
        tells: Whether views and likes are sent back as events.
    """

    url: str
    token: str
    user_ids: Sequence[int]
    as_of_s: int
    taken_down: Sequence[int] = ()
    takedowns: int = 0
    tells: bool = True


def run(
    target: Target, *, seconds: float, speed: float, at_s: int | None = None, limit: int = 10, seed: int = 42
) -> dict[str, object]:
    """Play the users of an API for a while and return the figures by name.

    Args:
        target: Who is asked, and for whom.
        seconds: How long, on the wall.
        speed: Seconds of the played world in one on the wall; a user looks at a post for 10 to 179 of them.
        at_s: The world's time at the begin; None: the newest fact, or sooner where the end would be to come.
        limit: Posts a page.
        seed: Of who comes when and likes what.

    Raises:
        LookupError: locust is not installed, or nobody comes.
        ValueError: The end would be to come, so that events would be of the future.
        RuntimeError: Playing failed.
    """
    now_s, lasts_s = int(time.time()), int(seconds * speed)
    begin_s = min(target.as_of_s, now_s - lasts_s) if at_s is None else at_s
    if begin_s + lasts_s > now_s:
        raise ValueError(
            f"{seconds:g} s at speed {speed:g} from {moment(begin_s):%Y-%m-%dT%H:%M} on end in the future, "
            "of which no event may be: begin earlier, or play shorter or slower"
        )
    require_extra("locust", "load")
    every = visits(target.user_ids, begin_s, begin_s + lasts_s, np.random.default_rng(seed))
    if not every:
        raise LookupError(
            f"none of {len(target.user_ids)} users comes from {moment(begin_s):%Y-%m-%dT%H:%M} on within "
            f"{lasts_s} s of their time: more users, more time, or an hour between 6 and 23"
        )
    plan = {
        "url": target.url,
        "token": target.token,
        "name": f"traffic-{time.time_ns():x}",
        "begin_s": begin_s,
        "seconds": seconds,
        "speed": speed,
        "limit": limit,
        "seats": int(SLACK * most_at_once(every)) + 1,
        "tells": target.tells,
        "takedowns": target.takedowns,
        "taken_down": list(target.taken_down),
        "visits": [astuple(visit) for visit in every],
    }
    played = subprocess.run(COMMAND, input=orjson.dumps(plan), capture_output=True, check=False)
    if played.returncode:
        raise RuntimeError(f"playing failed: {played.stderr.decode(errors='replace')[-2000:]}")
    return {
        **figures(orjson.loads(played.stdout)),
        "api": target.url,
        "from": moment(begin_s).isoformat(),
        "to": moment(begin_s + lasts_s).isoformat(),
        "speed": speed,
        "users": len(target.user_ids),
        "seats": plan["seats"],
        "limit": limit,
    }


def running(
    url: str, token: str, user_ids: Sequence[int], *, takedowns: int = 0, tells: bool = True
) -> Target:
    """Return an API that runs already.

    Raises:
        ValueError: Something is to be written, and there is no token.
        LookupError: It does not answer, or is not ready.
    """
    if (tells or takedowns) and not token:
        raise ValueError(
            "events need a token of scope write, takedowns one of scope admin: "
            "give --token, or send none with --read-only"
        )
    base = url.rstrip("/")
    try:
        with urllib.request.urlopen(f"{base}/ready", timeout=READY_S) as reply:
            as_of = orjson.loads(reply.read())["as_of"]
    except (OSError, ValueError, KeyError) as exc:
        raise LookupError(
            f"{base}/ready does not answer as an API that serves a generation does: {exc}"
        ) from exc
    return Target(base, token, user_ids, epoch(datetime.fromisoformat(as_of)), (), takedowns, tells)


@contextmanager
def own(sizes: Stock, progress: Show, flip_s: float = FLIP_S) -> Iterator[Target]:
    """Run an API on a store of drawn lists; two generations take turns as the current one.

    Raises:
        RuntimeError: A process did not start.
    """
    keys = Keys()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="almanac-traffic-")))
        url = stack.enter_context(apps.store(folder))
        client = stack.enter_context(redis.Redis.from_url(url))
        stock.fill(client, keys, sizes, progress, n_generations=2)
        _, token = add_token(folder / FILE, "admin", "traffic")
        api = stack.enter_context(apps.ours(folder, url, Asked(0, [], token)))
        stack.enter_context(_flipping(client, keys, flip_s))
        yield Target(
            url=f"http://127.0.0.1:{api.asked.port}",
            token=token,
            user_ids=range(FIRST_USER, FIRST_USER + sizes.n_users),
            as_of_s=stock.AS_OF_S + 1,
            taken_down=[int(post_id) for post_id in client.smembers(keys.takedowns())],
            takedowns=OWN_TAKEDOWNS,
        )


@contextmanager
def _flipping(client: redis.Redis, keys: Keys, every_s: float) -> Iterator[None]:
    """Make the other one of two generations current every so often."""
    done = threading.Event()

    def flip() -> None:
        current = 1
        while not done.wait(every_s):
            before, current = current, 3 - current
            client.hset(
                keys.current(VARIANT),
                mapping={"generation": current, "previous": before, "promoted_at": int(time.time())},
            )

    flipping = threading.Thread(target=flip)
    flipping.start()
    try:
        yield
    finally:
        done.set()
        flipping.join()
