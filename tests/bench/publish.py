"""How fast a generation goes into the store, beside the same bytes, prepared beforehand, on one raw socket.

Lists are drawn and not scored. Each round empties the store, sends the prepared bytes, empties it again and
publishes; then keys are compared with what was meant, and with what the prepared bytes made.
"""

import math
import os
import platform
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import redis

from api.contract.codec import encode
from api.contract.keys import SEGMENT_FIELD, Keys
from api.contract.manifest import Layout
from api.contract.seen import unpack_seen
from batch.arrays import Ints32
from batch.publish import shard
from batch.publish.config import PublishConfig
from batch.publish.fill import write_lists
from batch.publish.generation import GenerationContent
from batch.publish.memory.probe import weigh
from batch.publish.publish import publish
from batch.publish.seen_sets import write_seen
from batch.publish.store import GenerationStore
from batch.publish.writer import Build
from batch.score.ranked import RankedBlock
from batch.store import read
from batch.store.lease import hold
from batch.store.wire import Busy, PipelinedWriter
from tests.bench import apps, asleep, stock
from tests.bench.stock import AS_OF_S, GENERATION, SEGMENT, Stock

CHUNK = 1 << 18  # bytes of a prepared file that are sent at a time
SAMPLE = 200  # users whose keys are compared
FIRST = (
    1_000  # users, of one shard at most, on whom steps are timed, and whose keys also go in piece by piece
)
KEYS = Keys()


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is published: a content, and the lists of one shard's users, which all shards have."""

    content: GenerationContent
    posts: Ints32
    scores: np.ndarray

    @property
    def n_users(self) -> int:
        """Return the number of users."""
        return len(self.content.user_ids)

    def blocks(self) -> Iterator[RankedBlock]:
        """Yield all users' lists."""
        for first in range(0, self.n_users, shard.USERS):
            n = min(shard.USERS, self.n_users - first)
            yield RankedBlock(first, self.posts[:n], self.scores[:n])

    def first(self, n_users: int) -> "Drawn":
        """Return the first users alone."""
        of = self.content
        views, likes = (times.of_users(np.arange(n_users)) for times in (of.views, of.likes))
        some = replace(
            of, user_ids=of.user_ids[:n_users], segment_of=of.segment_of[:n_users], views=views, likes=likes
        )
        return replace(self, content=some)


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds of lists, their files and digests; of seen sets, what users share before them; of packing
    what was seen, from the likes on; of all.

    `waited`: how long of all this process's first thread was ready and had no core, where Linux tells.
    """

    lists: float
    seen: float
    folded: float
    whole: float
    waited: float


class Tape(PipelinedWriter):
    """Writes commands into a file, and counts the replies that they will get."""

    def __init__(self, path: Path) -> None:
        """Write into `path`."""
        self._file = path.open("wb")
        self.n_replies = 0

    def __enter__(self) -> "Tape":
        """Give the tape."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def send(self, packed: bytes | memoryview, n_replies: int, busy: Busy | None = None) -> None:
        """Write commands down."""
        self._file.write(packed)
        self.n_replies += n_replies

    def flush(self) -> None:
        """Nothing waits here."""


def run(sizes: Stock | None = None, rounds: int = 3) -> dict[str, object]:
    """Measure our own lists and return the figures, each of its best round.

    `fraction_of_socket` is of lists and seen sets together; `lists_fraction` and `seen_fraction` are of each.
    A publication also writes files and digests, the bytes on the socket are the commands alone.

    Args:
        sizes: What is published.
        rounds: How often each way has its turn.

    Raises:
        AssertionError: The store does not hold what was meant.
    """
    sizes = sizes or Stock(n_users=40_000)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="almanac-bench-")))
        client = stack.enter_context(redis.Redis.from_url(stack.enter_context(apps.store(folder))))
        drawn = _draw(sizes)
        some = drawn.first(min(FIRST, drawn.n_users))
        _publish(client, some, folder)  # compiles
        pieces = _piece_by_piece(client, some, folder)
        prepared = {name: _prepare(client, drawn, folder / name, name) for name in ("lists", "seen")}
        raw: dict[str, list[float]] = {"lists": [], "seen": []}
        ours: list[Phases] = []
        for _ in range(rounds):
            client.flushall()
            for name, (path, n_replies) in prepared.items():
                raw[name].append(_send(client, path, n_replies))
            meant = _dumps(client, drawn)
            ours.append(_publish(client, drawn, folder))
            _check(client, drawn, meant)
        return {
            **_figures(drawn, {name: min(times) for name, times in raw.items()}, ours),
            "cpu_us_per_user": _steps(client, some, folder),
            "piece_by_piece": pieces,
            "bytes_per_user": {
                name: round(path.stat().st_size / drawn.n_users) for name, (path, _) in prepared.items()
            },
            "store_bytes_per_user": _weigh(client, drawn),
            "packed": _pack(client, drawn, folder),
            "asleep": asleep.measure(
                client,
                drawn.content,
                drawn.blocks(),
                PublishConfig(folder / "generations", stock.DAY_S, kept=2, now=lambda: AS_OF_S),
            ),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "rounds": rounds,
            "sizes": {name: getattr(sizes, name) for name in Stock.__slots__},
            "machine": f"{os.cpu_count()} × {platform.machine()}, Python {platform.python_version()}",
        }


def _figures(drawn: Drawn, raw: dict[str, float], ours: list[Phases]) -> dict[str, object]:
    lists, seen = min(one.lists for one in ours), min(one.seen for one in ours)
    best = min(ours, key=lambda one: one.whole)
    return {
        "users_per_s": round(drawn.n_users / lists),
        "lists_per_s": round(drawn.n_users * drawn.content.horizon.n_buckets / lists),
        "seen_members_per_s": round(len(drawn.content.views.post) / seen),
        "seconds": round(best.whole, 2),
        "seconds_without_a_core": round(best.waited, 2),
        "fraction_of_socket": round(
            (raw["lists"] + raw["seen"]) / min(one.lists + one.seen for one in ours), 3
        ),
        "lists_fraction": round(raw["lists"] / lists, 3),
        "seen_fraction": round(raw["seen"] / seen, 3),
        "raw_users_per_s": round(drawn.n_users / raw["lists"]),
        "raw_seen_members_per_s": round(len(drawn.content.views.post) / raw["seen"]),
    }


def _draw(sizes: Stock) -> Drawn:
    rng = np.random.default_rng(sizes.seed)
    views, lists = stock.draw(rng, sizes, sizes.n_users)
    n_users = min(sizes.n_users, shard.USERS)
    posts = lists[:n_users].reshape(n_users, sizes.n_buckets, sizes.depth)
    content = replace(stock.make_content(sizes, 0, views), posts=[b"{}"] * sizes.n_posts)
    return Drawn(content, posts, -np.sort(rng.normal(size=posts.shape)))


def _publish(client: redis.Redis, drawn: Drawn, folder: Path, layout: Layout = "text") -> Phases:
    """Publish into an empty store, and say how long it took."""
    client.flushall()
    ended: dict[str, float] = {}
    began: list[float] = []

    def show(what: str, _done: int, _total: int | None) -> None:
        ended[what] = time.perf_counter()

    def blocks() -> Iterator[RankedBlock]:
        began.append(time.perf_counter())
        yield from drawn.blocks()

    config = PublishConfig(
        folder / "generations", stock.DAY_S, kept=2, now=lambda: AS_OF_S, progress=show, layout=layout
    )
    asked, waited = time.perf_counter(), _waited_s()
    publish(GenerationStore(client, KEYS), drawn.content, blocks(), config)
    return Phases(
        lists=ended["lists"] - began[0],
        seen=ended["seen"] - ended["lists"],
        folded=ended.get("seen packed", 0.0) - ended.get("likes", 0.0) if layout == "packed" else 0.0,
        whole=time.perf_counter() - asked,
        waited=_waited_s() - waited,
    )


def _waited_s() -> float:
    """Return how long this process's first thread has been ready to run and had no core; NaN: not told."""
    path = Path("/proc/self/schedstat")
    return int(path.read_text().split()[1]) / 1e9 if path.is_file() else math.nan


def _write(
    client: redis.Redis, wire: PipelinedWriter, drawn: Drawn, folder: Path, name: str, *, restores: bool
) -> None:
    """Write lists, or seen sets, with nothing around them."""
    store, content = GenerationStore(client, KEYS), drawn.content
    config = PublishConfig(folder, stock.DAY_S, kept=2)
    with hold(client, KEYS.lease(), AS_OF_S, config.progress, ttl_s=stock.LEASE_S) as lease:
        build = Build(store, config, lease, content, content.draft(GENERATION, AS_OF_S), restores=restores)
        if name == "lists":
            for block in drawn.blocks():
                write_lists(build, wire, shard.rows_of(block), block.posts)
        else:
            write_seen(
                wire, lease, content, content.views, KEYS.seen, None, config.progress, restores=restores
            )
        wire.flush()


def _prepare(client: redis.Redis, drawn: Drawn, path: Path, name: str) -> tuple[Path, int]:
    """Write all commands into a file; return it, and how many replies they get."""
    with Tape(path) as tape:
        _write(client, tape, drawn, path.parent, name, restores=True)
    return path, tape.n_replies


def _piece_by_piece(client: redis.Redis, drawn: Drawn, folder: Path) -> dict[str, int]:
    """Return users and pairs a second where the store refuses whole keys."""
    client.flushall()
    rates = {}
    for name, n in (("lists", drawn.n_users), ("seen", len(drawn.content.views.post))):
        with PipelinedWriter(client) as wire:
            began = time.perf_counter()
            _write(client, wire, drawn, folder, name, restores=False)
            rates[name] = round(n / (time.perf_counter() - began))
    return {"users_per_s": rates["lists"], "seen_members_per_s": rates["seen"]}


def _send(client: redis.Redis, path: Path, n_replies: int) -> float:
    """Send a file over one socket, and return the seconds until the last reply."""
    at = client.connection_pool.connection_kwargs
    left = len(b"+OK\r\n") * n_replies
    with socket.create_connection((at["host"], at["port"])) as wire, path.open("rb") as file:
        began = time.perf_counter()
        while chunk := file.read(CHUNK):
            wire.sendall(chunk)
        while left:
            got = wire.recv(CHUNK)
            assert got, "the store closed the connection"
            assert b"-" not in got, got
            left -= len(got)
        return time.perf_counter() - began


def _sampled(drawn: Drawn) -> list[int]:
    return list(np.linspace(0, drawn.n_users - 1, min(SAMPLE, drawn.n_users)).astype(int).tolist())


def _user_keys(drawn: Drawn, row: int) -> tuple[str, str]:
    user_id = drawn.content.user_names.canonical(drawn.content.user_ids[row : row + 1])[0]
    return KEYS.list(user_id, GENERATION), KEYS.seen(user_id)


def _dumps(client: redis.Redis, drawn: Drawn) -> list[bytes | None]:
    return [client.dump(key) for row in _sampled(drawn) for key in _user_keys(drawn, row)]


def _check(client: redis.Redis, drawn: Drawn, meant: list[bytes | None]) -> None:
    """Assert that the store holds what was drawn, and what the prepared bytes made."""
    assert _dumps(client, drawn) == meant, "published keys differ from those of the prepared bytes"
    numbers, views = drawn.content.post_numbers, drawn.content.views
    for row in _sampled(drawn):
        lists, seen = _user_keys(drawn, row)
        fields = {
            b"%d" % start: encode(numbers[posts].tolist())
            for start, posts in zip(drawn.content.horizon.starts, drawn.posts[row % shard.USERS], strict=True)
        }
        assert client.hgetall(lists) == fields | {SEGMENT_FIELD.encode(): SEGMENT.encode()}
        assert 0 < int(client.ttl(lists)) <= stock.DAY_S
        low, high = views.start[row], views.start[row + 1]
        pairs = zip(numbers[views.post[low:high]].tolist(), views.time[low:high].tolist(), strict=True)
        wanted = sorted((float(time), b"%d" % post) for post, time in pairs)
        found = cast("list[tuple[bytes, float]]", client.zrangebyscore(seen, "-inf", "+inf", withscores=True))
        assert [(time, post) for post, time in found] == wanted
        assert [client.object("encoding", key) for key in (lists, seen)] == [b"listpack"] * 2


def _weigh(client: redis.Redis, drawn: Drawn) -> dict[str, int]:
    """Return the bytes that a user's keys take in the store, on the average."""
    weights = [
        [int(client.memory_usage(key, samples=0) or 0) for key in _user_keys(drawn, row)]
        for row in _sampled(drawn)
    ]
    lists, seen = np.mean(weights, axis=0).tolist()
    return {"lists": round(lists), "seen": round(seen)}


def _pack(client: redis.Redis, drawn: Drawn, folder: Path) -> dict[str, float]:
    """Publish packed; return how fast lists went in, and what a user's take: by `MEMORY USAGE`, by all.

    And what a seen post takes, packed and with those that came after as_of, which every user has here.

    `bytes_per_user` is what the store held more with them than with all else of the generation.
    """
    phases = _publish(client, drawn, folder, "packed")
    whole = weigh(client)
    users = [drawn.content.user_names.canonical(drawn.content.user_ids[[row]])[0] for row in _sampled(drawn)]
    lists, later, old = (
        np.mean([int(client.memory_usage(key(user), samples=0) or 0) for user in users])
        for key in (lambda user: KEYS.list(user, GENERATION), KEYS.seen, KEYS.seen_old)
    )
    sizes = [
        (client.zcard(KEYS.seen(user)), len(unpack_seen(read.value(client, KEYS.seen_old(user)) or b"")))
        for user in users
    ]
    n_later, n_old = np.mean(sizes, axis=0).tolist()
    for name in client.scan_iter("almanac:1:list:*", count=10_000):
        client.unlink(name)
    return {
        "users_per_s": round(drawn.n_users / phases.lists),
        "store_bytes_per_user": round(lists),
        "bytes_per_seen_post": round(old / n_old, 3),
        "bytes_per_seen_post_with_later_ones": round((old + later) / (n_old + n_later), 3),
        "us_per_user_of_packing_seen": round(phases.folded / drawn.n_users * 1e6, 1),
        "bytes_per_user": round((whole - weigh(client)) / drawn.n_users),
    }


def _steps(client: redis.Redis, drawn: Drawn, folder: Path) -> dict[str, float]:
    """Return this process's CPU microseconds a user of each thing that is done for them.

    Texts and digests of lists are part of `lists`, which has the commands, too; files come beside it.
    """
    content, (block,) = drawn.content, list(drawn.blocks())
    _, n_buckets, depth = block.posts.shape
    made = shard.encode(block.posts.reshape(-1, depth), content.post_numbers)

    def texts() -> None:
        shard.encode(block.posts.reshape(-1, depth), content.post_numbers)

    def digests() -> None:
        for i in range(drawn.n_users):
            shard.digest("200", SEGMENT, [made.lines(i * n_buckets, (i + 1) * n_buckets)])

    def files() -> None:
        with shard.open_parquet(folder / "lists.parquet") as file:
            file.write_table(shard.table(content, shard.rows_of(block), block.posts, block.scores))

    steps: dict[str, Callable[[], object]] = {
        "lists": lambda: _prepare(client, drawn, folder / "of_steps", "lists"),
        "texts": texts,
        "digests": digests,
        "files": files,
        "seen": lambda: _prepare(client, drawn, folder / "of_steps", "seen"),
    }
    return {name: round(_cpu_s(step) / drawn.n_users * 1e6, 1) for name, step in steps.items()}


def _cpu_s(step: Callable[[], object]) -> float:
    """Return the CPU seconds of a step, the least of five."""
    times = []
    for _ in range(5):
        began = time.process_time()
        step()
        times.append(time.process_time() - began)
    return min(times)
