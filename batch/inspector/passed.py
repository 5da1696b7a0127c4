"""What stands in a user's own list and is not shown: seen, taken down, closed, excluded or filtered."""

from collections.abc import Iterator
from typing import Any

from api.contract.buckets import moment
from api.contract.window import is_closed
from batch.inspector.around import Shown
from batch.inspector.desk import Desk
from batch.inspector.posts import read_posts


def list_passed(desk: Desk, shown: Shown) -> list[dict[str, Any]]:
    """Return what was left out, in the order of the list: why, and when it was seen or taken down.

    A closed post's `when` is when its window opens, or when it closed.
    """
    out = list(_find_passed(shown))
    texts = read_posts(desk, shown.kept.shared.manifest.generation, [number for _, number, _, _ in out])
    return [
        {"place": place, **text, "why": why, "when": None if at_s is None else moment(at_s).isoformat()}
        for (place, _, why, at_s), text in zip(out, texts, strict=True)
    ]


def _find_passed(shown: Shown) -> Iterator[tuple[int, int, str, int | None]]:
    """Yield place, number, why and when of each."""
    inside, found, wanted = shown.inside, shown.inside.found, shown.given.wanted
    generation, down = found.generation, {*shown.inside.taken_down}
    for place, (number, post_id) in enumerate(zip(found.own, inside.list, strict=True), 1):
        if number in found.hidden:
            yield place, number, "seen", inside.seen.get(post_id)
        elif post_id in down or number not in generation.posts:
            yield place, number, "taken_down", _find_fall(shown, post_id)
        elif is_closed(generation.windows, number, found.at_s):
            from_s, to_s = generation.windows[number]
            yield place, number, "closed", from_s if from_s is not None and found.at_s < from_s else to_s
        elif number in shown.given.excluded:
            yield place, number, "excluded", None
        elif wanted is not None and number not in wanted.posts:
            yield place, number, "filtered", None


def _find_fall(shown: Shown, post_id: int | str) -> int | None:
    """Return when a post was taken down last; None where that was not noted."""
    notes = shown.history.takedowns
    times = [at_s for at_s, post, is_down, _ in notes if is_down and shown.kept.name_post(post) == post_id]
    return max(times, default=None)
