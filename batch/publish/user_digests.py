"""Digests of each user's lists in a generation, from which its checksums and counts add up.

So a generation that carries most users over is summed up from their rows, and no list is read again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from batch.arrays import Ints
from batch.publish import shard
from batch.publish.seen import Marks


@dataclass(frozen=True, slots=True)
class UserDigests:
    """What a generation knows of each user's lists.

    Attributes:
        user_ids: int64 (users,), ascending.
        lists: uint8 (users, 16). Digest of each user's lists, see `shard.digest`.
        n_short: int64 (users,). Their lists with fewer posts than the depth.
        seen: Marks of what users have seen; of what they have liked: `likes`.
        likes: See `seen`.
    """

    user_ids: Ints
    lists: npt.NDArray[np.uint8]
    n_short: Ints
    seen: Marks
    likes: Marks

    @classmethod
    def join(cls, parts: "Sequence[UserDigests]") -> "UserDigests":
        """Return the digests of the users of all parts, one after the other; there is one at least."""
        return cls(
            np.concatenate([part.user_ids for part in parts]),
            np.concatenate([part.lists for part in parts]),
            np.concatenate([part.n_short for part in parts]),
            Marks.join([part.seen for part in parts]),
            Marks.join([part.likes for part in parts]),
        )

    def checksums(self) -> dict[str, str]:
        """Return what follows from it in the manifest: checksums of shards, `seen` and `likes`."""
        marks = {"seen": self.seen.digest, "likes": self.likes.digest}
        return marks | shard.checksums(self.lists)

    def counts(self) -> dict[str, int]:
        """Return the counts that follow from it in the manifest: short lists, posts seen and liked."""
        return {
            "short_lists": int(self.n_short.sum()),
            "seen": int(self.seen.n.sum()),
            "likes": int(self.likes.n.sum()),
        }

    def save(self, path: Path) -> None:
        """Write a Parquet file, a row a user."""
        digests = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(shard.DIGEST_BYTES), len(self.lists), [None, pa.py_buffer(self.lists.tobytes())]
        )
        columns = {"user_id": self.user_ids, "lists": digests, "n_short": self.n_short}
        for name, marks in (("seen", self.seen), ("likes", self.likes)):
            columns |= {f"n_{name}": marks.n, f"{name}_0": marks.sums[:, 0], f"{name}_1": marks.sums[:, 1]}
        pq.write_table(pa.table(columns), path, compression="zstd", use_dictionary=False)

    @classmethod
    def load(cls, path: Path) -> "UserDigests":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: It is not there.
        """
        table = pq.read_table(path)
        values = {name: table[name].to_numpy() for name in table.column_names if name != "lists"}
        seen, likes = (
            Marks(values[f"n_{name}"], np.column_stack([values[f"{name}_0"], values[f"{name}_1"]]))
            for name in ("seen", "likes")
        )
        text = b"".join(table["lists"].to_pylist())
        lists = np.frombuffer(text, np.uint8).reshape(-1, shard.DIGEST_BYTES)
        return cls(values["user_id"], lists, values["n_short"], seen, likes)
