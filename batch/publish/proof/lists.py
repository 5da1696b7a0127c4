"""Lists as they stand in Redis, read back by user and bucket."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import redis

from api.contract.buckets import Horizon
from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.store import read

CHUNK = 250  # users a round trip: 1.5 MB of lists

Ints = npt.NDArray[np.int64]


def user_ids(client: redis.Redis, keys: Keys, generation: int) -> list[int]:
    """Return the users who have lists, ascending."""
    return decode(read.value(client, keys.users(generation)))


def hashes(
    client: redis.Redis, keys: Keys, generation: int, users: Sequence[int]
) -> Iterator[tuple[int, dict[bytes, bytes]]]:
    """Yield each user and his hash, empty where it is missing."""
    for low in range(0, len(users), CHUNK):
        some = users[low : low + CHUNK]
        with client.pipeline(transaction=False) as pipe:
            for user_id in some:
                pipe.hgetall(keys.list(user_id, generation))
            yield from zip(some, pipe.execute(), strict=True)


def read_lists(
    client: redis.Redis, keys: Keys, manifest: Manifest, users: Sequence[int], starts: Sequence[int]
) -> Ints:
    """Read some users' lists of some buckets.

    Returns:
        int64 (users, buckets, depth). Post ids, best first; -1 fills, and stands where there is no list.
    """
    out = np.full((len(users), len(starts), manifest.depth), -1, np.int64)
    names = [b"%d" % start for start in starts]
    found = hashes(client, keys, manifest.generation, users)
    for own, (_, fields) in zip(out, found, strict=True):
        for row, name in zip(own, names, strict=True):
            ids = decode(fields.get(name))
            row[: len(ids)] = ids
    return out


def matching_starts(of: Horizon, other: Horizon) -> list[tuple[int, int]]:
    """Pair each bucket of `of` with the one of `other` that answers the same time of day.

    >>> matching_starts(Horizon(86_400, 3600, 2), Horizon(0, 3600, 24))
    [(86400, 0), (90000, 3600)]
    """
    return [(start, other.bucket_for(start)) for start in of.starts]
