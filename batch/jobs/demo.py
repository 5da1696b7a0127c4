"""The demo: a world or real facts, one run, the API, and three users' feeds at three hours."""

import hashlib
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from urllib.parse import urlencode

import numpy as np
import orjson

from api.address import hide_password
from api.contract.buckets import moment
from api.contract.ids import Kind, as_json
from api.contract.manifest import Manifest
from batch.data.load import refuse_absent
from batch.data.write import write
from batch.jobs.api_process import CannotListen, environment, find_port, run_api
from batch.jobs.full import run
from batch.progress import Progress
from batch.publish.store import GenerationStore
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables
from batch.simulate.truth import Truth
from batch.store import read
from batch.store.connection import open_store, store_url

N_USERS = 3  # whose feeds are shown
HOURS = (9, 14, 20)  # of the day after as_of
N_ASKED = 200  # users whose feed the truth judges
UNKNOWN_USER = "-1"  # nobody's id: the answer is the popular list
SHOWN = 5
EXPECTED_S = {  # what each step takes of the demo's minute, caches cold: 2026-11-29, two cores
    "simulate": 1.0,
    "read": 0.3,
    "describe": 1.5,
    "estimate": 25.0,
    "train": 4.0,
    "features": 20.0,
    "publish": 10.0,
}


@dataclass(frozen=True, slots=True)
class Feed:
    """A user's feed at one time, as the API answered it."""

    user_id: int | str
    at: str
    rung: str
    posts: list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The feeds that a demo shows, and where to look further; only a made world has a truth to judge by."""

    run: dict[str, object]
    state_dir: str
    store: str
    feeds: list[Feed]
    expected_hitrate_at_5: dict[str, float]
    api: str
    commands: dict[str, str]

    def values(self) -> dict[str, object]:
        """Return all of it for JSON, what the run said first."""
        values = asdict(self)
        return {**values.pop("run"), **values}


@contextmanager
def demo(
    settings: Settings, data: str, world: WorldConfig, progress: Progress, host: str, port: int
) -> Iterator[DemoResult]:
    """Compute, publish and serve; the API stays up while the context is open.

    What real facts hold back for a test, the truth of a made world tells better and at once.

    Args:
        settings: As set; state folder and key prefix are kept apart from what is served, and per data.
        data: Folder or URL of real facts; empty makes `world`.
        world: The world to make where no data are given.
        progress: Where it is shown.
        host: Loopback address of the API.
        port: Its port; a free one is taken where it is in use.

    Raises:
        CannotListen: The host is none of this machine.
    """
    _find_free_port(host, port)  # a host that is wrong is said before the work, not after it
    if not data:
        progress.expect(EXPECTED_S)
    apart = _settings_apart(settings, data or world.to_json())
    if data:
        refuse_absent(apart, data)
    truth = None if data else Truth.from_config(world)
    location = data or str(_make_world(apart.state_dir / "world", world, progress))
    keys = apart.keys
    with store_url(apart, progress) as url:
        with open_store(url) as store:
            result = run(apart, store, location, progress, evaluated=truth is None)
            manifest = Manifest.from_json(read.value(store, keys.manifest(result.generation)) or b"")
            users = GenerationStore(store, keys).user_ids(result.generation)
        log = apart.state_dir / "api.log"
        with run_api(environment(apart, url, host, _find_free_port(host, port)), log) as base:
            times = [_first_time(manifest, hour) for hour in HOURS]
            chosen = users[:: max(1, len(users) // N_USERS)][:N_USERS]
            yield DemoResult(
                run=asdict(result),
                state_dir=str(apart.state_dir),
                store=hide_password(url),
                feeds=[ask(base, user, at, manifest.user_ids) for user in chosen for at in times],
                expected_hitrate_at_5=_expected_hits(base, truth, users, times[-1]) if truth else {},
                api=_feed_url(base, chosen[0], times[-1]),
                commands=_commands(apart, hide_password(url), manifest, chosen[0], times[-1]),
            )


def ask(base: str, user_id: str, at_s: int, kind: Kind = "numbers") -> Feed:
    """Ask the API for a user's feed at a time; `kind` says what users' ids are in JSON."""
    with urllib.request.urlopen(_feed_url(base, user_id, at_s), timeout=10) as answer:  # noqa: S310 - loopback
        return Feed(
            as_json(user_id, kind), _text(at_s), answer.headers["X-Almanac-Rung"], orjson.loads(answer.read())
        )


def _settings_apart(settings: Settings, what: str) -> Settings:
    """Return settings of a place of its own: two worlds have the same user ids and different seen sets."""
    name = hashlib.sha256(what.encode()).hexdigest()[:8]
    return settings.replace(
        state_dir=settings.state_dir / "demo" / name, prefix=f"{settings.prefix}-demo-{name}"
    )


def _make_world(folder: Path, world: WorldConfig, progress: Progress) -> Path:
    """Make the world unless this very one lies there already; its truth is kept in no file of the facts."""
    described = folder / "world.json"
    if not (described.is_file() and described.read_text() == world.to_json()):
        folder.mkdir(parents=True, exist_ok=True)
        described.unlink(missing_ok=True)
        with progress.step("simulate"):
            write(str(folder / "facts"), tables(world), replace=True)
        described.write_text(world.to_json())
    return folder / "facts"


def _expected_hits(base: str, truth: Truth, users: list[str], at_s: int) -> dict[str, float]:
    """Return the chance, by the truth, that five posts of all hold a like: ours, random, popular, best."""
    asked = users[:: max(1, len(users) // N_ASKED)][:N_ASKED]
    column = {post_id: k for k, post_id in enumerate(truth.post_ids.tolist())}

    def ask_rows(user_id: str) -> list[int]:
        return [column[int(str(post["id"]))] for post in ask(base, user_id, at_s).posts]

    chance = truth.matrix([int(user) for user in asked], at_s)
    five = {
        "almanac": np.array([ask_rows(user_id) for user_id in asked]),
        "popular": np.tile(ask_rows(UNKNOWN_USER), (len(asked), 1)),
        "oracle": np.argsort(-chance, axis=1, kind="stable")[:, :SHOWN],
    }
    missed = {name: 1.0 - np.take_along_axis(chance, columns, axis=1) for name, columns in five.items()}
    # Five random posts: each misses independently with the user's mean chance of a miss.
    missed["random"] = np.repeat((1.0 - chance).mean(axis=1, keepdims=True), SHOWN, axis=1)
    return {name: float((1.0 - miss.prod(axis=1)).mean()) for name, miss in missed.items()}


def _first_time(manifest: Manifest, hour: int) -> int:
    """Return the first time inside the horizon at an hour of the day."""
    return next(
        (s for s in manifest.horizon.starts if s > manifest.as_of_s and moment(s).hour == hour),
        manifest.horizon.starts[-1],
    )


def _commands(settings: Settings, url: str, manifest: Manifest, user_id: str, at_s: int) -> dict[str, str]:
    """Return what shows the same in the store, for a person to type while the demo is up."""
    keys, almanac = settings.keys, _almanac()
    here = f"ALMANAC_REDIS_URL={url} ALMANAC_PREFIX={settings.prefix}"
    cli = f"redis-cli -u {url}" if shutil.which("redis-cli") else f"{almanac} redis -u {url}"
    own, told = keys.list(user_id, manifest.generation), keys.manifest(manifest.generation)
    read = "HGET" if manifest.layout == "text" else f"FCALL_RO list 2 {quote(told)}"
    return {
        "the list in the store": f"{cli} {read} {quote(own)} {at_s}",
        "what the user saw last": f"{cli} ZREVRANGE {quote(keys.seen(user_id))} 0 4 WITHSCORES",
        "how the feed came about": f"{here} {almanac} inspect {quote(user_id)} --at '{_text(at_s)}'",
    }


def _almanac() -> str:
    """Return how the command line was called, as it can be typed again."""
    called = Path(sys.argv[0])
    return "python -m batch" if called.name == "__main__.py" else sys.argv[0]


def _feed_url(base: str, user_id: str, at_s: int) -> str:
    query = urlencode({"id": user_id, "time": _text(at_s), "limit": SHOWN})
    return f"{base}/post/recommendations/?{query}"


def _text(at_s: int) -> str:
    return moment(at_s).strftime("%Y-%m-%d %H:%M:%S")


def _find_free_port(host: str, port: int) -> int:
    """Return the port, or a free one where somebody holds it."""
    try:
        return find_port(host, port)
    except CannotListen as exc:
        if not exc.port_is_taken:
            raise
        return find_port(host, 0)
