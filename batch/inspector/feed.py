"""A user's feed at an hour as the API answers it, what it passed over, and the hours and lists beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from api.contract.buckets import DAY_S, moment
from api.contract.ids import as_json
from api.contract.window import is_closed
from api.feed import Answer, answer, rungs
from api.found import Lookup
from batch.inspector.desk import Desk
from batch.inspector.history import read_likes
from batch.inspector.posts import read_posts
from batch.jobs.inspect import Inspection, find_kept, look_into
from batch.learn.chosen import describe_choice
from batch.publish.folder import GenerationFolder
from batch.publish.gate.overlap import rank_biased_overlap
from batch.publish.replay.history import History
from batch.publish.scores import read_scores

MOST = 100  # posts of a feed, as the API has it


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be shown.

    Attributes:
        user_id: Whose feed.
        at_s: When, epoch seconds.
        limit: Posts of it.
        variant: Under which name it is served.
        beside: Another variant, or a generation's number, to show next to it; empty: none.
    """

    user_id: str
    at_s: int
    limit: int
    variant: str
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One feed: what it was answered from, and the answer."""

    inside: Inspection
    given: Answer

    @property
    def post_ids(self) -> tuple[int | str, ...]:
        """Return its posts, best first, as JSON has them."""
        return self.given.post_ids


def show_feed(desk: Desk, wish: Wish) -> dict[str, Any]:
    """Return all that the page shows of a user at a time; times are ISO 8601, posts as JSON has their ids.

    Raises:
        NothingServed: Nothing is published under the variant.
        LookupError: The generation to show beside it is not in the store.
    """
    kept, history = find_kept(desk.client, desk.keys, wish.variant, wish.at_s, desk.read_kept)
    shown = _show(look_into(desk.client, desk.keys, kept, history, wish.user_id, wish.at_s), wish.limit)
    found = shown.inside.found
    manifest, horizon = found.generation.manifest, found.generation.manifest.horizon
    around = {
        name: _at(desk, wish, shown, step_s)
        for name, step_s in (
            ("before", -horizon.width_s),
            ("after", horizon.width_s),
            ("yesterday", -DAY_S),
        )
    }
    beside = _beside(desk, wish, shown, history) if wish.beside else None
    who = kept.user_key(wish.user_id)
    scores = read_scores(GenerationFolder.of(desk.folder, manifest.generation), manifest, who, found.bucket_s)
    step = horizon.starts.index(found.bucket_s)
    return {
        "user_id": as_json(wish.user_id, manifest.user_ids),
        "is_known": bool(found.own) or found.segment is not None,
        "at": moment(wish.at_s).isoformat(),
        "bucket": moment(found.bucket_s).isoformat(),
        "label": shown.given.label,
        "variant": wish.variant,
        "generation": manifest.generation,
        "as_of": moment(manifest.as_of_s).isoformat(),
        "chosen": describe_choice(manifest.metrics),
        "limit": wish.limit,
        "rung": shown.given.rung,
        "underfill": shown.given.underfill,
        "has_scores": bool(scores),
        "posts": _rows(desk, shown, around, scores),
        "passed": _passed(desk, shown),
        "around": around,
        "beside": beside,
        "hours": [moment(start).isoformat() for start in horizon.starts],
        "step": step,
        "width_s": horizon.width_s,
        "profile": _profile(shown),
        "likes": read_likes(desk, kept, who, wish.at_s),
    }


def _show(inside: Inspection, limit: int) -> Shown:
    return Shown(inside, answer(inside.found, limit))


def _at(desk: Desk, wish: Wish, shown: Shown, step_s: int) -> dict[str, Any]:
    """Return the feed so many seconds later, and how it differs from the one shown."""
    at_s = wish.at_s + step_s
    kept, history = find_kept(desk.client, desk.keys, wish.variant, at_s, desk.read_kept)
    other = _show(look_into(desk.client, desk.keys, kept, history, wish.user_id, at_s), wish.limit)
    return {
        "at": moment(at_s).isoformat(),
        "generation": kept.shared.manifest.generation,
        "posts": list(other.post_ids),
        **compare_feeds(shown.post_ids, other.post_ids),
    }


def _beside(desk: Desk, wish: Wish, shown: Shown, history: History) -> dict[str, Any]:
    """Return the feed that another variant, or a generation whatever is served, has for the same moment."""
    if wish.beside.isdecimal():
        kept = desk.read_kept(desk.client, desk.keys, int(wish.beside))
    else:
        kept, history = find_kept(desk.client, desk.keys, wish.beside, wish.at_s, desk.read_kept)
    inside = look_into(desk.client, desk.keys, kept, history, wish.user_id, wish.at_s)
    other = _show(inside, wish.limit)
    places = {post: place for place, post in enumerate(shown.post_ids, 1)}
    texts = read_posts(desk, kept.shared.manifest.generation, other.given.posts)
    return {
        "name": wish.beside,
        "generation": kept.shared.manifest.generation,
        "variant": kept.shared.manifest.variant,
        "as_of": moment(kept.shared.manifest.as_of_s).isoformat(),
        "rung": other.given.rung,
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


def _rows(
    desk: Desk, shown: Shown, around: Mapping[str, Mapping[str, Any]], scores: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the feed, a row a post: its rank, text, score, rung, marks, and its rank at the other times."""
    given, found = shown.given, shown.inside.found
    ranks = {name: {post: k for k, post in enumerate(at["posts"], 1)} for name, at in around.items()}
    drawn = {post: propensity for _, post, propensity in given.drawn}
    manifest = found.generation.manifest
    texts = read_posts(desk, manifest.generation, given.posts)
    return [
        {
            "rank": rank,
            **post,
            "score": scores.get(post["key"]),
            "rung": rung,
            "propensity": drawn.get(number),
            "ranks": {name: found_at.get(post["id"]) for name, found_at in ranks.items()},
        }
        for rank, (number, post, rung) in enumerate(
            zip(given.posts, texts, rungs_of(found, given), strict=True), 1
        )
    ]


def rungs_of(found: Lookup, given: Answer) -> list[str]:
    """Return what each post of an answer came from: a rung, or `pinned` or `explored`."""
    rung_of: dict[int, str] = {}
    for rung, ranked in rungs(found, found.own, given.limit, None):
        for post in ranked:
            rung_of.setdefault(post, rung)
    special = {post: "explored" for _, post, _ in given.drawn} | dict.fromkeys(given.pinned, "pinned")
    return [special.get(post) or rung_of[post] for post in given.posts]


def _passed(desk: Desk, shown: Shown) -> list[dict[str, Any]]:
    """Return what stands in the user's own list and was left out, in the order of the list, and why."""
    inside, found = shown.inside, shown.inside.found
    generation, windows = found.generation, found.generation.windows
    down = {*inside.taken_down}
    out = []
    for place, (number, post_id) in enumerate(zip(found.own, inside.list, strict=True), 1):
        if number in found.hidden:
            why, at_s = "seen", inside.seen.get(post_id)
        elif post_id in down or number not in generation.posts:
            why, at_s = "taken_down", None
        elif is_closed(windows, number, found.at_s):
            why, at_s = "closed", None
        else:
            continue
        out.append((place, number, why, at_s))
    texts = read_posts(desk, generation.manifest.generation, [number for _, number, _, _ in out])
    return [
        {"place": place, **text, "why": why, "when": None if at_s is None else moment(at_s).isoformat()}
        for (place, _, why, at_s), text in zip(out, texts, strict=True)
    ]


def _profile(shown: Shown) -> dict[str, Any]:
    """Return what the store knows of a user: their segment, by its columns, and how much they have seen."""
    inside, at_s = shown.inside, shown.inside.found.at_s
    seen = [first_s for first_s in inside.seen.values() if first_s <= at_s]
    parts = (part.partition("=") for part in (inside.found.segment or "").split(",") if part)
    return {
        "segment": inside.found.segment,
        "columns": {name: value for name, _, value in parts},
        "seen": len(seen),
        "first_seen": moment(min(seen)).isoformat() if seen else None,
        "last_seen": moment(max(seen)).isoformat() if seen else None,
        "list": len(inside.list),
        "list_ttl_s": inside.list_ttl_s,
    }
