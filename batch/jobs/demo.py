"""The demo: a world or real facts, one run, the API, and three users' feeds at three hours."""

import hashlib
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import orjson
import redis

from api.contract.buckets import moment
from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.data.sink import write
from batch.evaluate.nightly import Line
from batch.jobs.api_process import environment, run_api
from batch.jobs.full import run
from batch.progress import Progress
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables
from batch.simulate.truth import Truth
from batch.store.connection import store_url

N_USERS = 3  # whose feeds are shown
HOURS = (9, 14, 20)  # of the day after as_of
N_ASKED = 200  # users whose feed the truth judges
UNKNOWN_USER = -1  # nobody's id: what he gets is the popular list
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Feed:
    """What the API answered one user at one time."""

    user_id: int
    at: str
    rung: str
    posts: list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a demo shows; `expected` is drawn by the truth of a made world only."""

    result: dict[str, object]
    state_dir: str
    store: str
    feeds: list[Feed]
    expected: dict[str, float]
    api: str
    commands: list[str]

    def values(self) -> dict[str, object]:
        """Return all of it for JSON."""
        return {
            **self.result,
            "state_dir": self.state_dir,
            "store": self.store,
            "feeds": [asdict(feed) for feed in self.feeds],
            "expected_hitrate_at_5": self.expected,
            "api": self.api,
            "commands": self.commands,
        }


@contextmanager
def demo(
    settings: Settings, data: str, world: WorldConfig, progress: Progress, host: str, port: int
) -> Iterator[Shown]:
    """Compute, publish and serve; the API stays up while the context is open.

    Args:
        settings: As set; state folder and key prefix are kept apart from what is served, and per data.
        data: Folder or URL of real facts; empty makes `world`.
        world: The world to make where no data are given.
        progress: Where it is shown.
        host: Loopback address of the API.
        port: Its port; a free one is taken where it is in use.
    """
    apart = _apart(settings, data or world.to_json())
    truth = None if data else Truth.from_config(world)
    location = data or str(_made(apart.state_dir / "world", world, progress))
    lines: dict[str, Line] = {"oracle": lambda u, p, t: truth.likely(u, p, t)} if truth else {}
    with store_url(apart) as url:
        with redis.Redis.from_url(url) as store:
            result = run(apart, store, location, progress, lines=lines)
            manifest, user_ids = _published(store, Keys(apart.prefix), result.generation)
        log = apart.state_dir / "api.log"
        with run_api(environment(apart, url, host, _free(host, port)), log) as base:
            times = [_at(manifest, hour) for hour in HOURS]
            chosen = user_ids[:: max(1, len(user_ids) // N_USERS)][:N_USERS]
            yield Shown(
                result=asdict(result),
                state_dir=str(apart.state_dir),
                store=url,
                feeds=[ask(base, user_id, at) for user_id in chosen for at in times],
                expected=_expected(base, truth, user_ids, times[-1]) if truth else {},
                api=f"{base}/post/recommendations/?{urlencode(_query(chosen[0], times[-1]))}",
                commands=_commands(url, Keys(apart.prefix), manifest, chosen[0]),
            )


def ask(base: str, user_id: int, at_s: int, limit: int = SHOWN) -> Feed:
    """Ask the API for a user's feed at a time."""
    query = urlencode({**_query(user_id, at_s), "limit": limit})
    with urllib.request.urlopen(f"{base}/post/recommendations/?{query}", timeout=10) as answer:  # noqa: S310 - loopback
        return Feed(user_id, _text(at_s), answer.headers["X-Almanac-Rung"], orjson.loads(answer.read()))


def _apart(settings: Settings, what: str) -> Settings:
    """Return settings of a place of its own: two worlds have the same user ids and different seen sets."""
    name = hashlib.sha256(what.encode()).hexdigest()[:8]
    return settings.replace(
        state_dir=settings.state_dir / "demo" / name, prefix=f"{settings.prefix}-demo-{name}"
    )


def _made(folder: Path, world: WorldConfig, progress: Progress) -> Path:
    """Make the world unless this very one lies there already; its truth is kept in no file of the facts."""
    described = folder / "world.json"
    if not (described.is_file() and described.read_text() == world.to_json()):
        folder.mkdir(parents=True, exist_ok=True)
        described.unlink(missing_ok=True)
        with progress.step("simulate"):
            write(str(folder / "facts"), tables(world), replace=True)
        described.write_text(world.to_json())
    return folder / "facts"


def _published(store: redis.Redis, keys: Keys, generation: int) -> tuple[Manifest, list[int]]:
    manifest = store.get(keys.manifest(generation))
    users = store.get(keys.users(generation))
    assert isinstance(manifest, bytes)
    assert isinstance(users, bytes)
    return Manifest.from_json(manifest), decode(users)


def _expected(base: str, truth: Truth, user_ids: list[int], at_s: int) -> dict[str, float]:
    """Return the chance, by the truth, that five posts of all hold a like: ours, random, popular, best."""
    asked = user_ids[:: max(1, len(user_ids) // N_ASKED)][:N_ASKED]
    feeds = [[int(str(post["id"])) for post in ask(base, user_id, at_s).posts] for user_id in asked]
    popular = [int(str(post["id"])) for post in ask(base, UNKNOWN_USER, at_s).posts]
    chance = truth.matrix(asked, at_s)
    row = {post_id: k for k, post_id in enumerate(truth.post_ids.tolist())}
    ours = np.array([[row[post_id] for post_id in feed] for feed in feeds])
    best = np.argsort(-chance, axis=1, kind="stable")[:, :SHOWN]
    everyone = np.broadcast_to([row[post_id] for post_id in popular], best.shape)
    lines = {"almanac": ours, "popular": everyone, "oracle": best}
    found = {name: _hit(np.take_along_axis(chance, rows, axis=1)) for name, rows in lines.items()}
    # Five random posts: each misses independently with the user's mean chance of a miss.
    found["random"] = float((1.0 - (1.0 - chance).mean(axis=1) ** SHOWN).mean())
    return found


def _hit(chance: np.ndarray) -> float:
    return float((1.0 - np.prod(1.0 - chance, axis=1)).mean())


def _at(manifest: Manifest, hour: int) -> int:
    """Return the first time inside the horizon at an hour of the day."""
    return next(
        (s for s in manifest.horizon.starts if s > manifest.as_of_s and moment(s).hour == hour),
        manifest.horizon.starts[-1],
    )


def _commands(url: str, keys: Keys, manifest: Manifest, user_id: int) -> list[str]:
    """Return what shows the same in the store, for a person to type."""
    cli, generation = f"redis-cli -u {url}", manifest.generation
    return [
        f"{cli} HGETALL '{keys.current(manifest.variant)}'",
        f"{cli} HGET '{keys.list(user_id, generation)}' {_at(manifest, HOURS[-1])}",
        f"{cli} ZREVRANGE '{keys.seen(user_id)}' 0 4 WITHSCORES",
    ]


def _query(user_id: int, at_s: int) -> dict[str, object]:
    return {"id": user_id, "time": _text(at_s), "limit": SHOWN}


def _text(at_s: int) -> str:
    return moment(at_s).strftime("%Y-%m-%d %H:%M:%S")


def _free(host: str, port: int) -> int:
    """Return the port, or a free one where somebody holds it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            probe.bind((host, 0))
        return int(probe.getsockname()[1])
