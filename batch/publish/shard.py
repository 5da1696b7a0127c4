"""A block of users' ranked lists as text, as a checksum, and as a Parquet file that also holds the scores."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from batch.arrays import Bytes, Floats, Ints, Ints32
from batch.publish.folder import GenerationFolder
from batch.publish.generation import GenerationContent, Rows
from batch.score.ranked import RankedBlock
from batch.store.wire import put_number

SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("bucket", pa.int64()),
        ("posts", pa.list_(pa.int64())),
        ("scores", pa.list_(pa.float64())),
    ]
)

DIGEST_BYTES = 16
ROW_GROUP = (
    4_096  # lists; of one user's no more are read: 7 ms of CPU, where 98,304 took 120, for 2 % of the file
)
CELL = 24  # bytes of a number's text and a blank, a few more
USERS = 4096  # of a shard: fixed, so that checksums do not depend on how scoring divides its work


@dataclass(frozen=True, slots=True)
class Texts:
    """Ranked lists as text, one after the other, each followed by a newline.

    Attributes:
        text: uint8 (bytes,).
        end: int64 (lists + 1,). List `i` is `text[end[i]:end[i + 1] - 1]`.
    """

    text: Bytes
    end: Ints

    def __getitem__(self, i: int) -> memoryview:
        """Return list `i` as it stands in Redis."""
        return self.text[self.end[i] : self.end[i + 1] - 1].data

    def lines(self, low: int, high: int) -> memoryview:
        """Return lists `low` to `high`, exclusive, each with its newline."""
        return self.text[self.end[low] : self.end[high]].data


def encode(rows: Ints32, post_ids: Ints) -> Texts:
    """Write ranked lists as `api.contract.codec.encode` does, all at once.

    Args:
        rows: int32 (lists, depth). Row numbers in `post_ids`, best first; -1 ends a list.
        post_ids: int64 (posts,).

    >>> texts = encode(np.array([[1, 0], [0, -1], [-1, -1]], np.int32), np.array([45, 2331]))
    >>> [bytes(texts[i]) for i in range(3)]
    [b'2331 45', b'45', b'']
    """
    text, end = _encode(np.ascontiguousarray(rows), post_ids)
    return Texts(text, end)


def shard_name(first: int, n_users: int) -> str:
    """Return a shard's name: the row numbers of its first and last user, in the order of the key `users`.

    >>> shard_name(0, 4096)
    'lists-0000000-0004095'
    """
    return f"lists-{first:07d}-{first + n_users - 1:07d}"


def digest(user_id: str, segment: str | None, lines: Iterable[bytes | memoryview]) -> bytes:
    r"""Digest a user's lists: a line `<user> <segment>`, then a line a bucket.

    BLAKE2b of 16 bytes over these lines, buckets ascending, each line ended by `\n`, a user's canonical id, a
    list as it stands in Redis, a missing segment as nothing. All of it can be read back from Redis and
    digested again.

    >>> digest("200", "m-1", [b"17 2331\n45\n"]) == digest("200", "m-1", [b"17 2331\n", b"45\n"])
    True
    """
    found = blake2b(f"{user_id} {segment or ''}\n".encode(), digest_size=DIGEST_BYTES)
    for line in lines:
        found.update(line)
    return found.digest()


def checksum(digests: bytes) -> str:
    """Return a shard's checksum, as hexadecimal text: BLAKE2b of 16 bytes over its users' digests.

    A shard of which a few users changed is summed up again without reading the others' lists.
    """
    return blake2b(digests, digest_size=DIGEST_BYTES).hexdigest()


def checksums(digests: Bytes) -> dict[str, str]:
    """Return shards' names and checksums, of all users' digests, uint8 (users, 16)."""
    parts = (digests[low : low + USERS] for low in range(0, len(digests), USERS))
    return {shard_name(k * USERS, len(part)): checksum(part.tobytes()) for k, part in enumerate(parts)}


def as_rows(digests: Iterable[bytes]) -> Bytes:
    """Return users' digests as uint8 (users, 16)."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)


def count_short(posts: Rows, depth: int) -> Ints:
    """Return int64 (users,): how many of each user's lists have fewer posts than the depth."""
    return np.asarray(((posts >= 0).sum(axis=2) < depth).sum(axis=1), np.int64)


def root(checksums: Mapping[str, str]) -> str:
    r"""Digest the checksums: BLAKE2b of 16 bytes over lines `<name> <digest>\n`, ascending by name."""
    text = "".join(f"{name} {checksums[name]}\n" for name in sorted(checksums))
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def rows_of(block: RankedBlock) -> Ints:
    """Return int64 (users,): the rows of a block's users."""
    return np.arange(block.first, block.first + len(block.posts))


def check_cover(blocks: Iterable[RankedBlock], content: GenerationContent) -> Iterator[RankedBlock]:
    """Yield the blocks, and make sure that they cover all users once, in order, with lists that fit.

    Raises:
        ValueError: They do not.
    """
    at = 0
    for block in blocks:
        n_users, n_buckets, depth = block.posts.shape
        if block.first != at or n_buckets != content.horizon.n_buckets or depth > content.depth:
            raise ValueError(
                f"a block of lists {block.posts.shape} from user row {block.first} does not fit: "
                f"expected row {at}, {content.horizon.n_buckets} buckets, depth up to {content.depth}"
            )
        at += n_users
        yield block
    if at != len(content.user_ids):
        raise ValueError(f"the lists cover {at} of {len(content.user_ids)} users")


def cut_at_shards(blocks: Iterable[RankedBlock]) -> Iterator[RankedBlock]:
    """Cut blocks where shards end; nothing is copied."""
    for block in blocks:
        low, n_users = 0, len(block.posts)
        while low < n_users:
            high = min(n_users, low + USERS - (block.first + low) % USERS)
            yield RankedBlock(block.first + low, block.posts[low:high], block.scores[low:high])
            low = high


def open_parquet(path: Path) -> pq.ParquetWriter:
    """Open a file of lists for writing."""
    return pq.ParquetWriter(
        path,
        SCHEMA,
        compression="zstd",
        compression_level=1,
        use_dictionary=["user_id", "bucket", "posts.list.element"],
        write_statistics=["user_id", "bucket"],
    )


class Files:
    """The Parquet files of a generation's lists, one a shard, written piece by piece; see `cut_at_shards`."""

    def __init__(self, folder: GenerationFolder, content: GenerationContent, first: int = 0) -> None:
        """Write into `folder`, under the names of users who are rows of a generation from `first` on."""
        self._folder, self._content, self._first = folder, content, first
        self._open: pq.ParquetWriter | None = None

    def __enter__(self) -> "Files":
        """Give the files themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the file that is open."""
        if self._open is not None:
            self._open.close()

    def add(self, piece: RankedBlock) -> None:
        """Write one piece into its shard's file."""
        if piece.first % USERS == 0:
            self.__exit__()
            n_users = min(USERS, len(self._content.user_ids) - piece.first)
            name = shard_name(self._first + piece.first, n_users)
            self._open = open_parquet(self._folder.shard(name))
        assert self._open is not None, "the first piece begins a shard"
        lists = table(self._content, rows_of(piece), piece.posts, piece.scores)
        self._open.write_table(lists, row_group_size=ROW_GROUP)


def table(content: GenerationContent, users: Ints, posts: Rows, scores: Floats) -> pa.Table:
    """Return one row a list: user_id, bucket, posts list<int64> best first, scores list<float64>.

    Args:
        content: Gives ids and buckets.
        users: int64 (users,). Rows of users.
        posts: int32 (users, buckets, depth). Their lists as rows of posts, -1 fills.
        scores: float64 of that shape.
    """
    n_users, n_buckets, depth = posts.shape
    rows, scores = posts.reshape(-1, depth), scores.reshape(-1, depth)
    there = rows >= 0
    ends = np.concatenate([[0], np.count_nonzero(there, axis=1).cumsum()])
    offsets = pa.array(ends, pa.int32())
    # Most often all lists are full: then nothing is picked, which takes a fifth of the time.
    rows, scores = (rows.ravel(), scores.ravel()) if ends[-1] == rows.size else (rows[there], scores[there])
    return pa.table(
        {
            "user_id": np.repeat(content.user_ids[users], n_buckets),
            "bucket": np.tile(np.array(content.horizon.starts, np.int64), n_users),
            "posts": pa.ListArray.from_arrays(offsets, content.post_ids[rows]),
            "scores": pa.ListArray.from_arrays(offsets, scores),
        },
        schema=SCHEMA,
    )


def pad(lists: pa.ChunkedArray, depth: int, fill: float) -> npt.NDArray[Any]:
    """Return lists, none longer than `depth`, as rows of (lists, depth), filled up at their ends.

    >>> pad(pa.chunked_array([[[7, 8], [], [9]]]), 2, -1).tolist()
    [[7, 8], [-1, -1], [9, -1]]
    """
    whole = lists.combine_chunks()
    values = whole.flatten().to_numpy()
    out = np.full((len(whole), depth), fill, values.dtype)
    out[np.arange(depth) < np.diff(whole.offsets.to_numpy())[:, None]] = values
    return out


@numba.njit(cache=True)
def _encode(rows: Any, post_ids: Any) -> Any:
    """Write the text of every list and where each ends. Each number is turned into text once, in a cell."""
    cell, width = np.zeros((len(post_ids), CELL), np.uint8), np.empty(len(post_ids), np.int64)
    for row in range(len(post_ids)):
        width[row] = put_number(cell[row], 0, post_ids[row]) + 1
        cell[row, width[row] - 1] = 32
    end = np.zeros(len(rows) + 1, np.int64)
    for i in range(len(rows)):
        size = 0
        for row in rows[i]:
            if row < 0:
                break
            size += width[row]
        end[i + 1] = end[i] + max(size, 1)
    text = np.empty(end[-1] + CELL, np.uint8)
    for i in range(len(rows)):
        at = end[i]
        for row in rows[i]:
            if row < 0:
                break
            for k in range(8):  # in one go, a sixth of the time of one by one; the next number comes over
                text[at + k] = cell[row, k]
            if width[row] > 8:
                for k in range(8, CELL):
                    text[at + k] = cell[row, k]
            at += width[row]
        text[end[i + 1] - 1] = 10
    return text[: end[-1]], end
