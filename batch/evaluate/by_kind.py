"""HitRate@5 of lists by each kind of act that is a like in the facts: by cart, by purchase."""

from dataclasses import dataclass, replace

import numpy as np

from batch.arrays import Bools, Ints, Ints8, Ints32
from batch.data.facts import Facts
from batch.data.kinds import KINDS, NO_KIND, kinds_of, read_feed_acts
from batch.data.mapping import Mapping
from batch.data.rows import find_rows
from batch.data.validation.ids import Ids
from batch.evaluate import chance, results
from batch.evaluate.metrics import Hits, hitrate
from batch.evaluate.sessions import RANDOM
from batch.evaluate.unseen import AskedUsers

K = 5


@dataclass(frozen=True, slots=True)
class Acts:
    """What the facts' users did with their posts, more than view them, in any order.

    Attributes:
        kinds: Those of KINDS that the mapping names, without views: two or more.
        user: int32 (acts,). Row of the user.
        post: int32 (acts,). Row of the post.
        time: int64 (acts,). Epoch seconds.
        kind: int8 (acts,). Place in KINDS.
    """

    kinds: tuple[str, ...]
    user: Ints32
    post: Ints32
    time: Ints
    kind: Ints8

    def select(self, some: Bools) -> "Acts":
        """Return some of them, bool (acts,)."""
        return Acts(self.kinds, self.user[some], self.post[some], self.time[some], self.kind[some])


def read_acts(location: str, mapping: Mapping, facts: Facts, stall_s: float) -> Acts | None:
    """Read the kinds of what users did from the feed once more, since facts know likes alone.

    Returns:
        None where the mapping names fewer than two kinds beside views: then likes are all there is to tell.

    Raises:
        SourceError: The feed cannot be read.
    """
    named = sorted({*kinds_of(mapping).tolist()} - {KINDS.index("view")})
    if len(named) < 2:
        return None
    kinds, parts = tuple(KINDS[place] for place in named), list[Acts]()
    users, posts = Ids(facts.user_names.kind), Ids(facts.post_names.kind)
    for rows in read_feed_acts(location, mapping, stall_s, lambda _n: None):
        user, post = users.parse(rows.user), posts.parse(rows.post)
        both = ~(user.missing | user.unreadable | post.missing | post.unreadable)
        chosen = both & np.isin(rows.kind, named) & (rows.kind != NO_KIND)
        who = find_rows(facts.user_ids, users.codes(user.value[chosen]))
        what = find_rows(facts.post_ids, posts.codes(post.value[chosen]))
        part = Acts(kinds, who, what, rows.time[chosen], rows.kind[chosen])
        parts.append(part.select((who >= 0) & (what >= 0)))
    columns = zip(*((part.user, part.post, part.time, part.kind) for part in parts), strict=True)
    user_, post_, time, kind = map(np.concatenate, columns)
    return Acts(kinds, user_, post_, time, kind)


def measure_by_kind(asked: AskedUsers, lists: dict[str, Ints], acts: Acts) -> dict[str, results.Columns]:
    """Return `hitrate_cart` at 5 and so on of each model's lists, over the users who did so.

    Relevant is what a user did so with in the split for the first time, and had not seen before it; who did
    so with nothing is left out.

    Args:
        asked: Whose lists they are.
        lists: Model to int64 (asked, depth); `RANDOM`, whose figures are exact, among them.
        acts: Of everybody.
    """
    row = find_rows(asked.users, acts.user)
    inside = (acts.time >= asked.split.test_from_s) & (acts.time < asked.split.test_to_s) & (row >= 0)
    if asked.opened is not None:
        inside &= asked.opened[acts.post]
    own, row = acts.select(inside), row[inside]
    fresh = ~np.asarray(asked.seen[row, own.post], np.bool_).reshape(-1)
    found: dict[str, results.Columns] = {name: {} for name in lists}
    for kind in acts.kinds:
        some = fresh & (own.kind == KINDS.index(kind))
        for name, ranked in lists.items():
            hits = Hits.of_lists(ranked, row[some].astype(np.int64), own.post[some].astype(np.int64))
            values = hitrate(hits, K)
            if name == RANDOM:
                values = chance.hitrate(asked.n_left, hits.n_relevant, K)
            values = np.where(hits.n_relevant > 0, values, np.nan)
            found[name][f"hitrate_{kind}", K] = results.mean_column(values)
    return found


def drop_undone(
    lists: results.MeasuredLists, kinds: tuple[str, ...]
) -> tuple[results.MeasuredLists, dict[str, int]]:
    """Return the lists without the kinds that nobody did, and of how many lists each kind tells."""
    of_lists = next((of for of in lists.models.values() if (f"hitrate_{kinds[0]}", K) in of), {})
    told = {kind: int(of_lists[f"hitrate_{kind}", K].wholes.sum()) for kind in kinds if of_lists}
    idle = {(f"hitrate_{kind}", K) for kind, n in told.items() if not n}
    models = {
        name: {metric: column for metric, column in of.items() if metric not in idle}
        for name, of in lists.models.items()
    }
    return replace(lists, models=models), told
