"""Users' lists as hashes in the store: each restored whole, or set field by field where that is refused."""

from collections.abc import Iterable, Sequence

from api.contract.keys import SEGMENT_FIELD
from batch.publish.shard import Texts
from batch.publish.writer import Build
from batch.store import restore
from batch.store.rdb import entry
from batch.store.restore import Parts
from batch.store.wire import EXEC, MULTI, PipelinedWriter, bulk

TOGETHER = 64  # users whose commands are made at a time, while the server carries out those before

Owners = Sequence[tuple[str, str | None]]  # canonical ids of users and their segments


def restore_lists(build: Build, wire: PipelinedWriter, owners: Owners, texts: Texts) -> list[int]:
    """Write users' lists with their life, a command each; return the places of users whose hash is there.

    A key has the generation's number in it, so that none is there unless numbers are given out again.
    """
    n_buckets, ttl_ms = build.content.horizon.n_buckets, build.config.ttl_s * 1000
    fields = Parts.of(entry(b"%d" % start) for start in build.content.horizon.starts)
    tails = {
        segment: entry(SEGMENT_FIELD.encode()) + entry(segment.encode()) if segment is not None else b""
        for segment in {segment for _, segment in owners}
    }
    there: list[int] = []
    for low in range(0, len(owners), TOGETHER):
        build.lease.check()
        some = owners[low : low + TOGETHER]
        heads = (restore.head(build.store.keys.list(user_id, build.number), ttl_ms) for user_id, _ in some)
        ends = texts.end[low * n_buckets : (low + len(some)) * n_buckets + 1]
        packed = restore.hashes(
            Parts.of(heads), fields, Parts(texts.text, ends), Parts.of(tails[segment] for _, segment in some)
        )
        wire.send(packed.data, len(some), lambda place, low=low: there.append(low + place))  # type: ignore[misc]
    wire.flush()
    return there


def set_lists(
    build: Build, wire: PipelinedWriter, owners: Owners, texts: Texts, places: Iterable[int]
) -> None:
    """Write the lists of the users at some places, a transaction of hash and life each."""
    n_buckets = build.content.horizon.n_buckets
    fields = [bulk(b"%d" % start) for start in build.content.horizon.starts]
    life = bulk(b"%d" % build.config.ttl_s)
    for i in places:
        build.lease.check()
        user_id, segment = owners[i]
        key = bulk(build.store.keys.list(user_id, build.number).encode())
        pairs = [part for b in range(n_buckets) for part in (fields[b], bulk(texts[i * n_buckets + b]))]
        if segment is not None:
            pairs += [bulk(SEGMENT_FIELD.encode()), bulk(segment.encode())]
        head = b"*%d\r\n$4\r\nHSET\r\n" % (2 + len(pairs))
        expire = b"*3\r\n$6\r\nEXPIRE\r\n" + key + life
        wire.send(b"".join([MULTI, head, key, *pairs, expire, EXEC]), 4)
