"""Which posts stand at the exploration places of a user's first page.

What may live here: pure functions over values that someone else has read. No store, no clock.
"""

from collections.abc import Collection

from api.contract.explore import Drawn, Exploration, Weights, draw, spell_salt
from api.contract.facets import Wanted
from api.contract.ids import canonical, quote
from api.contract.window import is_closed
from api.found import Lookup


def draw_places(
    found: Lookup,
    exploration: Exploration,
    limit: int,
    out: Collection[int],
    wanted: Wanted | None,
    taken: Collection[int],
) -> tuple[Drawn, ...]:
    """Draw a post for each exploration place of a first page, none twice.

    Only a look-up that sees all can draw, and none from memory does: it would not know what the user saw.

    Args:
        found: What the store knows of the user at the time.
        exploration: Which places they are, and what may be drawn.
        limit: The page's last place.
        out: The numbers of posts that may not stand on it.
        wanted: The posts that a filter leaves; None where there is none.
        taken: Places of pinned posts, which stay theirs.

    Returns:
        What was drawn, by place; the propensities are exact among the posts that could be.
    """
    if not found.sees_all or found.degraded:
        return ()
    shared, weights = found.generation, exploration.find(found.segment, is_listed=bool(found.own))
    hidden, posts, windows, at_s = found.hidden, shared.posts, shared.windows, found.at_s
    allowed = posts if wanted is None else wanted.posts
    could = [
        place
        for place, post in enumerate(weights.posts)
        if post not in hidden
        and post not in out
        and post in posts
        and post in allowed
        and not (windows and is_closed(windows, post, at_s))
    ]
    left = Weights([weights.posts[place] for place in could], [weights.weights[place] for place in could])
    manifest = shared.manifest
    user = quote(canonical(found.user_id, manifest.user_ids))
    salt = spell_salt(manifest.variant, found.bucket_s, user)
    return tuple(draw(left, exploration.n_places, salt, limit, taken))
