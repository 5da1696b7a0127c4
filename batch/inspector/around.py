"""Feeds beside a feed: of the hours around it, of yesterday, of another variant or generation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from api.contract.buckets import DAY_S, moment
from api.feed import Answer, answer
from batch.inspector.desk import Desk
from batch.inspector.posts import read_posts
from batch.inspector.wish import Wish
from batch.jobs.inspect import Inspection, find_kept, look_into, with_topics
from batch.publish.gate.overlap import rank_biased_overlap
from batch.publish.replay.history import History
from batch.publish.replay.kept import Kept

MOST_KEPT = 12  # generations that a page leads to


@dataclass(frozen=True, slots=True)
class Shown:
    """One feed: the generation that it is of, what it was answered from, and the answer."""

    kept: Kept
    history: History
    inside: Inspection
    given: Answer

    @property
    def post_ids(self) -> tuple[int | str, ...]:
        """Return its posts, best first, as JSON has them."""
        return self.given.post_ids


def answer_wish(desk: Desk, wish: Wish) -> Shown:
    """Return the feed that is asked for.

    Raises:
        NothingServed: Nothing is published under the variant.
        GenerationLost: The generation that is named is not in the store.
        NotFiltered: A filter names a column that the generation has no facets of.
    """
    kept, history = find_kept(
        desk.client, desk.keys, wish.variant, wish.at_s, desk.read_kept, wish.generation
    )
    inside = look_into(desk.client, desk.keys, kept, history, wish.user_id, wish.at_s)
    inside = replace(inside, found=with_topics(desk.client, desk.keys, inside.found, wish.wanted))
    wanted = None if wish.wanted is None else kept.shared.find_wanted(wish.wanted)
    excluded = kept.shared.numbers_of(wish.excluded)
    return Shown(kept, history, inside, answer(inside.found, wish.limit, excluded, wanted=wanted))


def list_around(desk: Desk, wish: Wish, shown: Shown) -> dict[str, dict[str, Any]]:
    """Return the feeds of the buckets before and after and of a day before, and how they differ."""
    width_s = shown.kept.shared.manifest.width_s
    steps = {"before": -width_s, "after": width_s, "yesterday": -DAY_S}
    return {name: _at(desk, wish, shown, step_s) for name, step_s in steps.items()}


def _at(desk: Desk, wish: Wish, shown: Shown, step_s: int) -> dict[str, Any]:
    other = answer_wish(desk, replace(wish, at_s=wish.at_s + step_s))
    return {
        "at": moment(wish.at_s + step_s).isoformat(),
        "generation": other.kept.shared.manifest.generation,
        "posts": list(other.post_ids),
        **compare_feeds(shown.post_ids, other.post_ids),
    }


def list_kept(desk: Desk, shown: Shown) -> list[dict[str, Any]]:
    """Return what was served when under the variant and is still kept, newest first: where the slider ends.

    `at` is a time that it answered: when it was served first, or of one made for the past its first second.
    """
    manifests = desk.store.read_sealed()
    times = [(one.from_s, one.generation) for one in shown.history.promotions]
    times += [(from_s, number) for from_s, number in shown.history.made if isinstance(number, int)]
    first: dict[int, int] = {}
    for from_s, number in sorted(times):
        first.setdefault(number, from_s)
    rows = [
        {
            "generation": number,
            "at": moment(from_s).isoformat(),
            "as_of": moment(manifests[number].as_of_s).isoformat(),
        }
        for number, from_s in sorted(first.items(), key=lambda row: row[::-1], reverse=True)
        if number in manifests
    ]
    return rows[:MOST_KEPT]


def show_beside(desk: Desk, wish: Wish, shown: Shown) -> dict[str, Any] | None:
    """Return the feed that another variant, or a generation whatever is served, has for the same moment."""
    if not wish.beside:
        return None
    number = int(wish.beside) if wish.beside.isdecimal() else None
    variant = wish.variant if number is not None else wish.beside
    other = answer_wish(desk, replace(wish, generation=number, variant=variant))
    places = {post: place for place, post in enumerate(shown.post_ids, 1)}
    manifest = other.kept.shared.manifest
    texts = read_posts(desk, manifest.generation, other.given.posts)
    return {
        "name": wish.beside,
        "generation": manifest.generation,
        "variant": manifest.variant,
        "as_of": moment(manifest.as_of_s).isoformat(),
        "rung": other.given.rung,
        "about": wish.about(number, variant),
        "posts": [
            {"rank": rank, **post, "place": places.get(post["id"])} for rank, post in enumerate(texts, 1)
        ],
        **compare_feeds(shown.post_ids, other.post_ids),
    }


def compare_feeds(ours: Sequence[int | str], others: Sequence[int | str]) -> dict[str, Any]:
    """Return how many posts two feeds have in common, which came and went, and their rank-biased overlap.

    `came` are those that the other one has and ours has not.

    >>> compare_feeds([1, 2, 3], [2, 9, 3])["came"], compare_feeds([1], [1])["overlap"]
    ([9], 1.0)
    """
    codes = {post: code for code, post in enumerate(dict.fromkeys([*ours, *others]))}
    rows = [np.array([[codes[post] for post in feed]], np.int64) for feed in (ours, others)]
    width = max(len(ours), len(others), 1)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1])), constant_values=-1) for row in rows]
    return {
        "common": len({*ours} & {*others}),
        "came": [post for post in others if post not in {*ours}],
        "went": [post for post in ours if post not in {*others}],
        "overlap": round(float(rank_biased_overlap(*padded)[0]), 4),
    }
