"""What each user has seen and liked, and since when, from the facts. Pure: no I/O, no clock."""

from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np

from batch.arrays import AnyInts, Ints, Ints32
from batch.data.facts import Facts
from batch.data.ragged import Ragged

What = Literal["views", "likes"]


@dataclass(frozen=True, slots=True)
class SeenPosts(Ragged):
    """Posts by user: a seen set each, or what each user liked; of a run's lists, what they leave out.

    Attributes:
        post: int32 (pairs,). Row numbers of posts, ascending and distinct within a user.
    """

    post: Ints32

    @classmethod
    def none(cls, n_users: int) -> "SeenPosts":
        """Return users who have seen nothing."""
        return SeenPosts(np.zeros(n_users + 1, np.int64), np.empty(0, np.int32))

    def of_posts(self, rows: AnyInts) -> "SeenPosts":
        """Return of each user those of some posts, given by row, ascending; they are numbered from 0."""
        kept = self.where(np.isin(self.post, rows))
        return SeenPosts(kept.start, np.searchsorted(rows, kept.post).astype(np.int32))

    def of(self, user: int) -> Ints32:
        """Return int32 (n,): the rows of the posts of the user in row `user`."""
        return self.post[self.start[user] : self.start[user + 1]]


@dataclass(frozen=True, slots=True)
class SeenTimes(SeenPosts):
    """Posts by user, with the earliest time of each pair (user, post).

    Attributes:
        time: int64 (pairs,). Epoch seconds at which the user first saw, or liked, the post.
    """

    time: Ints

    @classmethod
    def none(cls, n_users: int) -> "SeenTimes":
        """Return users who have seen nothing."""
        return SeenTimes(np.zeros(n_users + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.int64))


def earliest(facts: Facts, what: What) -> SeenTimes:
    """Return what every user saw or liked, with the earliest time of each pair.

    Seen is the union of impressions and interactions, since a like implies that the post was shown.
    Liked is the union of like rows and of views whose target is 1. Takes 16 bytes an event of memory
    beside the facts, 12 of which the result keeps, and time in proportion to the events.

    Returns:
        One row of pairs a user of `facts.users`, in their order; users without events have none.

    Raises:
        ValueError: `what` is neither views nor likes.
    """
    if what not in ("views", "likes"):
        raise ValueError(f"what={what!r} must be views or likes")
    user, post, time = facts.user, facts.post, facts.time
    if what == "likes":
        rows = facts.likes | (facts.target == 1)
        user, post, time = user[rows], post[rows], time[rows]
    by_post = _group(post, _starts(post, len(facts.posts)))
    start = _starts(user, len(facts.users))
    post_out, time_out = np.empty(len(post), np.int32), np.empty(len(time), np.int64)
    kept = _keep_earliest(by_post, user, post, time, start, post_out, time_out)
    return SeenTimes(kept, post_out[: kept[-1]], time_out[: kept[-1]])


def _starts(label: Ints32, n_labels: int) -> Ints:
    """Return where the events of each label (user or post) begin once they are grouped by it."""
    return np.append(0, np.cumsum(np.bincount(label, minlength=n_labels)))


# No sorting within these: cached numba functions that sort and cached ones that argsort, compiled by
# different processes, name their inner functions alike, and calling one may run the other (numba 0.68).


@numba.njit(cache=True)
def _group(post: Any, start: Any) -> Any:
    """Return the events grouped by post; within a post they stay in order of time."""
    cursor = start.copy()
    events = np.empty(len(post), np.uint32)  # up to four billion events
    for i in range(len(post)):
        events[cursor[post[i]]] = i
        cursor[post[i]] += 1
    return events


@numba.njit(cache=True)
def _keep_earliest(
    by_post: Any, user: Any, post: Any, time: Any, start: Any, post_out: Any, time_out: Any
) -> Any:
    """Write each user's pairs from the front of their place, then close the gaps; return where each begins.

    Events come by post, then by time: a user's posts ascend, and the first event of a pair is its earliest.
    """
    end = start[:-1].copy()
    for i in by_post:
        u = user[i]
        if end[u] == start[u] or post_out[end[u] - 1] != post[i]:
            post_out[end[u]] = post[i]
            time_out[end[u]] = time[i]
            end[u] += 1
    kept = np.zeros(len(start), np.int64)
    for u in range(len(end)):
        to = kept[u]
        for at in range(start[u], end[u]):
            post_out[to] = post_out[at]
            time_out[to] = time_out[at]
            to += 1
        kept[u + 1] = to
    return kept
