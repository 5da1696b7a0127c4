"""A generation as it is kept, whichever place keeps it, and what it holds for a user at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import redis

from api.contract.codec import decode
from api.contract.keys import SEGMENT_FIELD, Keys
from api.feed import Generation, Lookup, Pointer, RankedLists
from batch.arrays import Ints
from batch.publish.backfilled import Backfilled, open_content, open_list
from batch.publish.generation import Rows
from batch.publish.ledger.ledger import Ledger
from batch.store import read

OwnList = tuple[Sequence[int], str | None]  # a user's list of a bucket, best first, and their segment


class GenerationLost(LookupError):
    """The generation of a time is no longer kept anywhere."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A generation; `read_own` answers for a user id and a bucket's start."""

    shared: Generation
    read_own: Callable[[int, int], OwnList]

    def look_up(self, user_id: int, at_s: int, hidden: frozenset[int], taken_down: frozenset[int]) -> Lookup:
        """Return what it holds for a user at a time: all that `api.feed.answer` needs."""
        manifest = self.shared.manifest
        bucket_s = manifest.horizon.bucket_for(at_s)
        ranked, segment = self.read_own(user_id, bucket_s)
        posts = {post_id: text for post_id, text in self.shared.posts.items() if post_id not in taken_down}
        return Lookup(
            user_id=str(user_id),
            at_s=at_s,
            bucket_s=bucket_s,
            pointer=Pointer(manifest.generation, manifest.created_at_s),
            generation=replace(self.shared, posts=posts),
            own=ranked,
            segment=segment,
            hidden=hidden,
            sees_all=True,
        )


def from_store(client: redis.Redis, keys: Keys, number: int) -> Kept:
    """Read a sealed generation from the store.

    Raises:
        GenerationLost: It is not in the store.
    """
    ledger = Ledger(client, keys)
    manifest = ledger.manifest(number)
    if manifest is None or ledger.state(number) != "sealed":
        raise GenerationLost(
            f"generation {number} answered at that time and is no longer kept: "
            "raise ALMANAC_GENERATIONS_KEPT to replay further back"
        )
    posts = {int(read.narrow(post_id)) for post_id in client.hkeys(keys.posts(number))}
    shared = Generation(
        manifest=manifest,
        posts=dict.fromkeys(posts, b""),
        catalogue=decode(read.value(client, keys.catalogue(number))),
        popular=_lists(read.fields(client, keys.popular(number))),
        segments={
            name: _lists(read.fields(client, keys.segment(number, name))) for name in manifest.segments
        },
    )

    def read_own(user_id: int, bucket_s: int) -> OwnList:
        ranked, segment = client.hmget(keys.list(user_id, number), str(bucket_s), SEGMENT_FIELD)
        name = read.narrow(segment).decode() if segment else None
        return decode(read.narrow(ranked or b"")), name

    return Kept(shared, read_own)


def from_disk(made: Backfilled) -> Kept:
    """Read a generation made for the past from its folder; the store need not have it."""
    content, ranked = open_content(made), open_list(made)
    ids, starts = content.post_ids, content.horizon.starts
    segment_of = dict(zip(content.user_ids.tolist(), content.segment_of, strict=True))
    shared = Generation(
        manifest=made.manifest,
        posts=dict.fromkeys(ids.tolist(), b""),
        catalogue=ids[content.catalogue].tolist(),
        popular=_ids(content.popular, ids, starts),
        segments={name: _ids(rows, ids, starts) for name, rows in content.segments.items()},
    )

    def read_own(user_id: int, bucket_s: int) -> OwnList:
        return ranked(user_id, bucket_s), segment_of.get(user_id)

    return Kept(shared, read_own)


def _ids(rows: Rows, post_ids: Ints, starts: Sequence[int]) -> RankedLists:
    return {
        start: post_ids[row[row >= 0]].tolist() for start, row in zip(starts, np.asarray(rows), strict=True)
    }


def _lists(fields: Mapping[bytes, bytes]) -> RankedLists:
    return {int(start): decode(ids) for start, ids in fields.items()}
