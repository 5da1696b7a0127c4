"""A user's feed at an hour as the API answers it, with all that the page shows beside it."""

from collections.abc import Mapping
from typing import Any

from api.contract.buckets import moment
from api.contract.ids import as_json
from api.feed import Answer, rungs
from api.found import Lookup
from batch.inspector.around import Shown, answer_wish, list_around, list_kept, show_beside
from batch.inspector.desk import Desk
from batch.inspector.history import read_likes
from batch.inspector.passed import list_passed
from batch.inspector.posts import read_posts
from batch.inspector.profile import describe_profile
from batch.inspector.wish import Wish
from batch.learn.chosen import describe_choice
from batch.publish.folder import GenerationFolder
from batch.publish.scores import read_scores

MOST_TOPICS = 100  # that are offered to choose from


def show_feed(desk: Desk, wish: Wish) -> dict[str, Any]:
    """Return all that the page shows of a user at a time; times are ISO 8601, posts as JSON has their ids.

    Raises:
        NothingServed: Nothing is published under the variant.
        LookupError: The generation to show, or to show beside it, is not in the store.
        NotFiltered: A filter names a column that the generation has no facets of.
    """
    shown = answer_wish(desk, wish)
    found, given = shown.inside.found, shown.given
    manifest, horizon = found.generation.manifest, found.generation.manifest.horizon
    around = list_around(desk, wish, shown)
    who = shown.kept.user_key(wish.user_id)
    scores = read_scores(GenerationFolder.of(desk.folder, manifest.generation), manifest, who, found.bucket_s)
    facets = (facet.partition("=") for facet in found.generation.facets.lists)
    return {
        "user_id": as_json(wish.user_id, manifest.user_ids),
        "is_known": bool(found.own) or found.segment is not None,
        "at": moment(wish.at_s).isoformat(),
        "bucket": moment(found.bucket_s).isoformat(),
        "label": given.label,
        "variant": wish.variant,
        "generation": manifest.generation,
        "is_named": wish.generation is not None,
        "as_of": moment(manifest.as_of_s).isoformat(),
        "chosen": describe_choice(manifest.metrics),
        "limit": wish.limit,
        "filters": [list(pair) for pair in wish.filters],
        "fields": [list(pair) for pair in wish.fields],
        "query": wish.query,
        "about": wish.about(wish.generation, wish.variant),
        "rung": given.rung,
        "underfill": given.underfill,
        "has_scores": bool(scores),
        "posts": _rows(desk, shown, around, scores),
        "passed": list_passed(desk, shown),
        "around": around,
        "beside": show_beside(desk, wish, shown),
        "kept": list_kept(desk, shown),
        "hours": [moment(start).isoformat() for start in horizon.starts],
        "step": horizon.starts.index(found.bucket_s),
        "width_s": horizon.width_s,
        "topics": sorted(value for column, _, value in facets if column == "topic")[:MOST_TOPICS],
        "profile": describe_profile(desk, shown),
        "likes": read_likes(desk, shown.kept, who, wish.at_s),
    }


def _rows(
    desk: Desk, shown: Shown, around: Mapping[str, Mapping[str, Any]], scores: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the feed, a row a post: its rank, text, score, rung, marks, and its rank at the other times."""
    given, found = shown.given, shown.inside.found
    ranks = {name: {post: k for k, post in enumerate(at["posts"], 1)} for name, at in around.items()}
    drawn = {post: propensity for _, post, propensity in given.drawn}
    pins = dict(found.pins)
    texts = read_posts(desk, found.generation.manifest.generation, given.posts)
    return [
        {
            "rank": rank,
            **post,
            "score": scores.get(post["key"]),
            "rung": rung,
            "propensity": drawn.get(number),
            "pinned_to": moment(to_s).isoformat()
            if rung == "pinned" and (to_s := pins[number].to_s) is not None
            else None,
            "pinned_at": _find_pinning(shown, post["key"]) if rung == "pinned" else None,
            "ranks": {name: found_at.get(post["id"]) for name, found_at in ranks.items()},
        }
        for rank, (number, post, rung) in enumerate(
            zip(given.posts, texts, rungs_of(found, given), strict=True), 1
        )
    ]


def _find_pinning(shown: Shown, post_key: str) -> str | None:
    """Return when a post was pinned last; None where that was not noted."""
    times = [at_s for at_s, post, pin, _ in shown.history.pinnings if pin is not None and post == post_key]
    return moment(max(times)).isoformat() if times else None


def rungs_of(found: Lookup, given: Answer) -> list[str]:
    """Return what each post of an answer came from: a rung, or `pinned` or `explored`."""
    rung_of: dict[int, str] = {}
    own = found.own if given.wanted is None else [post for post in found.own if post in given.wanted.posts]
    for rung, ranked in rungs(found, own, given.limit, given.wanted):
        for post in ranked:
            rung_of.setdefault(post, rung)
    special = {post: "explored" for _, post, _ in given.drawn} | dict.fromkeys(given.pinned, "pinned")
    return [special.get(post) or rung_of[post] for post in given.posts]
