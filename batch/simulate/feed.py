"""The stream of a world's tables: users, posts, then the feed, user block by user block.

A block's events depend on the seed and the block alone, so the rows are the same whatever the size of a
chunk, and what is held at once does not grow with the world.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from batch.data.columns import (
    ACTION,
    ACTIONS,
    FEED,
    LIKE,
    POST_ID,
    POSTS,
    TIMESTAMP,
    USER_ID,
    USERS,
    VALID_FROM,
    VALID_TO,
    VIEW,
    feed_table,
)
from batch.data.facts import Facts, Report
from batch.simulate import effects
from batch.simulate.config import WorldConfig
from batch.simulate.moves import Moves
from batch.simulate.posts import catalogue
from batch.simulate.profiles import user_table
from batch.simulate.texts import post_table
from batch.simulate.truth import Truth

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_BLOCK = 512  # users drawn together; part of what the seed means, so changing it changes every world
_REDRAWS = 4  # rounds of replacing a post that a session already holds; what is left then is not shown


@dataclass(frozen=True, slots=True)
class _Views:
    """A block's impressions in the order of user and time. Rows of users and posts, epoch seconds."""

    user: Ints
    post: Ints
    at_s: Ints
    like_s: Ints
    early: Bools


@dataclass(frozen=True, slots=True)
class _Shelves:
    """What the old feed takes posts from: a shelf of each type for each half of a session, first half first.

    Attributes:
        post: int64 (posts,). In the order of their births, so that those there at a time are the first ones.
        born_s: int64 (posts,). Their births, ascending.
        shares: float64 (shelves, posts + 1). Rising shares of what is taken while all are there, 0 first.
    """

    post: Ints
    born_s: Ints
    shares: Floats

    @classmethod
    def of(cls, truth: Truth) -> "_Shelves":
        early, late = truth.preferred, ~truth.preferred
        if truth.config.regime == "gaussian":
            early = late
        born_s = truth.moves.born_s
        post = np.argsort(born_s, kind="stable")
        weights = np.stack([early, late], axis=1).reshape(-1, early.shape[1]) * truth.posts.exposure
        shares = np.cumsum(weights[:, post], axis=1)
        shares /= shares[:, -1:]
        return cls(post, born_s[post], np.pad(shares, ((0, 0), (1, 0))))

    def take(self, rng: np.random.Generator, shelf: Ints, at_s: Ints) -> Ints:
        """Draw a post of each view's shelf, rows of posts; new ones, where there are, have their share."""
        drawn, place = rng.random(len(shelf)), np.empty(len(shelf), np.int64)
        n_old = np.searchsorted(self.born_s, at_s - effects.NEW_S, side="right")
        n_there = np.searchsorted(self.born_s, at_s, side="right")
        for number, shares in enumerate(self.shares):
            mine = np.flatnonzero(shelf == number)
            old, there, lot = shares[n_old[mine]], shares[n_there[mine]], drawn[mine]
            some = there > old
            new = some & (lot < effects.NEW_SHARE)
            lot[some] = (lot[some] - effects.NEW_SHARE) / (1 - effects.NEW_SHARE)
            lot = np.where(new, old + drawn[mine] / effects.NEW_SHARE * (there - old), lot * old)
            found = np.searchsorted(shares, lot, side="right") - 1
            place[mine] = np.minimum(found, n_there[mine] - 1)
        return self.post[place]


def tables(config: WorldConfig, chunk_rows: int = 1_000_000) -> Iterator[tuple[str, pa.Table]]:
    """Yield the world's tables as (name, Arrow table): users once, posts once, then the feed in chunks.

    The feed has `timestamp` (naive UTC, microseconds), `user_id`, `post_id`, `action` and `target`,
    ordered by user and then time. A liked view has target 1 and its like row follows 8-177 s later; like
    rows have target 0.

    In a moving world posts have `valid_from` and `valid_to`, too, whose first one is the time of their birth.

    Args:
        config: The world.
        chunk_rows: Least rows of a chunk of the feed but the last; a chunk holds whole blocks of users.
    """
    truth = Truth.from_config(config)
    yield USERS, user_table(config)
    yield POSTS, _add_windows(post_table(config, truth.posts), truth)
    shelves = _Shelves.of(truth)
    held: list[pa.Table] = []
    n_blocks = -(-config.n_users // _BLOCK)
    for block in range(n_blocks):
        held.append(_events(truth, shelves, block))
        if sum(map(len, held)) >= chunk_rows or block == n_blocks - 1:
            yield FEED, pa.concat_tables(held)
            held = []


def facts(config: WorldConfig) -> Facts:
    """Return a small world as facts, with no database between; its events are held in memory."""
    parts: dict[str, list[pa.Table]] = {USERS: [], POSTS: [], FEED: []}
    for name, table in tables(config):
        parts[name].append(table)
    users, posts, feed = (pa.concat_tables(part).to_pandas() for part in parts.values())
    feed = feed.assign(
        user=pd.Index(users[USER_ID]).get_indexer(feed[USER_ID]).astype(np.int32),
        post=pd.Index(posts[POST_ID]).get_indexer(feed[POST_ID]).astype(np.int32),
        time=feed[TIMESTAMP].astype("datetime64[s]").astype(np.int64),
        action=feed[ACTION].map(ACTIONS).astype(np.int8),
    ).sort_values(["time", "user", "post", "action"])
    windows = Moves.draw(config, catalogue(config)).windows
    posts = posts.drop(columns=[VALID_FROM, VALID_TO], errors="ignore").assign(**windows.frame())
    events = {name: feed[name].to_numpy() for name in ("user", "post", "time", "action", "target")}
    read = {name: sum(map(len, part)) for name, part in parts.items()}
    return Facts(users, posts, None, **events, report=Report(read=read, users_with_profile=len(users)))


def _add_windows(posts: pa.Table, truth: Truth) -> pa.Table:
    windows = truth.moves.windows
    for name, column in windows.columns().items() if windows.given.any() else ():
        posts = posts.append_column(name, column)
    return posts


def _events(truth: Truth, shelves: _Shelves, block: int) -> pa.Table:
    """Return the feed rows of one block of users."""
    rng = truth.config.rng("feed", block)
    views = _views(rng, truth, shelves, block)
    liked = rng.random(len(views.post)) < _chance(truth, views)
    return _rows(truth, views, liked)


def _views(rng: np.random.Generator, truth: Truth, shelves: _Shelves, block: int) -> _Views:
    config = truth.config
    users = np.arange(block * _BLOCK, min((block + 1) * _BLOCK, config.n_users))
    daily = rng.uniform(*effects.SESSION_CHANCE, len(users))
    who, day = np.nonzero(rng.random((len(users), config.n_days)) < daily[:, None])
    begin = rng.integers(effects.FIRST_START_S, effects.LAST_START_S, len(who))
    n_early = rng.integers(effects.EARLY_VIEWS[0], effects.EARLY_VIEWS[1] + 1, len(who))
    n_views = n_early + rng.integers(effects.LATE_VIEWS[0], effects.LATE_VIEWS[1] + 1, len(who))
    session = np.repeat(np.arange(len(who)), n_views)
    first = np.cumsum(n_views) - n_views
    early = np.arange(len(session)) - first[session] < n_early[session]
    user = users[who][session]
    gap = rng.integers(effects.VIEW_GAP_S[0], effects.VIEW_GAP_S[1] + 1, len(session))
    since = np.cumsum(gap) - gap
    in_day = begin[session] + since - since[first][session]
    at_s = config.start_s + day[session] * 86_400 + in_day
    post, fresh = _draw_posts(rng, truth, shelves, user, session, early, at_s)
    like_s = at_s + gap - effects.LIKE_TO_NEXT_VIEW_S
    kept = fresh & (in_day < 86_400 - effects.VIEW_GAP_S[1])  # nobody is awake after midnight
    return _Views(user[kept], post[kept], at_s[kept], like_s[kept], early[kept])


def _draw_posts(
    rng: np.random.Generator,
    truth: Truth,
    shelves: _Shelves,
    user: Ints,
    session: Ints,
    early: Bools,
    at_s: Ints,
) -> tuple[Ints, Bools]:
    """Return the post of each view, and whether it is the session's first view of that post."""
    misplaced = rng.random(len(user)) < effects.MISPLACED
    shelf = 2 * truth.user_type[user] + (early == misplaced)
    post = shelves.take(rng, shelf, at_s)
    again = _find_repeats(session, post)
    for _ in range(_REDRAWS):
        if not len(again):
            break
        post[again] = shelves.take(rng, shelf[again], at_s[again])
        again = _find_repeats(session, post)
    fresh = np.ones(len(post), np.bool_)
    fresh[again] = False
    return post, fresh


def _find_repeats(session: Ints, post: Ints) -> Ints:
    """Return the rows whose post came earlier in the same session, ascending."""
    key = session * (int(post.max(initial=0)) + 1) + post
    return np.flatnonzero(pd.Series(key).duplicated())


def _chance(truth: Truth, views: _Views) -> Floats:
    chance = truth.user_base[views.user] + truth.post_base[views.post]
    chance += effects.of_moment(truth.config, views.at_s)
    chance += truth.moves.of(truth.posts, views.post, views.at_s)
    chance += np.einsum("ij,ij->i", truth.user_taste[views.user], truth.post_taste[views.post])
    return truth.average(chance, views.early.astype(np.float64))


def _rows(truth: Truth, views: _Views, liked: Bools) -> pa.Table:
    """Return the views with each like after its view."""
    copies = 1 + liked.astype(np.int64)
    view = np.repeat(np.arange(len(liked)), copies)
    is_like = np.zeros(len(view), np.bool_)
    is_like[np.cumsum(copies)[liked] - 1] = True
    seconds = np.where(is_like, views.like_s[view], views.at_s[view])
    action = np.where(is_like, LIKE, VIEW)
    target = (liked[view] & ~is_like).astype(np.int8)
    user_ids, post_ids = truth.user_ids[views.user[view]], truth.post_ids[views.post[view]]
    return feed_table(seconds, user_ids, post_ids, action, target)
