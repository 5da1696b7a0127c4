"""Facts: users, posts and events, checked once, held in compact columns that every later step reads."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from batch.arrays import AnyInts, Bools, Floats32, Ints, Ints8, Ints32
from batch.data.columns import LIKE, POST_ID, USER_ID, VIEW
from batch.data.ids import IdNames
from batch.data.mapped import MappedColumns
from batch.data.retired import Retired
from batch.data.versions import PostVersions

# What a view says. `impressions`: a feed put the post there, so a view without a like is a no. `choices`: the
# user took it, from everything there was, so it is a yes, and the noes are all that was not taken.
Shown = Literal["impressions", "choices"]


EVENT_COLUMNS = ("user", "post", "time", "action", "target")  # of Facts, (events,) each
EVENTS_AT_ONCE = 4_000_000  # that are read before those in a file are released: 72 MB


@dataclass(frozen=True, slots=True)
class Report:
    """How many rows came in, and why some did not stay."""

    read: dict[str, int] = field(default_factory=dict)  # table name to rows
    rejected: dict[str, int] = field(default_factory=dict)  # reason to rows
    users_with_profile: int = 0
    users_without_profile: int = 0
    posts_without_text: int = 0
    posts_without_embedding: int = 0
    broken_embeddings: int = 0  # of posts that have none, since some of their numbers are missing or infinite
    infinite: dict[str, int] = field(default_factory=dict)  # profile column to numbers that count as missing
    ignored: dict[str, int] = field(default_factory=dict)  # event name that the mapping leaves out, to rows
    time_units_guessed: dict[str, int] = field(default_factory=dict)  # unit that no mapping says, to rows
    times_hint: str = ""  # what is likely wrong with times later than now
    # Table to its columns that number rows, as pandas' index does, or whose name stands twice.
    columns_ignored: dict[str, list[str]] = field(default_factory=dict)
    forgotten: dict[str, int] = field(default_factory=dict)  # `users` and `events` of users who are forgotten


@dataclass(frozen=True, slots=True)
class Facts:
    """Users, posts and events, checked. Row numbers, not ids, link the columns.

    Attributes:
        users: One row a user, `user_id` int64 ascending (codes), then the profile columns; a missing profile
            is a row of missing values. Profiles united with everyone in the feed. A column of lists holds
            tuples of texts.
        posts: One row a post, `post_id` int64 ascending (codes), `topic` and `text` (may be missing); where a
            post has several topics, `more_topics` too, words that count beside the text.
        embeddings: float32 (posts, d), NaN rows where missing; None where the data brings none.
        user: int32 (events,). Row in `users`.
        post: int32 (events,). Row in `posts`.
        time: int64 (events,). Epoch seconds, ascending; ties in order of user, post, action.
        action: int8 (events,). VIEW or LIKE.
        target: int8 (events,). 1 on a view that a like followed; 0 on every like row.
        weight: float32 (events,). How much an event says for its post; None where likes all say the same.
        report: Counts of what was read and rejected.
        shown: What a view says; of all of them alike.
        user_names: The ids of users behind their codes, and their kind; codes of others may be among them.
        post_names: The same of posts.
        post_came: int64 (posts,), distinct. Of ids that are text, whose codes have no order of their own: the
            posts in the order of their table; None of numbers, which ascend.
        retired: What users chose of posts that are not among `posts` any more; None where there is nothing.
        versions: The posts' contents at earlier times; None where the data tell the latest alone.
        zone: IANA name of the zone whose clocks say the hour of the day; empty: UTC, as `time` always is.
        kinds: What `EventKinds` counted as rows were read, a line a name of events; empty where there are no
            others than views and likes.
        mapped: The file that the events' columns lie in; None where they lie in memory.
    """

    users: pd.DataFrame
    posts: pd.DataFrame
    embeddings: Floats32 | None
    user: Ints32
    post: Ints32
    time: Ints
    action: Ints8
    target: Ints8
    weight: Floats32 | None = None
    report: Report = field(default_factory=Report)
    shown: Shown = "impressions"
    user_names: IdNames = field(default_factory=IdNames)
    post_names: IdNames = field(default_factory=IdNames)
    post_came: Ints | None = None
    retired: Retired | None = None
    versions: PostVersions | None = None
    zone: str = ""
    kinds: list[dict[str, Any]] = field(default_factory=list)
    mapped: MappedColumns | None = field(default=None, repr=False)

    @property
    def user_ids(self) -> Ints:
        """Return int64 (users,), ascending: codes, which are the ids themselves where those are numbers."""
        return np.asarray(self.users[USER_ID], np.int64)

    @property
    def post_ids(self) -> Ints:
        """Return int64 (posts,), ascending: codes, as of users."""
        return np.asarray(self.posts[POST_ID], np.int64)

    @property
    def post_place(self) -> Ints:
        """Return int64 (posts,): each post's place in the order of ids, or of the table of text ids."""
        if self.post_came is None:
            return np.arange(len(self.posts), dtype=np.int64)
        return np.argsort(np.argsort(self.post_came)).astype(np.int64)

    @property
    def as_of_s(self) -> int:
        """Return the newest fact's time.

        Raises:
            ValueError: There is no event.
        """
        if len(self.time) == 0:
            raise ValueError("the facts hold no event: import some, or run `almanac simulate`")
        return int(self.time[-1])

    @property
    def all_chosen(self) -> bool:
        """Tell whether each view is itself the yes, since nothing says which of the choices are liked."""
        return self.shown == "choices" and not self.likes.any() and bool(self.target.all())

    def release(self) -> None:
        """Give back the memory of events that lie in a file; whoever needs them reads them again."""
        if self.mapped is not None:
            self.mapped.release()

    def parts(self) -> Iterator["Facts"]:
        """Yield the facts with some events at a time, in order; those in a file are released behind."""
        for low in range(0, len(self.time), EVENTS_AT_ONCE):
            yield self.select(slice(low, low + EVENTS_AT_ONCE))
            self.release()

    def until(self, as_of_s: int) -> "Facts":
        """Return the facts with no event later than `as_of_s`; columns are views, nothing is copied."""
        past = self.select(slice(int(np.searchsorted(self.time, as_of_s, side="right"))))
        return past if self.retired is None else replace(past, retired=self.retired.until(as_of_s))

    def described_at(self, as_of_s: int) -> "Facts":
        """Return the facts with posts as they were described at a time; what nothing is told of stays."""
        if self.versions is None:
            return self
        return replace(self, posts=self.versions.at(self.posts, as_of_s), versions=None)

    def between(self, start_s: int, end_s: int) -> "Facts":
        """Return the facts with the events of `[start, end)` only."""
        low, high = np.searchsorted(self.time, [start_s, end_s], side="left")
        return self.select(slice(int(low), int(high)))

    def select(self, events: slice | AnyInts | Bools) -> "Facts":
        """Return the facts with some of their events; users and posts stay, and so do their rows.

        Args:
            events: A run of them, whose columns are views; their rows, ascending; or bool (events,).
        """
        columns = {name: getattr(self, name)[events] for name in EVENT_COLUMNS}
        weight = None if self.weight is None else self.weight[events]
        return replace(self, **columns, weight=weight)

    @property
    def views(self) -> Bools:
        """Return bool (events,): the rows that are impressions."""
        return np.equal(self.action, VIEW)

    @property
    def likes(self) -> Bools:
        """Return bool (events,): the rows that are interactions."""
        return np.equal(self.action, LIKE)
