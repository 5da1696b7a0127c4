"""Why a post is in a user's list at a time, or is not, as the command says it, and where the feed has it."""

from dataclasses import asdict
from typing import Any

from batch.inspector.around import answer_wish
from batch.inspector.desk import Desk
from batch.inspector.feed import rungs_of
from batch.inspector.posts import read_posts
from batch.inspector.wish import Wish
from batch.jobs.why import find_why
from batch.publish.explain.lines import list_lines


def show_why(desk: Desk, wish: Wish, post_id: str) -> dict[str, Any]:
    """Return all that the page shows of one post in one user's feed.

    `why` is what the command's `--json` says, `lines` are the parts to draw; `rank` and `rung` say where the
    feed of so many posts has it, which need not be its place in the list: seen posts and pins come between.

    Raises:
        NothingServed: Nothing is published under the variant.
    """
    settings = desk.settings.model_copy(update={"variant": wish.variant})
    told = find_why(desk.client, settings, wish.user_id, post_id, wish.at_s, desk.read_kept, wish.generation)
    shown = answer_wish(desk, wish)
    kept, inside, given = shown.kept, shown.inside, shown.given
    number = kept.shared.number_of(str(told.post_id))
    rank = given.posts.index(number) + 1 if number is not None and number in given.posts else None
    is_there = number is not None and number in kept.shared.posts
    near = [kept.shared.number_of(str(post)) for post, _ in told.evidence]
    numbers = [one for one in (number if is_there else None, *near) if one is not None]
    texts = read_posts(desk, told.generation, numbers)
    return {
        "why": told.values(),
        "variant": wish.variant,
        "limit": wish.limit,
        "query": wish.query,
        "rank": rank,
        "rung": None if rank is None else rungs_of(inside.found, given)[rank - 1],
        "post": texts[0] if is_there else None,
        "lines": None if told.parts is None else asdict(list_lines(told.parts)),
        "liked": texts[1:],
    }
