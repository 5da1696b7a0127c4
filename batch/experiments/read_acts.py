"""What an experiment's users were shown and did, out of the events' database and the facts' feed."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from api.contract.experiment import Experiment
from batch.arrays import Ints, Ints8, Ints32
from batch.data.kinds import KINDS, NO_KIND, SHOP_KINDS, ActRows, kinds_of, read_feed_acts
from batch.data.live.events import read_kinds
from batch.data.live.exposures import day_of, read_exposures
from batch.data.mapping import Mapping
from batch.experiments.acts import FIRST, Acts, Exposures
from batch.experiments.people import NO_POST, People
from batch.progress import Advance


def read_exposed(url: str, experiment: Experiment, people: People, stall_s: float) -> Exposures:
    """Read the answers that an experiment gave; from then on `people` know its users and learn no others.

    Raises:
        SourceError: The events' database cannot be opened or read.
    """
    ids, arms = list[str](), dict[str, int]()
    parts: list[tuple[Ints32, Ints8, Ints, Ints]] = []
    since = day_of(experiment.start_s * 1000)
    for batch in read_exposures(url, experiment.name, since, stall_s):
        user = people.rows(batch.column("user_id"))
        rows, first = np.unique(user, return_index=True)
        ids += batch.column("user_id").take(pa.array(first[rows >= len(ids)])).to_pylist()
        encoded = batch.column("arm").dictionary_encode()
        places = [arms.setdefault(name, len(arms)) for name in encoded.dictionary.to_pylist()]
        arm = np.array(places, np.int8)[np.asarray(encoded.indices)]
        time = np.asarray(batch.column("accepted_at_ms"), np.int64) // 1000
        known = user >= 0
        posts = _first_posts(batch.column("post_ids"), people)
        parts.append((user[known], arm[known], time[known], posts[known]))
    people.close()
    if not parts:
        parts = [
            (
                np.empty(0, np.int32),
                np.empty(0, np.int8),
                np.empty(0, np.int64),
                np.empty((0, FIRST), np.int64),
            )
        ]
    user, arm, time, posts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Exposures(ids, list(arms), user, arm, time, posts)


def read_acts(
    location: str, url: str, mapping: Mapping, people: People, since_s: int, stall_s: float, advance: Advance
) -> tuple[Acts, list[str]]:
    """Read what people did from a time on, in the facts' feed and live, each act once.

    Args:
        location: Of the facts; empty: there are none.
        url: Of the events' database.
        mapping: Of the facts.
        people: Whose acts count.
        since_s: Epoch seconds.
        stall_s: Longest silence of a PostgreSQL, seconds.
        advance: Called with the number of rows read since its last call.

    Returns:
        The acts, and those of KINDS that the mapping names or that were done.

    Raises:
        SourceError: A database or the facts cannot be read.
    """
    frames = [pd.DataFrame({name: np.empty(0, np.int64) for name in Acts.__dataclass_fields__})]
    feed = read_feed_acts(location, mapping, stall_s, advance) if location else iter(())
    for chunk in chain(feed, _of_live(url, stall_s)):
        user = people.rows(chunk.user)
        kept = (user >= 0) & (chunk.time >= since_s) & (chunk.kind != NO_KIND)
        post = people.marks(chunk.post.filter(pa.array(kept)))
        columns = {"user": user[kept], "post": post, "time": chunk.time[kept], "kind": chunk.kind[kept]}
        frames.append(pd.DataFrame(columns))
    every = pd.concat(frames).drop_duplicates()
    user, kind = every["user"].to_numpy(np.int32), every["kind"].to_numpy(np.int8)
    acts = Acts(user, every["post"].to_numpy(np.int64), every["time"].to_numpy(np.int64), kind)
    kinds = {*np.unique(kind).tolist(), *kinds_of(mapping).tolist()} - {NO_KIND}
    return acts, [KINDS[place] for place in sorted(kinds)]


def _first_posts(column: pa.Array, people: People) -> Ints:
    """Return the marks of the first posts of each list, int64 (rows, FIRST)."""
    row, marks = np.asarray(pc.list_parent_indices(column)), people.marks(pc.list_flatten(column))
    begin = np.searchsorted(row, row)  # of the list that each stands in
    place, posts = np.arange(len(row)) - begin, np.full((len(column), FIRST), NO_POST)
    early = place < FIRST
    posts[row[early], place[early]] = marks[early]
    return posts


def _of_live(url: str, stall_s: float) -> Iterator[ActRows]:
    for batch in read_kinds(url, stall_s):
        encoded = batch.column("kind").dictionary_encode()
        kinds = [SHOP_KINDS.get(name, name) for name in encoded.dictionary.to_pylist()]
        kind = np.array([KINDS.index(name) for name in kinds], np.int8)[np.asarray(encoded.indices)]
        time = np.asarray(batch.column("occurred_at_s"), np.int64)
        yield ActRows(batch.column("user_id"), batch.column("post_id"), time, kind)
