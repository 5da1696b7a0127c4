"""Which posts stand at the exploration places of a user's first page.

What may live here: pure functions over values that someone else has read. No store, no clock.
"""

from collections.abc import Collection
from itertools import compress

from api.contract.explore import Drawn, Exploration, Weights, draw, spell_salt
from api.contract.facets import Wanted
from api.contract.ids import canonical, quote
from api.contract.window import find_closed
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

    Only a look-up that sees all new posts can draw, and none from memory does: it does not know what the
    user saw.

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
    if not (found.sees_all or found.sees_new) or found.degraded:
        return ()
    shared = found.generation
    weights, new = shared.find_new(exploration, found.segment, is_listed=bool(found.own))
    gone = {*(new & found.hidden), *new.intersection(out)}
    if wanted is not None:
        gone |= new - wanted.posts
    if shared.windows:
        gone.update(find_closed(shared.windows, new, found.at_s))
    if gone:
        is_left = [post not in gone for post in weights.posts]
        weights = Weights(list(compress(weights.posts, is_left)), list(compress(weights.weights, is_left)))
    manifest = shared.manifest
    user = quote(canonical(found.user_id, manifest.user_ids))
    salt = spell_salt(manifest.variant, found.bucket_s, user)
    return tuple(draw(weights, exploration.n_places, salt, limit, taken))
