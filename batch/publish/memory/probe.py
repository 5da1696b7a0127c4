"""What one user and one post cost in the target store, measured there, with its own settings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import redis
from redis.client import Pipeline

from api.contract.codec import encode
from api.contract.keys import SEGMENT_FIELD
from api.contract.packed import bits_for, pack
from batch.arrays import AnyInts
from batch.publish.memory.plan import Costs, Plan, Sizes, plan
from batch.publish.store import GenerationStore
from batch.store.cluster import find_servers
from batch.store.server import StoreUnfit, is_refused
from batch.store.wait import wait_until

USERS = 600  # 4 MB of lists and 2 MB of seen sets at full size: written and gone within two seconds
POSTS = 500
SEGMENT = "gender=1,a=1"
ENTRIES = 1000  # more than a small hash has, whose entries weigh less
CHUNK = 20  # keys a round trip
PATIENCE_S = 5.0  # a whole generation is freed in two
TTL_S = 60  # of everything a killed probe leaves


class WeightUnseen(StoreUnfit):
    """The store does not say what keys weigh."""

    def __init__(self, why: object) -> None:
        super().__init__(f"the store does not say what keys weigh: let this user run MEMORY USAGE ({why})")


def measure(store: GenerationStore, sizes: Sizes, rng: np.random.Generator) -> Costs:
    """Write some users of a run's sizes beside everything else, weigh them, and take them away.

    The keys begin with `<prefix>:probe`, live a minute at most, and hold drawn post ids: no two buckets have
    the same list, so that packed ones take as much as they can.

    Raises:
        redis.ResponseError: The store has no room even for that, or does not let this user weigh a key.
    """
    client, probe = store.client, replace(store.keys, prefix=f"{store.keys.prefix}:probe")
    users = [str(10**6 + at).rjust(round(sizes.user_bytes), "0") for at in range(USERS)]
    seen, likes = (_spread(counts, USERS) for counts in (sizes.seen, sizes.likes))
    lengths, entries = _spread(sizes.post_bytes, POSTS), _spread(sizes.entry_bytes, ENTRIES)
    mixed = rng.permutation(sizes.post_numbers)
    bits = bits_for(int(sizes.post_numbers.max(initial=0)))

    def lists(pipe: Pipeline, at: int) -> None:
        drawn = rng.choice(sizes.post_numbers, (sizes.n_buckets, sizes.depth)).tolist()
        key = probe.list(users[at], 1)
        if sizes.layout == "packed":
            pipe.set(key, pack(drawn, sizes.depth, bits, SEGMENT), ex=TTL_S)
            return
        fields = {str(1_640_390_400 + b): encode(row) for b, row in enumerate(drawn)}
        pipe.hset(key, items=[part for pair in fields.items() for part in pair] + [SEGMENT_FIELD, SEGMENT])
        pipe.expire(key, TTL_S)

    def zset(name: Callable[[str], str], counts: list[int]) -> Callable[[Pipeline, int], None]:
        def write(pipe: Pipeline, at: int) -> None:
            n = min(counts[at], len(mixed))
            if n:
                posts = mixed.take(np.arange(at, at + n), mode="wrap").tolist()
                pipe.zadd(name(users[at]), {str(post): 1_640_000_000 + k for k, post in enumerate(posts)})

        return write

    def post(pipe: Pipeline, at: int) -> None:
        pipe.hset(probe.posts(1), str(at), b"x" * lengths[at])

    def entry(pipe: Pipeline, at: int) -> None:
        text = str(at).rjust(entries[at], "0")
        pipe.hset(probe.ids(), str(at), text)
        pipe.hset(probe.numbers(), text, str(at))

    seen_keys, like_keys = ([name(user) for user in users] for name in (probe.seen, probe.likes))
    return Costs(
        lists=_weigh_one(client, [probe.list(user, 1) for user in users], lists, USERS),
        seen=_weigh_one(client, seen_keys, zset(probe.seen, seen), USERS),
        likes=_weigh_one(client, like_keys, zset(probe.likes, likes), USERS),
        post=_weigh_one(client, [probe.posts(1)], post, POSTS),
        entry=_weigh_one(client, [probe.ids(), probe.numbers()], entry, ENTRIES) if entries else 0.0,
    )


def plan_memory(
    store: GenerationStore, sizes: Sizes, kept: int, rng: np.random.Generator, held: float = 0.0
) -> Plan:
    """Measure, then plan; `held` is the share of the seen sets that the store holds already, 0..1.

    Raises:
        WeightUnseen: The store does not say what keys weigh.
        redis.ResponseError: It has no room even for the probe.
    """
    try:
        costs = measure(store, sizes, rng)
    except redis.ResponseError as exc:
        if not is_refused(exc):
            raise
        raise WeightUnseen(exc) from exc
    used, limit = see_room(store.client)
    return plan(sizes, costs, kept=kept, used=used, limit=limit, held=held)


def see_room(client: redis.Redis) -> tuple[int, int] | tuple[None, None]:
    """Return the bytes that the store's data takes, and may take (0: no limit); None: it does not say."""
    try:
        limits = [int(server.info("memory").get("maxmemory") or 0) for server in find_servers(client)]
        least = min((limit for limit in limits if limit), default=0)  # slots are spread evenly
        return weigh(client), least * len(limits)
    except redis.ResponseError as exc:
        if not is_refused(exc):
            raise
        return None, None


def weigh(client: redis.Redis) -> int:
    """Return the bytes that the store's data takes, without what connections and the log's buffer hold.

    Waits a few seconds at most for what was unlinked to be freed.
    """
    return sum(map(_weigh_server, find_servers(client)))


def _weigh_server(client: redis.Redis) -> int:
    wait_until(lambda: not client.info("memory").get("lazyfree_pending_objects"), PATIENCE_S)
    info = client.info("memory")
    passing = ("mem_clients_normal", "mem_clients_slaves", "mem_aof_buffer", "mem_replication_backlog")
    return int(info["used_memory"]) - sum(int(info.get(name, 0)) for name in passing)


def _weigh_one(
    client: redis.Redis, names: list[str], write: Callable[[Pipeline, int], None], n: int
) -> float:
    """Return the bytes that one of `n` things takes; what was written is gone afterwards."""
    with _clear_after(client, names):
        for low in range(0, n, CHUNK):
            with client.pipeline(transaction=False) as pipe:
                for at in range(low, min(low + CHUNK, n)):
                    write(pipe, at)
                pipe.execute()
        with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.expire(name, TTL_S)
                pipe.memory_usage(name, samples=0)
            return sum(found or 0 for found in pipe.execute()[1::2]) / n


def _spread(counts: AnyInts, n: int) -> list[int]:
    """Return `n` of the counts, evenly from the least to the most; none of none."""
    if not len(counts):
        return []
    places = (np.arange(n) + 0.5) / n * len(counts)
    return [int(count) for count in np.sort(counts)[places.astype(int)]]


@contextmanager
def _clear_after(client: redis.Redis, names: list[str]) -> Iterator[None]:
    try:
        yield
    finally:
        for low in range(0, len(names), 100):
            client.unlink(*names[low : low + 100])
