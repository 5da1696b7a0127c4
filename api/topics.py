"""Which topic a post has: side by side, so that a look meets the cache, and ten looks are one call.

What may live here: values, and what can be said of them alone. No store, no clock.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import cast

import orjson

SPARSE = 16  # numbers up to so many times as there are posts stand side by side, and those below 65,536


class Topics:
    """The topics of a generation's posts, each read when it is first asked for, in some microseconds."""

    def __init__(self, posts: Mapping[int, bytes]) -> None:
        """Read nothing yet; posts are numbers, from 0 on, to JSON."""
        n = max(posts, default=0) + 1
        is_dense = n <= SPARSE * len(posts) + 65_536
        self._topics: list[str | None] | dict[int, str | None]
        self._topics = [None] * n if is_dense else dict.fromkeys(posts)
        self._posts = posts

    def find(self, posts: Sequence[int]) -> tuple[str, ...]:
        """Return the topics of two posts or more, empty where a post has none; nothing if one is no post."""
        try:
            found: tuple[str | None, ...] = itemgetter(*posts)(self._topics)
        except LookupError:
            return ()
        if None in found or min(posts) < 0:
            if not self._posts.keys() >= set(posts):
                return ()
            for post in posts:
                self._topics[post] = read_topic(self._posts[post])
            found = itemgetter(*posts)(self._topics)
        return cast("tuple[str, ...]", found)


def read_topic(post: bytes) -> str:
    """Return the topic of a post as it is answered; empty where it has none."""
    return str(orjson.loads(post).get("topic", ""))
