"""What a load takes before any of it is there: the store's bytes, a night's seconds and memory, cores. Pure.

The rates were fitted to nights and probes of one machine (`python -m tests.bench capacity`, docs/scale.md);
another machine's cores are as much faster or slower for all of it.
"""

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from api.contract.manifest import Layout
from api.contract.packed import bits_for
from batch.publish.memory.plan import FIELD_BYTES, SPARE

GIB = 1 << 30
SIMILAR = 50  # posts that a post is told to be like; `ALMANAC_SIMILAR`
PROFILES = 2_000  # at most, that have lists of their own; `ALMANAC_PROFILES`
LONG_SEEN = 1024  # posts, beyond which a seen set is no longer kept tight; `redis/redis.conf`


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for.

    Attributes:
        users: Users with lists.
        posts: Posts to rank.
        events_per_day: Views and likes.
        rps: Feed requests a second at the busiest time.
        days: Days of events that a night reads.
        buckets: Buckets in the horizon.
        depth: Posts in a list.
        text_bytes: Length of a post as it is answered.
        kept: Generations that stay; one more is being built.
        layout: How lists stand in the store.
        distinct: How many of a user's lists differ from the bucket before, the first one among them; None:
            all. Where trees do not pay it is 1: none are summed, and packed lists stand once.
    """

    users: int
    posts: int
    events_per_day: int
    rps: float
    days: int = 90
    buckets: int = 24
    depth: int = 50
    text_bytes: int = 1_200
    kept: int = 2
    layout: Layout = "text"
    distinct: float | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of those that there are to be."""

    cores: int = 2
    memory_gb: float = 24.0


@dataclass(frozen=True, slots=True)
class Rates:
    """What one of each takes. CPU seconds are of all processes of a night: batch, store, PostgreSQL.

    Attributes:
        night_s: CPU seconds of a night whatever its size; the first one after an upgrade compiles for 7 more.
        row_s: Of an event: read, laid by user.
        learn_s: Of an event that is learnt from, at most `learn_rows` of them.
        learn_rows: See `learn_s`.
        post_s: Of a post: its text, its neighbours.
        cell_s: Of a user's list of one bucket, written.
        pair_bucket_s: Of a user and a post in each bucket, where trees are published.
        fold_s: Of a user whose seen posts are packed.
        write_gb: Resident memory of the batch while lists are written, GiB.
        writer_bytes: Of a user then, at most `writer_users` of them.
        writer_users: See `writer_bytes`.
        learnt_bytes: Of an event that was learnt from, then.
        laid_bytes: Of a post as trees score it, then; posts that take more than `laid_gb` go in panels.
        laid_gb: See `laid_bytes`.
        plain_bytes: Of a post as it is scored without trees, in place of `laid_bytes`; up to `plain_gb`.
        plain_gb: See `plain_bytes`.
        hold_gb: Of the batch while features are made.
        row_bytes: Of an event then.
        user_bytes: Of a user then.
        post_bytes: Of a post at any time.
        key_bytes: In the store, of a user's lists of one generation, or of a seen set, beside the posts.
        bucket_bytes: Of a bucket as text, beside its posts.
        packed_bytes: Of a bucket packed.
        seen_bytes: Of a seen post in a set of at most `LONG_SEEN`, beside its digits.
        long_seen_bytes: Of one in a longer set, its digits included.
        profiles: Profiles with lists, a user.
        server_gb: Of the server itself, GiB.
        request_s: CPU seconds of the API for a feed request.
        read_s: CPU seconds of the store for it.
        busy: Share of a core that may be taken at the busiest time.
        alone: Share of a night's CPU time in which one core works, however many there are.
    """

    night_s: float = 4.0
    row_s: float = 1.0e-6
    learn_s: float = 9.5e-6
    learn_rows: int = 8_000_000
    post_s: float = 4.0e-4
    cell_s: float = 6.0e-6
    pair_bucket_s: float = 1.2e-9
    fold_s: float = 1.0e-4
    write_gb: float = 0.53
    writer_bytes: float = 23_600.0
    writer_users: int = 16_000
    learnt_bytes: float = 50.0
    laid_bytes: float = 58_000.0
    laid_gb: float = 2.0
    plain_bytes: float = 28_000.0
    plain_gb: float = 1.17
    hold_gb: float = 0.3
    row_bytes: float = 22.0
    user_bytes: float = 2_800.0
    post_bytes: float = 5_400.0
    key_bytes: float = 105.0
    bucket_bytes: float = 9.1
    packed_bytes: float = 1.6
    seen_bytes: float = 6.2
    long_seen_bytes: float = 61.0
    profiles: float = 0.08
    server_gb: float = 0.012
    request_s: float = 37.0e-6
    read_s: float = 14.0e-6
    busy: float = 0.6
    alone: float = 0.43


RATES = Rates()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What it takes.

    Attributes:
        bytes_per_user: Of a user's own lists in one generation.
        generation_gb: One generation in the store.
        seen_gb: Seen sets of everybody, which all generations share; a first night writes them before it
            packs any.
        store_gb: All of the store: the kept generations, the one being built, the seen sets, and spare.
        store_machines: Primaries, by memory and by requests.
        night_rows: Events that a night reads.
        night_cpu_s: CPU seconds of a night.
        night_minutes: Of it: reading and learning on one machine, lists on those below.
        night_peak_gb: Most memory of the batch, were it one process.
        night_machines: Machines, or shards, among which a night fits into memory.
        api_cores: Cores that answer.
        api_machines: Machines for them.
    """

    bytes_per_user: int
    generation_gb: float
    seen_gb: float
    store_gb: float
    store_machines: int
    night_rows: int
    night_cpu_s: float
    night_minutes: float
    night_peak_gb: float
    night_machines: int
    api_cores: float
    api_machines: int

    def values(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def find_capacity(load: Load, machine: Machine, rates: Rates = RATES) -> Capacity:
    """Add up what a load takes, and among how many machines it fits.

    >>> found = find_capacity(Load(users=163_205, posts=7_023, events_per_day=1_000_000, rps=1000), Machine())
    >>> found.store_machines, found.night_machines, found.api_machines
    (1, 1, 1)
    """
    a_user = find_user_bytes(load, rates)
    a_post = load.text_bytes + 2 * FIELD_BYTES + SIMILAR * (_mean_digits(load) + 1)
    n_shared = min(PROFILES, load.users * rates.profiles)
    a_shared = load.buckets * (rates.bucket_bytes + min(load.depth, load.posts) * (_mean_digits(load) + 1))
    generation = load.users * (a_user + len(str(load.users)) + 1) + load.posts * a_post + n_shared * a_shared
    rows = load.events_per_day * load.days
    n_seen = min(rows / load.users, load.posts)
    a_seen = rates.seen_bytes + _mean_digits(load) if n_seen <= LONG_SEEN else rates.long_seen_bytes
    seen = load.users * (n_seen * a_seen + rates.key_bytes) if n_seen else 0.0
    store_gb = ((load.kept + 1) * generation + seen) * (1 + SPARE) / GIB + rates.server_gb
    learnt = min(rows, rates.learn_rows)
    learn_s = rates.night_s + rates.row_s * rows + rates.learn_s * learnt + rates.post_s * load.posts
    has_trees = load.distinct is None or load.distinct > 1
    a_cell = rates.cell_s + has_trees * rates.pair_bucket_s * load.posts
    lists_s = load.users * (load.buckets * a_cell + (load.layout == "packed") * rates.fold_s)
    laid_bytes, laid_gb = (
        (rates.laid_bytes, rates.laid_gb) if has_trees else (rates.plain_bytes, rates.plain_gb)
    )
    writers = rates.writer_bytes * min(load.users, rates.writer_users) + rates.learnt_bytes * learnt
    writes_gb = rates.write_gb + writers / GIB + min(laid_bytes * load.posts / GIB, laid_gb)
    holds_gb = rates.hold_gb + (rates.row_bytes * rows + rates.user_bytes * load.users) / GIB
    peak_gb = max(writes_gb, holds_gb) + rates.post_bytes * load.posts / GIB
    night_machines = max(1, ceil(peak_gb / machine.memory_gb))
    wall_s = (learn_s + lists_s / night_machines) * (rates.alone + (1 - rates.alone) / machine.cores)
    api_cores = load.rps * rates.request_s / rates.busy
    # A primary answers on one core; beside what it holds it needs room for the log that it rewrites.
    by_requests = load.rps * rates.read_s / rates.busy
    return Capacity(
        bytes_per_user=round(a_user),
        generation_gb=generation / GIB,
        seen_gb=seen / GIB,
        store_gb=store_gb,
        store_machines=max(1, ceil(store_gb / machine.memory_gb), ceil(by_requests)),
        night_rows=rows,
        night_cpu_s=learn_s + lists_s,
        night_minutes=wall_s / 60,
        night_peak_gb=peak_gb,
        night_machines=night_machines,
        api_cores=api_cores,
        api_machines=max(1, ceil(api_cores / machine.cores)),
    )


def find_user_bytes(load: Load, rates: Rates = RATES) -> float:
    """Return the bytes of a user's lists in the store, key included, as `layout` has them."""
    depth = min(load.depth, load.posts)
    if load.layout == "packed":
        n_lists = load.buckets if load.distinct is None else min(load.distinct, load.buckets)
        return rates.key_bytes + n_lists * (rates.packed_bytes + depth * bits_for(load.posts) / 8)
    return rates.key_bytes + load.buckets * (rates.bucket_bytes + depth * (_mean_digits(load) + 1))


def _mean_digits(load: Load) -> float:
    """Return the digits of a post's number on the average, were they 1 to the number of posts."""
    n = load.posts
    return sum(n + 1 - 10.0**k for k in range(len(str(n)))) / n
