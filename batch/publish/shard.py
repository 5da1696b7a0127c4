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

from batch.publish.generation import Edition
from batch.publish.store.wire import n_digits, put_number
from batch.score.ranked import RankedBlock

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Texts:
    """Ranked lists as text, one after the other, each followed by a newline.

    Attributes:
        text: uint8 (bytes,).
        end: int64 (lists + 1,). List `i` is `text[end[i]:end[i + 1] - 1]`.
    """

    text: memoryview
    end: list[int]

    def __getitem__(self, i: int) -> memoryview:
        """Return list `i` as it stands in Redis."""
        return self.text[self.end[i] : self.end[i + 1] - 1]

    def lines(self, low: int, high: int) -> memoryview:
        """Return lists `low` to `high`, exclusive, each with its newline."""
        return self.text[self.end[low] : self.end[high]]


def encode(rows: npt.NDArray[np.int32], post_ids: npt.NDArray[np.int64]) -> Texts:
    """Write ranked lists as `api.contract.codec.encode` does, all at once.

    Args:
        rows: int32 (lists, depth). Row numbers in `post_ids`, best first; -1 ends a list.
        post_ids: int64 (posts,).

    >>> texts = encode(np.array([[1, 0], [0, -1], [-1, -1]], np.int32), np.array([45, 2331]))
    >>> [bytes(texts[i]) for i in range(3)]
    [b'2331 45', b'45', b'']
    """
    text, end = _encode(np.ascontiguousarray(rows), post_ids)
    return Texts(memoryview(text), end.tolist())


def names(first: int, n_users: int) -> str:
    """Return a shard's name: the row numbers of its first and last user, in the order of the key `users`.

    >>> names(0, 4096)
    'lists-0000000-0004095'
    """
    return f"lists-{first:07d}-{first + n_users - 1:07d}"


def checksum(users: Iterable[tuple[int, str | None, Iterable[bytes | memoryview]]]) -> str:
    r"""Digest lists as hexadecimal text: for each user a line `<user> <segment>`, then a line a bucket.

    BLAKE2b of 16 bytes over these lines, users and buckets ascending, each line ended by `\n`, a list as it
    stands in Redis, a missing segment as nothing. All of it can be read back from Redis and digested again.

    >>> checksum([(200, "m-1", [b"17 2331\n45\n"])]) == checksum([(200, "m-1", [b"17 2331\n", b"45\n"])])
    True
    """
    digest = blake2b(digest_size=DIGEST_BYTES)
    for user_id, segment, lines in users:
        digest.update(f"{user_id} {segment or ''}\n".encode())
        for line in lines:
            digest.update(line)
    return digest.hexdigest()


def root(checksums: Mapping[str, str]) -> str:
    r"""Digest the checksums: BLAKE2b of 16 bytes over lines `<name> <digest>\n`, ascending by name."""
    text = "".join(f"{name} {checksums[name]}\n" for name in sorted(checksums))
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def covering(blocks: Iterable[RankedBlock], edition: Edition) -> Iterator[RankedBlock]:
    """Yield the blocks, and make sure that they cover all users once, in order, with lists that fit.

    Raises:
        ValueError: They do not.
    """
    at = 0
    for block in blocks:
        n_users, n_buckets, depth = block.posts.shape
        if block.first != at or n_buckets != edition.horizon.n_buckets or depth > edition.depth:
            raise ValueError(
                f"a block of lists {block.posts.shape} from user row {block.first} does not fit: "
                f"expected row {at}, {edition.horizon.n_buckets} buckets, depth up to {edition.depth}"
            )
        at += n_users
        yield block
    if at != len(edition.user_ids):
        raise ValueError(f"the lists cover {at} of {len(edition.user_ids)} users")


def write_parquet(path: Path, edition: Edition, block: RankedBlock) -> None:
    """Write one row a list: user_id, bucket, posts list<int64> best first, scores list<float64>."""
    n_users, n_buckets, depth = block.posts.shape
    rows, scores = block.posts.reshape(-1, depth), block.scores.reshape(-1, depth)
    there = rows >= 0
    ends = np.concatenate([[0], there.sum(axis=1).cumsum()])
    offsets = pa.array(ends, pa.int32())
    users = edition.user_ids[block.first : block.first + n_users]
    table = pa.table(
        {
            "user_id": np.repeat(users, n_buckets),
            "bucket": np.tile(np.array(edition.horizon.starts, np.int64), n_users),
            "posts": pa.ListArray.from_arrays(offsets, edition.post_ids[rows[there]]),
            "scores": pa.ListArray.from_arrays(offsets, scores[there]),
        }
    )
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=["user_id", "bucket", "posts.list.element"],
        write_statistics=["user_id", "bucket"],
    )


@numba.njit(cache=True)
def _encode(rows: Any, post_ids: Any) -> Any:
    """Write the text of every list and where each ends."""
    end = np.zeros(len(rows) + 1, np.int64)
    for i in range(len(rows)):
        size = 0
        for row in rows[i]:
            if row < 0:
                break
            size += n_digits(post_ids[row]) + 1
        end[i + 1] = end[i] + max(size, 1)
    text = np.empty(end[-1], np.uint8)
    for i in range(len(rows)):
        at = end[i]
        for row in rows[i]:
            if row < 0:
                break
            at = put_number(text, at, post_ids[row])
            text[at] = 32
            at += 1
        text[end[i + 1] - 1] = 10
    return text, end
