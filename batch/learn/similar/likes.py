"""Who liked what first when, and how alike two posts are by who liked both. Exact: sums of whole numbers.

So nothing depends on the order of users, and posts that are equally alike are so to the last bit.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from batch.arrays import AnyInts, Bools, Ints
from batch.data.facts import Facts
from batch.data.rows import find_rows
from batch.learn.baselines.neighbours import MOST_LIKES
from batch.learn.factors.blocks import in_threads
from batch.learn.similar.nearest import SCALE, no_keys, put

N_LIKED = 100  # posts liked with a post that count as candidates
UNIT = 64  # what a like of somebody with no other like says; of `n` likes each says 1/√n of it
POSTS_A_BLOCK = 256  # that a thread does at a time
SHRINK = 10 * UNIT  # as if so many more had liked each post and nothing else: few likes say little


@dataclass(frozen=True, slots=True)
class Likes:
    """First likes of posts by users, in order of time.

    Attributes:
        user: int64 (likes,). Row.
        post: int64 (likes,). Row, or whatever numbers posts from 0 on.
        time: int64 (likes,). Epoch seconds, ascending.
    """

    user: Ints
    post: Ints
    time: Ints

    @classmethod
    def of(cls, facts: Facts, place: AnyInts) -> "Likes":
        """Take them from facts; `place` is int (posts,), the number of each post from 0 on."""
        found = [(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))]
        for part in facts.parts():
            rows = part.views & (part.target == 1)
            found.append((part.user[rows], part.post[rows], part.time[rows]))
        user, post, time = (np.concatenate(columns) for columns in zip(*found, strict=True))
        user, post = user.astype(np.int64), place[post].astype(np.int64)
        _, first = np.unique(user * len(place) + post, return_index=True)
        first.sort()
        return cls(user[first], post[first], time[first])

    def of_posts(self, kept: Bools) -> "Likes":
        """Return those of some posts, bool (posts,), by number."""
        own = kept[self.post]
        return Likes(self.user[own], self.post[own], self.time[own])

    def before(self, time_s: int) -> "Likes":
        """Return those before a moment; columns are views."""
        n = int(np.searchsorted(self.time, time_s, side="left"))
        return Likes(self.user[:n], self.post[:n], self.time[:n])


@dataclass(frozen=True, slots=True)
class Together:
    """Posts that the same users liked.

    Attributes:
        posts: int64 (liked,). Those that anybody liked, ascending.
        keys: int64 (liked, N_LIKED). The nearest of each, see `nearest`.
    """

    posts: Ints
    keys: Ints

    def keys_of(self, posts: AnyInts) -> Ints:
        """Return the keys of some posts, liked or not, int64 (of them, N_LIKED)."""
        at = find_rows(self.posts, posts)
        return np.where(at[:, None] < 0, -1, np.vstack([self.keys, no_keys(1, N_LIKED)])[at])


def find_liked_together(likes: Likes, n_posts: int) -> Together:
    """Return for each liked post the `N_LIKED` posts most alike by who liked both.

    Likeness is the cosine of the posts' likes, those of whoever likes much saying less, shrunk where they
    are few. Of a user the last `MOST_LIKES` likes count, so time grows with the likes, never with all pairs.
    """
    user, post = _last(likes)
    n_users = int(user.max(initial=-1)) + 1
    n_likes = np.maximum(np.bincount(user, minlength=n_users), 1)
    weight = np.maximum(np.rint(UNIT / np.sqrt(n_likes)), 1).astype(np.int64)
    size = np.sqrt(np.bincount(post, weight[user], n_posts) + SHRINK)
    posts = np.unique(post)
    keys = no_keys(len(posts), N_LIKED)
    by_post, by_user = np.argsort(post, kind="stable"), np.argsort(user, kind="stable")
    begins, ends = (np.searchsorted(post[by_post], posts, side=side) for side in ("left", "right"))
    of_user = np.searchsorted(user[by_user], np.arange(n_users + 1))
    columns = (user[by_post], of_user, post[by_user], weight, size)

    def work(rows: slice) -> None:
        _sum(keys[rows], posts[rows], begins[rows], ends[rows], *columns)

    for _ in in_threads(
        work, [slice(low, low + POSTS_A_BLOCK) for low in range(0, len(posts), POSTS_A_BLOCK)]
    ):
        pass
    return Together(posts, keys)


def _last(likes: Likes) -> tuple[Ints, Ints]:
    """Return user and post of each user's last `MOST_LIKES` likes."""
    order = np.lexsort((-np.arange(len(likes.user)), likes.user))
    user = likes.user[order]
    place = np.arange(len(user)) - np.searchsorted(user, user, side="left")
    kept = order[place < MOST_LIKES]
    return likes.user[kept], likes.post[kept]


@numba.njit(cache=True, nogil=True)
def _sum(
    keys: Any, posts: Any, begins: Any, ends: Any,
    user: Any, of_user: Any, post: Any, weight: Any, size: Any,
) -> None:  # fmt: skip
    """Sum the weights of common users, post by post, and keep the nearest.

    `user` has the users of each of `posts`, from its begin up to its end; `post` the posts of each user, from
    `of_user` on.
    """
    sums, met = np.zeros(len(size), np.int64), np.empty(len(size) + 1, np.int64)
    for i in range(len(posts)):
        n_met = 0
        for u in user[begins[i] : ends[i]]:
            more = weight[u]
            for q in post[of_user[u] : of_user[u + 1]]:
                before = sums[np.uint64(q)]
                met[n_met] = q  # stays where it is the first time
                n_met += before == 0
                sums[np.uint64(q)] = before + more
        for q in met[:n_met]:
            alike = np.int64(np.rint(SCALE * sums[q] / (size[posts[i]] * size[q])))
            sums[q] = 0
            if q != posts[i] and alike > 0:
                put(keys[i], alike * len(size) + (len(size) - 1 - q), len(size))
