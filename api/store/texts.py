"""A generation's posts in a file that all processes of an address map: their texts are in memory once.

Found by the post's number in a table, so that a process keeps nothing of its own; posts whose numbers lie too
far apart for one are kept by each process as ever.
"""

import asyncio
import fcntl
import mmap
import os
from array import array
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path

from api.contract.manifest import Manifest

SPREAD = 8  # numbers a post that the table may have
FILES_KEPT = 4  # of generations; who still holds an older one keeps its memory
_WORD = 8  # bytes of an entry of the table


class MappedPosts(Mapping[int, bytes]):
    """Posts' texts by number, read only.

    The file: the texts, one after another; a table of int64, where the text of each number from the first on
    begins, and where the last one ends; the first number, how many the table has, and how many posts. A
    number without a post has no text.
    """

    __slots__ = ("_at", "_bytes", "_first", "_gone", "_n", "_n_posts")

    def __init__(self, path: Path) -> None:
        """Map a file that `write` made."""
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        words = memoryview(self._bytes)
        self._first, self._n, self._n_posts = words[-3 * _WORD :].cast("q")
        self._at = words[-(self._n + 4) * _WORD : -3 * _WORD].cast("q")
        self._gone: frozenset[int] = frozenset()

    def without(self, gone: Collection[int]) -> "MappedPosts":
        """Return the same but some posts."""
        left = object.__new__(MappedPosts)
        left._bytes, left._first, left._n, left._at = self._bytes, self._first, self._n, self._at
        left._gone = self._gone | {post for post in gone if post in self}
        left._n_posts = self._n_posts - len(left._gone) + len(self._gone)
        return left

    def __contains__(self, post: object) -> bool:
        """Say whether there is a post of that number."""
        place = post - self._first if isinstance(post, int) else -1
        return 0 <= place < self._n and self._at[place] != self._at[place + 1] and post not in self._gone

    def __getitem__(self, post: int) -> bytes:
        """Return a post's text."""
        place, at = post - self._first, self._at
        if not 0 <= place < self._n or post in self._gone:
            raise KeyError(post)
        text = self._bytes[at[place] : at[place + 1]]
        if not text:
            raise KeyError(post)
        return text

    def __iter__(self) -> Iterator[int]:
        """Go through the numbers, ascending."""
        return (post for post in range(self._first, self._first + self._n) if post in self)

    def __len__(self) -> int:
        """Count the posts."""
        return self._n_posts


class SharedTexts:
    """The files of an address' generations, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self._folder = folder

    async def load(self, manifest: Manifest, read: AsyncIterator[tuple[bytes, bytes]]) -> Mapping[int, bytes]:
        """Return a generation's posts: of the file, if a process has made it, else as `read`."""
        path = self._folder / f"{manifest.generation}-{manifest.created_at_s}.posts"
        with (self._folder / "posts.lock").open("wb") as lock:
            # On a thread: whoever waits for another process's reading must go on answering.
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
            if not path.exists():
                texts = {int(post): text async for post, text in read}
                if not _is_dense(texts):
                    return texts
                await asyncio.to_thread(self._write, path, texts)
            return MappedPosts(path)

    def _write(self, path: Path, texts: Mapping[int, bytes]) -> None:
        unfinished = path.with_suffix(".new")
        write(unfinished, texts)
        unfinished.replace(path)
        kept = sorted(self._folder.glob("*.posts"), key=os.path.getmtime, reverse=True)
        for old in kept[FILES_KEPT:]:
            old.unlink(missing_ok=True)


def write(path: Path, texts: Mapping[int, bytes]) -> None:
    """Write posts' texts by number as `MappedPosts` reads them; there is at least one."""
    first, last = min(texts), max(texts)
    at = array("q", [0])
    with path.open("wb") as file:
        for post in range(first, last + 1):
            at.append(at[-1] + file.write(texts.get(post, b"")))
        file.write(bytes(-at[-1] % _WORD))
        at.tofile(file)
        array("q", [first, last + 1 - first, len(texts)]).tofile(file)


def _is_dense(texts: Mapping[int, bytes]) -> bool:
    return bool(texts) and max(texts) - min(texts) < SPREAD * len(texts)
