"""How two generations differ: posts that came, went and moved; who gained places and who lost them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from api.contract.buckets import moment
from api.contract.ids import as_json, canonical
from batch.arrays import Ints
from batch.publish.gate.overlap import matching_starts, rank_biased_overlap, shared_share
from batch.publish.post_ids import read_post_ids
from batch.publish.proof.topics import Shift, find_shifts, read_topics
from batch.publish.store import GenerationStore

BINS = 10  # of the histogram
TOP = 10  # winners, losers
USERS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Change:
    """What the lists of generation `b` are against those of `a`. Pairs are lists of the same user and hour.

    Attributes:
        a: The older generation.
        b: The newer one.
        n_users: Users compared, who have lists in both.
        n_lists: Pairs compared.
        only_a: Users with lists in `a` alone; in `b` alone: `only_b`.
        only_b: See `only_a`.
        added: Posts that a list of `b` has and its pair has not, on the average of the pairs.
        dropped: The same the other way round.
        moved: Posts in both at another place.
        kept: Posts in both at the same place.
        overlap: Mean rank-biased overlap, 0..1.
        histogram: int (10,). Pairs by the share of posts in common, tenth by tenth, 1.0 in the last.
        winners: Post and its change in the number of lists that hold it, largest gain first.
        losers: The same, largest loss first.
        samples: Users' lists of the first bucket side by side; all buckets where one user was asked for.
        topics: Topics by their shares of the places in `a` and `b`; empty where either does not tell topics.
    """

    a: int
    b: int
    n_users: int
    n_lists: int
    only_a: int
    only_b: int
    added: float
    dropped: float
    moved: float
    kept: float
    overlap: float
    histogram: tuple[int, ...]
    winners: tuple[tuple[int | str, int], ...]
    losers: tuple[tuple[int | str, int], ...]
    samples: tuple[dict[str, Any], ...]
    topics: tuple[Shift, ...] = ()


def diff(
    store: GenerationStore,
    a: int,
    b: int,
    *,
    user_id: str | None,
    sample: int,
    rng: np.random.Generator,
) -> Change:
    """Compare two generations in the store, on one user or on a sample of those who have lists in both.

    Buckets are paired by the hour of the day, so that last night's lists stand against tonight's.

    Raises:
        LookupError: A generation is not in the store, or the user has no list in both.
    """
    old, new = store.need_manifest(a), store.need_manifest(b)
    of_a, of_b = store.user_ids(a), store.user_ids(b)
    both = of_b if of_a == of_b else list(filter(set(of_a).__contains__, of_b))
    wanted = None if user_id is None else canonical(user_id, new.user_ids)
    if wanted is not None and wanted not in both:
        raise LookupError(f"user {user_id} has no lists in both generation {a} and generation {b}")
    rows = range(len(both)) if len(both) <= sample else np.sort(rng.choice(len(both), sample, replace=False))
    users = [wanted] if wanted is not None else [both[row] for row in rows]
    pairs = matching_starts(new.horizon, old.horizon)
    posts = read_post_ids(store, old), read_post_ids(store, new)
    x = store.read_lists(old, users, [start for _, start in pairs])
    y = store.read_lists(new, users, [start for start, _ in pairs])
    found = compare(
        posts[0].codes(x),
        posts[1].codes(y),
        numbers=(a, b),
        users=[as_json(one, new.user_ids) for one in users],
        starts=[start for start, _ in pairs],
        only=(len(of_a) - len(both), len(of_b) - len(both)),
        whole=wanted is not None,
    )
    topics = find_shifts(x, y, read_topics(store, old), read_topics(store, new))
    return replace(_name(found, posts[0].by_code() | posts[1].by_code()), topics=tuple(topics))


def compare(
    x: Ints,
    y: Ints,
    *,
    numbers: tuple[int, int],
    users: Sequence[int | str],
    starts: Sequence[int],
    only: tuple[int, int] = (0, 0),
    whole: bool = False,
) -> Change:
    """Compare lists that were read.

    Args:
        x: int64 (users, buckets, depth). Codes of posts of the older generation, best first, -1 fills.
        y: int64 (users, buckets, any depth). Those of the newer one.
        numbers: Their numbers.
        users: Ids of the users, as JSON has them.
        starts: Starts of the newer generation's buckets.
        only: Users who have lists in the older one alone, and in the newer one alone.
        whole: Show all lists as samples, not the first of a few users.
    """
    n_users, n_buckets = x.shape[:2]
    # All lengths told: of no pair at all NumPy cannot work out the last.
    flat_x, flat_y = (side.reshape(n_users * n_buckets, side.shape[2]) for side in (x, y))
    n_pairs = max(len(flat_x), 1)
    width = min(flat_x.shape[1], flat_y.shape[1])
    shares = shared_share(flat_x, flat_y)
    longest = np.maximum((flat_x >= 0).sum(axis=1), (flat_y >= 0).sum(axis=1))
    common = float(np.rint(shares * longest)[longest > 0].sum())
    kept = float(((flat_x[:, :width] == flat_y[:, :width]) & (flat_x[:, :width] >= 0)).sum())
    bins = np.minimum((shares * BINS).astype(int), BINS - 1)
    gains = _gains(flat_x, flat_y)
    return Change(
        a=numbers[0],
        b=numbers[1],
        n_users=n_users,
        n_lists=len(flat_x),
        only_a=only[0],
        only_b=only[1],
        added=(float((flat_y >= 0).sum()) - common) / n_pairs,
        dropped=(float((flat_x >= 0).sum()) - common) / n_pairs,
        moved=(common - kept) / n_pairs,
        kept=kept / n_pairs,
        overlap=float(rank_biased_overlap(flat_x, flat_y).mean()) if len(flat_x) else 1.0,
        histogram=tuple(np.bincount(bins, minlength=BINS).tolist()),
        winners=tuple((post, gain) for post, gain in gains[:TOP] if gain > 0),
        losers=tuple((post, gain) for post, gain in gains[::-1][:TOP] if gain < 0),
        samples=_samples(x, y, users, starts, whole=whole),
    )


def _name(change: Change, ids: Mapping[Any, int | str]) -> Change:
    """Return a change with posts as JSON has them; `ids` gives them by code."""
    return replace(
        change,
        winners=tuple((ids.get(post, post), gain) for post, gain in change.winners),
        losers=tuple((ids.get(post, post), gain) for post, gain in change.losers),
        samples=tuple(
            {**shown, **{side: [ids.get(post, post) for post in shown[side]] for side in ("a", "b")}}
            for shown in change.samples
        ),
    )


def _gains(x: Ints, y: Ints) -> list[tuple[int, int]]:
    """Return each post's change in the number of lists with it, largest gain first, ties to lower ids."""
    posts, place = np.unique(np.concatenate([x[x >= 0], y[y >= 0]]), return_inverse=True)
    n_before = int((x >= 0).sum())
    gain = np.bincount(place[n_before:], minlength=len(posts))
    gain -= np.bincount(place[:n_before], minlength=len(posts))
    order = np.lexsort((posts, -gain))
    return list(zip(posts[order].tolist(), gain[order].tolist(), strict=True))


def _samples(
    x: Ints, y: Ints, users: Sequence[int | str], starts: Sequence[int], *, whole: bool
) -> tuple[dict[str, Any], ...]:
    shown = (
        [(0, bucket) for bucket in range(x.shape[1])]
        if whole
        else [(u, 0) for u in range(len(users))][:USERS_SHOWN]
    )
    return tuple(
        {
            "user_id": users[u],
            "bucket": moment(starts[b]).isoformat(),
            "a": x[u, b][x[u, b] >= 0].tolist(),
            "b": y[u, b][y[u, b] >= 0].tolist(),
        }
        for u, b in shown
    )
