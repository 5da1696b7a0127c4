"""Publish: write a generation beside the one that is served, seal it, make it current by one write.

Killed at any instant, this leaves what is served as it was; the next run clears what it left.
"""

import logging
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import redis
from redis.client import Pipeline

from api.contract.codec import encode as as_text
from api.contract.keys import SEGMENT_FIELD, Keys
from api.contract.manifest import Manifest
from batch.publish import generation as editions
from batch.publish import seen, shard
from batch.publish.generation import Edition, Rows
from batch.publish.retire import ledger, retire, served, sweep
from batch.publish.store.lease import Lease, LeaseLost, Progress, hold
from batch.publish.store.server import Needs, require
from batch.publish.store.wire import EXEC, MULTI, Wire, bulk, pack
from batch.score.ranked import RankedBlock

POSTS_A_COMMAND = 200

log = logging.getLogger(__name__)


def silent(what: str, done: int, total: int) -> None:
    """Show no progress."""


def publish(
    client: redis.Redis,
    keys: Keys,
    edition: Edition,
    blocks: Iterable[RankedBlock],
    folder: Path,
    *,
    now: Callable[[], int],
    ttl_s: int,
    kept: int,
    progress: Progress = silent,
) -> Manifest:
    """Write, seal and promote one generation; then retire what is beyond `kept`.

    Args:
        client: The store; replies must be bytes.
        keys: Names of the keys.
        edition: Everything but the lists.
        blocks: Ranked lists of all users, in order; taken one at a time while the lease is held.
        folder: Gets a folder by the generation's number with the lists and their scores as Parquet.
        now: The clock, epoch seconds.
        ttl_s: Life of the users' lists: a batch that stays dead leaves popular lists, not stale ones.
        kept: Sealed generations that stay for this variant, the current one included. With 1, a request
            that began before the promotion may miss its list and fall back.
        progress: Told what is being written, how far, of how much.

    Returns:
        The manifest, as it stands in the store.

    Raises:
        StoreUnfit: The server's version or settings would break the lists; nothing was written.
        LeaseTaken: Another run is publishing; nothing was written.
        LeaseLost: This run stalled and lost its turn; what is served did not change.
        ValueError: The blocks do not cover the edition's users.
    """
    longest = max((len(name.encode()) for name in edition.segments), default=0)
    require(client, Needs.of(edition.post_ids.tolist(), edition.depth, edition.horizon.n_buckets, longest))
    with hold(client, keys.lease(), now(), progress) as lease:
        work = _Work(client, keys, lease, edition, folder, progress)
        sweep(client, keys, lease, folder, variant=edition.variant, kept=kept, progress=progress)
        draft = _begin(work, now())
        try:
            manifest = _seal(work, draft, _fill(work, draft, blocks, ttl_s))
        except LeaseLost:
            raise  # the next holder clears; we may no longer write
        except BaseException:
            with suppress(redis.RedisError, LeaseLost):
                retire(client, keys, lease, folder, draft.generation, progress)
            raise
        _promote(work, manifest, now())
        sweep(client, keys, lease, folder, variant=edition.variant, kept=kept, progress=progress)
    return manifest


@dataclass(frozen=True, slots=True)
class _Work:
    """What every step of one publication needs."""

    client: redis.Redis
    keys: Keys
    lease: Lease
    edition: Edition
    folder: Path
    progress: Progress


def _begin(work: _Work, now_s: int) -> Manifest:
    """Take the next number and note, before the first list, all that clearing it would need to know."""
    keys, number = work.keys, int(work.client.incr(work.keys.counter()))
    draft = work.edition.draft(number, now_s)

    def note(pipe: Pipeline) -> None:
        pipe.hset(keys.states(), str(number), "building")
        pipe.set(keys.users(number), as_text(work.edition.user_ids.tolist()))
        pipe.set(keys.manifest(number), draft.to_json())

    work.lease.commit(note)
    home = work.folder / str(number)
    if home.exists():  # of a store that is no more: in this one the number is new
        shutil.rmtree(home)
    home.mkdir(parents=True)
    log.info("generation.begun", extra={"generation": number, "variant": work.edition.variant})
    return draft


def _fill(work: _Work, draft: Manifest, blocks: Iterable[RankedBlock], ttl_s: int) -> Manifest:
    """Write lists, shared keys, then seen posts; return the manifest to seal with."""
    edition, keys, number = work.edition, work.keys, draft.generation
    checksums: dict[str, str] = {}
    n_short = 0
    newest = _newest_sealed(work)
    with Wire(work.client) as wire:
        for block in shard.covering(blocks, edition):
            name = shard.names(block.first, len(block.posts))
            checksums[name] = _write_lists(work, wire, number, block, ttl_s)
            n_short += int(np.count_nonzero((block.posts >= 0).sum(axis=2) < edition.depth))
            shard.write_parquet(work.folder / str(number) / f"{name}.parquet", edition, block)
            work.progress("lists", block.first + len(block.posts), len(edition.user_ids))
        checksums["shared"] = _write_shared(work, wire, number)
        for name, times, key in (("seen", edition.views, keys.seen), ("likes", edition.likes, keys.likes)):
            since_s = seen.held_until(edition, times, name, newest)
            seen.write_seen(wire, work.lease, edition, times, key, since_s, work.progress)
            checksums[name] = seen.mark(edition, times, edition.as_of_s)
    return editions.sealed(draft, checksums, shard.root(checksums), n_short)


def _write_lists(work: _Work, wire: Wire, number: int, block: RankedBlock, ttl_s: int) -> str:
    """Write each user's hash and its life in one transaction; return the shard's checksum."""
    edition = work.edition
    n_users, n_buckets, depth = block.posts.shape
    texts = shard.encode(block.posts.reshape(-1, depth), edition.post_ids)
    users = edition.user_ids[block.first : block.first + n_users].tolist()
    segments = edition.segment_of[block.first : block.first + n_users]
    fields = [bulk(b"%d" % start) for start in edition.horizon.starts]
    life = b"$%d\r\n%d\r\n" % (len(str(ttl_s)), ttl_s)
    for i, (user_id, segment) in enumerate(zip(users, segments, strict=True)):
        work.lease.check()
        key = bulk(work.keys.list(user_id, number).encode())
        pairs = [part for b in range(n_buckets) for part in (fields[b], bulk(texts[i * n_buckets + b]))]
        if segment is not None:
            pairs += [bulk(SEGMENT_FIELD.encode()), bulk(segment.encode())]
        head = b"*%d\r\n$4\r\nHSET\r\n" % (2 + len(pairs))
        expire = b"*3\r\n$6\r\nEXPIRE\r\n" + key + life
        wire.send(b"".join([MULTI, head, key, *pairs, expire, EXEC]), 4)
    return shard.checksum(
        (user_id, segment, [texts.lines(i * n_buckets, (i + 1) * n_buckets)])
        for i, (user_id, segment) in enumerate(zip(users, segments, strict=True))
    )


def _write_shared(work: _Work, wire: Wire, number: int) -> str:
    """Write what is not a user's: popular, segments, catalogue, posts. Return their checksum.

    These have no life of their own: they are what a dead batch leaves to serve.
    """
    edition, keys = work.edition, work.keys
    hashes = {keys.popular(number): edition.popular}
    hashes |= {keys.segment(number, name): edition.segments[name] for name in sorted(edition.segments)}
    digest = blake2b(digest_size=shard.DIGEST_BYTES)
    for key, rows in hashes.items():
        values = [_text(edition, row) for row in rows]
        digest.update(b"".join(value + b"\n" for value in values))
        starts = [b"%d" % start for start in edition.horizon.starts]
        pairs = [part for pair in zip(starts, values, strict=True) for part in pair]
        wire.send(pack(b"HSET", key.encode(), *pairs), 1)
    catalogue = _text(edition, edition.catalogue)
    digest.update(catalogue + b"\n")
    wire.send(pack(b"SET", keys.catalogue(number).encode(), catalogue), 1)
    ids = edition.post_ids.tolist()
    for low in range(0, len(ids), POSTS_A_COMMAND):
        work.lease.check()
        several = zip(
            ids[low : low + POSTS_A_COMMAND], edition.posts[low : low + POSTS_A_COMMAND], strict=True
        )
        pairs = [part for post_id, text in several for part in (b"%d" % post_id, text)]
        digest.update(b"".join(text + b"\n" for text in pairs[1::2]))
        wire.send(pack(b"HSET", keys.posts(number).encode(), *pairs), 1)
    wire.flush()
    return digest.hexdigest()


def _seal(work: _Work, draft: Manifest, manifest: Manifest) -> Manifest:
    """Write the whole manifest and the state in one transaction: from here on the lists never change."""
    keys, number = work.keys, draft.generation
    (work.folder / str(number) / "manifest.json").write_bytes(manifest.to_json())

    def seal(pipe: Pipeline) -> None:
        pipe.set(keys.manifest(number), manifest.to_json())
        pipe.hset(keys.states(), str(number), "sealed")

    work.lease.commit(seal)
    log.info("generation.sealed", extra={"generation": number, "n_lists": manifest.counts["lists"]})
    return manifest


def _promote(work: _Work, manifest: Manifest, now_s: int) -> None:
    """Make a sealed generation current: one HSET, which readers see whole or not at all."""
    before, _ = served(work.client, work.keys, manifest.variant)
    items = ["generation", str(manifest.generation), "promoted_at", str(now_s)]
    if before is not None:
        items += ["previous", str(before)]
    key = work.keys.current(manifest.variant)
    work.lease.commit(lambda pipe: pipe.hset(key, items=items))
    log.info("generation.promoted", extra={"generation": manifest.generation, "previous": before})


def _newest_sealed(work: _Work) -> Manifest | None:
    """Return the manifest of the newest sealed generation in the store, of whichever variant."""
    known = ledger(work.client, work.keys).manifests
    return known[max(known)] if known else None


def _text(edition: Edition, rows: Rows) -> bytes:
    return as_text(edition.post_ids[rows[np.greater_equal(rows, 0)]].tolist())
