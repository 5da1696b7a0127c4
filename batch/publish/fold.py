"""What users saw and liked long ago, moved from their sets into packed values: a third of the bytes.

Only what lies before every kept generation's as_of is moved: no own list can hold such a post, so that the
hot path reads no packed value. A pair may stand in both places, or with another time: the earlier one counts.
So nothing is lost if this is killed at any point, and what changes meanwhile stays until the next time.
"""

import logging
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import cast

from api.contract.buckets import DAY_S
from api.contract.keys import Id
from api.contract.manifest import FOLDED
from api.contract.seen import TIMES, pack_seen, unpack_seen
from batch.progress import Show
from batch.publish.store import GenerationStore
from batch.store.cluster import as_cluster
from batch.store.lease import Lease

CHUNK = 250  # users a round trip
LEAST_S = DAY_S // 2  # refreshes follow each other sooner, and each would look at all users

_FOLD = (files("batch.publish") / "fold.lua").read_text("utf-8")

log = logging.getLogger(__name__)


def fold_seen(store: GenerationStore, lease: Lease, users: Sequence[str], progress: Show) -> int:
    """Pack what users saw and liked up to the time of the oldest generation kept; return how many sets.

    Nothing is packed while a generation is kept whose readers would not look there, in a cluster, or where
    the time has hardly moved since the last time.

    Raises:
        LeaseLost: This run stalled and lost its turn.
    """
    until_s, keys = _find_end(store), store.keys
    if until_s is None or until_s - (read_folded(store) or 0) < LEAST_S:
        return 0
    lease.commit(lambda pipe: pipe.set(keys.folded(), until_s))
    sha, n = store.client.script_load(_FOLD), 0
    for low in range(0, len(users), CHUNK):
        lease.check()
        some = users[low : low + CHUNK]
        n += _fold(store, sha, until_s, some, keys.seen, keys.seen_old)
        n += _fold(store, sha, until_s, some, keys.likes, keys.likes_old)
        progress("seen packed", low + len(some), len(users))
    log.info("seen.packed", extra={"until_s": until_s, "n_sets": n})
    return n


def read_folded(store: GenerationStore) -> int | None:
    """Return up to which second what was seen may be packed, epoch seconds; None: nothing is."""
    found = cast("bytes | None", store.client.get(store.keys.folded()))
    return None if found is None else int(found)


def _find_end(store: GenerationStore) -> int | None:
    """Return the as_of of the oldest generation that may be served; None where nothing may be packed.

    One that is made for the past, or sees all, is asked for all that was seen anyway.
    """
    kept = [n for n, state in store.states().items() if state in ("sealed", "quarantined", "building")]
    manifests = [made for made in map(store.manifest, kept) if made is not None]
    if as_cluster(store.client) is not None or any(FOLDED not in made.needs for made in manifests):
        return None
    past = {n for variant in {made.variant for made in manifests} for n in store.read_backfilled(variant)}
    ends = [made.as_of_s for made in manifests if not made.sees_all and made.generation not in past]
    return min(ends, default=None)


def _fold(
    store: GenerationStore,
    sha: str,
    until_s: int,
    users: Sequence[str],
    sets: Callable[[Id], str],
    olds: Callable[[Id], str],
) -> int:
    """Move pairs of some users; return of how many."""
    end = min(until_s, TIMES.stop - 1)
    with store.client.pipeline(transaction=False) as pipe:
        for user in users:
            pipe.evalsha(sha, 2, sets(user), olds(user), end)
        found = pipe.execute()
        for user, (text, old) in zip(users, found, strict=True):
            if text and (value := _merge(text, old)) is not None:
                pipe.evalsha(sha, 2, sets(user), olds(user), end, text, value)
        return sum(pipe.execute())


def _merge(text: bytes, old: bytes) -> bytes | None:
    """Return the packed value with pairs as the script reads them; None where these are not ours."""
    try:
        words = list(map(int, text.decode().split()))
        pairs = dict(zip(words[::2], words[1::2], strict=True))
        for number, first_s in unpack_seen(old):
            if first_s <= pairs.get(number, first_s):
                pairs[number] = first_s
        return pack_seen(pairs.items())
    except ValueError:
        return None
