"""What a user's session moves on a first page of their own list.

What may live here: pure functions over values that someone else has read. No store, no clock.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from api.contract.window import is_closed
from api.found import Lookup
from api.session import Session, reorder


class Moved(NamedTuple):
    """What was moved.

    Attributes:
        raised: Posts that stand further up than without the session, by place, each with by how many places.
        pulled: Posts of the page from behind where the next page begins, which must leave them out.
        next_start: Where that is in the whole order: at the first post that another one was taken for.
    """

    raised: tuple[tuple[int, int], ...]
    pulled: tuple[int, ...]
    next_start: int | None


def overlay(
    found: Lookup,
    session: Session,
    own: Sequence[int],
    chosen: list[int],
    out: Collection[int],
    next_start: int | None,
) -> Moved:
    """Put a page's posts of the own list into the session's order, in place.

    Posts that would follow on the next page take part, as many as a post may move places. So the own list is
    answered in another order and nothing else is: no post comes in, none is lost.

    Args:
        found: What the store knows of the user now.
        session: What the user did lately.
        own: The user's list, or what a filter leaves of it.
        chosen: The page from the begin of the whole order on, without what stands at places of its own.
        out: The numbers of posts that may not be moved, since they are not wanted or stand elsewhere.
        next_start: Where the next page would begin.
    """
    shared, hidden, at_s = found.generation, found.hidden, found.at_s
    could: list[tuple[int, int]] = []  # place in the whole order, post
    for place, post in enumerate(dict.fromkeys(own)):
        if post in hidden or post in out or post not in shared.posts:
            continue
        if shared.windows and is_closed(shared.windows, post, at_s):
            continue
        could.append((place, post))
        if len(could) == len(chosen) + session.n_places:
            break
    order = reorder([shared.topic_of(post) for _, post in could], session)
    page, left = order[: len(chosen)], order[len(chosen) :]
    chosen[: len(page)] = [could[k][1] for k in page]
    raised = tuple([(could[k][1], k - place) for place, k in enumerate(page) if k > place])
    if not left or min(left) >= len(page):  # none of the page had to wait
        return Moved(raised, (), next_start)
    next_start = could[min(left)][0]
    return Moved(raised, tuple([could[k][1] for k in page if could[k][0] > next_start]), next_start)
