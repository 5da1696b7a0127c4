"""Digests of the facts of each user and each post: those whose digest differs have changed.

Pure but for `save` and `load`. A user's inputs are their events and their profile, as the facts have them, in
whatever order, late ones and corrected ones included; a post's are its text, its topics and its embedding,
which describe it, and apart from these what requests may filter it by and its window.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from batch.arrays import Bools, Ints, Words
from batch.data.columns import MORE_TOPICS, POST_ID, TEXT, TOPIC, USER_ID
from batch.data.facts import Facts
from batch.data.rows import find_rows
from batch.data.windows import FROM_S, TO_S, Windows
from batch.publish.generation import post_json
from batch.publish.seen import mix

USERS, POSTS = "users.parquet", "posts.parquet"
POSTS_AT_ONCE = 4_096  # whose texts are laid out at a time


class FrozenMissing(LookupError):
    """A generation's folder holds nothing frozen, or not all of it."""


@dataclass(frozen=True, slots=True)
class InputDigests:
    """Sums and digests of the facts.

    Attributes:
        user_ids: int64 (users,), ascending.
        users: uint64 (users, 3). Two sums of numbers drawn by each event (post, time, action, target), one
            number of the profile.
        post_ids: int64 (posts,), ascending.
        posts: uint64 (posts, 2). A digest of topic, text, embedding, one of columns to filter by, window.
    """

    user_ids: Ints
    users: Words
    post_ids: Ints
    posts: Words

    @property
    def fingerprint(self) -> str:
        """Return 32 hex digits of all facts, the same in whatever order they came."""
        found = blake2b(digest_size=16)
        for values in (self.user_ids, self.users, self.post_ids, self.posts):
            found.update(np.ascontiguousarray(values).tobytes())
        return found.hexdigest()

    def save(self, folder: Path) -> None:
        """Write two Parquet files."""
        _write(folder / USERS, {"user_id": self.user_ids, **_columns("users", self.users)})
        _write(folder / POSTS, {"post_id": self.post_ids, **_columns("posts", self.posts)})

    @classmethod
    def load(cls, folder: Path) -> "InputDigests":
        """Read what `save` wrote.

        Raises:
            FrozenMissing: Another version wrote it.
        """
        users, posts = pq.read_table(folder / USERS), pq.read_table(folder / POSTS)
        try:
            of_users, of_posts = _matrix(users, "users", 3), _matrix(posts, "posts", 2)
        except KeyError as exc:
            raise FrozenMissing(
                f"another version of Almanac froze what {folder.parent} keeps: {exc}"
            ) from exc
        return cls(users["user_id"].to_numpy(), of_users, posts["post_id"].to_numpy(), of_posts)


def digest_inputs(facts: Facts) -> InputDigests:
    """Digest the facts of each user and each post, on all cores."""
    n = os.cpu_count() or 1
    own = np.zeros((n, len(facts.users), 2), np.uint64)  # a thread's sums; their order is nothing to them

    def add(part: Facts, k: int) -> None:
        rows = slice(len(part.time) * k // n, len(part.time) * (k + 1) // n)
        user, post, time = part.user[rows], part.post[rows], part.time[rows]
        _add(user, post, time, part.action[rows], part.target[rows], facts.post_ids, own[k])

    with ThreadPoolExecutor(n) as pool:
        for part in facts.parts():
            list(pool.map(add, [part] * n, range(n)))
    sums = np.column_stack([own.sum(axis=0, dtype=np.uint64), _digest_profiles(facts.users)])
    return InputDigests(facts.user_ids, sums, facts.post_ids, digest_posts(facts))


@dataclass(frozen=True, slots=True)
class Changes:
    """The users and posts that are not as they were, as rows of the facts now.

    Attributes:
        users: bool (users,). Their inputs differ, or they are new.
        new_users: bool (users,). Those of them who are new.
        n_users_gone: Users who were there and are not any more.
        posts: bool (posts,). What is told of them differs, or they are new.
        described: bool (posts,). Those of them whose text, topic or embedding differs, or that are new.
        new_posts: bool (posts,). Those of them that are new.
        posts_gone: int64. Ids of posts that were there and are not any more.
    """

    users: Bools
    new_users: Bools
    n_users_gone: int
    posts: Bools
    described: Bools
    new_posts: Bools
    posts_gone: Ints

    @property
    def any(self) -> bool:
        """Say whether anything is not as it was."""
        return bool(self.users.any() or self.posts.any() or self.n_users_gone or len(self.posts_gone))


def compare(before: InputDigests, now: InputDigests) -> Changes:
    """Return the users and posts that have changed."""
    user, post = find_rows(before.user_ids, now.user_ids), find_rows(before.post_ids, now.post_ids)
    new_users, new_posts = user < 0, post < 0
    other = new_posts[:, None] | (before.posts[post] != now.posts)
    return Changes(
        users=new_users | (before.users[user] != now.users).any(axis=1),
        new_users=new_users,
        n_users_gone=len(before.user_ids) - int((~new_users).sum()),
        posts=other.any(axis=1),
        described=other[:, 0],
        new_posts=new_posts,
        posts_gone=np.setdiff1d(before.post_ids, now.post_ids),
    )


def _digest_profiles(users: pd.DataFrame) -> Words:
    """Return uint64 (users,); a number counts by its value, whatever it is stored as."""
    found = np.zeros(len(users), np.uint64)
    for name in users.columns:
        if name != USER_ID:
            column = users[name]
            number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
            values = column.astype(np.float64) if number else column.astype("string").fillna("\0")
            hashed = pd.util.hash_array(np.asarray(values) + 0.0 if number else np.asarray(values, object))
            found = found * np.uint64(31) + hashed + np.uint64(len(name))
    return found


def digest_posts(facts: Facts) -> Words:
    """Return uint64 (posts, 2), digests of what describes each post and of what else is told of it."""
    found = np.empty((len(facts.posts), 2), np.uint64)
    more = facts.posts[MORE_TOPICS].fillna("") if MORE_TOPICS in facts.posts else [""] * len(facts.posts)
    known = (POST_ID, TOPIC, TEXT, MORE_TOPICS, FROM_S, TO_S)
    windows = Windows.of(facts.posts)
    told = (
        {} if windows is None else {row: windows.sides(row) for row in np.flatnonzero(windows.given).tolist()}
    )
    further = {name: facts.posts[name].tolist() for name in facts.posts.columns if name not in known}
    for row, (text, topics) in enumerate(zip(_shown(facts), more, strict=True)):
        described, else_told = blake2b(text + topics.encode(), digest_size=8), blake2b(digest_size=8)
        if facts.embeddings is not None:
            described.update(facts.embeddings[row].tobytes())
        for name, cells in further.items():
            else_told.update(f"\0{name}={cells[row]!r}".encode())
        if row in told:
            else_told.update(f"\0{told[row]}".encode())
        found[row] = [int.from_bytes(one.digest(), "little") for one in (described, else_told)]
    return found


def _shown(facts: Facts) -> Iterator[bytes]:
    """Yield every post as the API answers it; some at a time are made, so no second copy of all texts is."""
    for low in range(0, len(facts.posts), POSTS_AT_ONCE):
        yield from post_json(facts.posts.iloc[low : low + POSTS_AT_ONCE], facts.post_names)


def _columns(name: str, values: Words) -> dict[str, Any]:
    return {f"{name}_{k}": np.ascontiguousarray(values[:, k]) for k in range(values.shape[1])}


def _matrix(table: pa.Table, name: str, width: int) -> Words:
    return np.column_stack([table[f"{name}_{k}"].to_numpy() for k in range(width)])


def _write(path: Path, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), path, compression="zstd", use_dictionary=False)


@numba.njit(cache=True, nogil=True)
def _add(user: Any, post: Any, time: Any, action: Any, target: Any, post_ids: Any, sums: Any) -> None:
    """Add two numbers drawn by each event to its user's sums."""
    for i in range(len(user)):
        what = np.uint64(post_ids[post[i]]) * np.uint64(4) + np.uint64(2 * action[i] + target[i])
        drawn = mix(what * np.uint64(0xD6E8FEB86659FD93) + np.uint64(time[i]))
        sums[user[i], 0] += drawn
        sums[user[i], 1] += (drawn ^ (drawn >> np.uint64(29))) * drawn
