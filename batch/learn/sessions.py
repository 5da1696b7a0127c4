"""Sessions: a user's impressions without a pause, each one's place in its session, and pairs inside one."""

import numpy as np

from batch.arrays import Bools, Floats, Ints, Ints32

PAUSE_S = 30 * 60  # StartML's users pause 10-180 s inside a session and days between them


def positions(user: Ints32, time: Ints) -> tuple[Ints, Ints]:
    """Number sessions and the impressions inside them.

    Args:
        user: int32 (n,). Whose impression, any order.
        time: int64 (n,). Epoch seconds; ties keep the order given.

    Returns:
        session int64 (n,), 0.. by user and time; position int64 (n,), 0.. inside the session.

    >>> positions(np.array([7, 7, 7]), np.array([0, 60, 9000]))
    (array([0, 0, 1]), array([0, 1, 0]))
    """
    order = np.lexsort((np.arange(len(user)), time, user))
    new = np.ones(len(user), np.bool_)
    new[1:] = (np.diff(user[order]) != 0) | (np.diff(time[order]) > PAUSE_S)
    number = np.cumsum(new) - 1
    begin = np.flatnonzero(new)
    session, position = np.empty(len(user), np.int64), np.empty(len(user), np.int64)
    session[order] = number
    position[order] = np.arange(len(user)) - begin[number] if len(user) else 0
    return session, position


def pairs_won(session: Ints, scores: Floats, liked: Bools) -> tuple[Floats, Floats]:
    """Count each session's pairs of a liked and an unliked row: those in order, and all of them.

    Args:
        session: int64 (n,). Numbers 0..sessions-1 in any order; each occurs.
        scores: float64 (n,). Higher is better; a tie is half a pair in order.
        liked: bool (n,).

    Returns:
        float64 (sessions,) each.

    >>> pairs_won(np.array([0, 0, 0]), np.array([3.0, 1.0, 2.0]), np.array([True, False, True]))
    (array([2.]), array([2.]))
    """
    ranks = np.empty(len(scores))
    by_score = np.argsort(scores)
    value = np.empty(len(scores), np.int64)
    value[by_score] = np.cumsum(_differs(scores[by_score]))
    key = session * (len(scores) + 1) + value  # whole numbers sort several times as fast as two columns
    order = np.argsort(key)
    tie = np.cumsum(_differs(key[order])) - 1
    place = np.arange(len(scores), dtype=np.float64)
    ranks[order] = (np.bincount(tie, place) / np.bincount(tie))[tie]
    sizes = np.bincount(session)
    ranks -= (np.cumsum(sizes) - sizes)[session]
    likes = np.bincount(session, liked, len(sizes))
    won = np.bincount(session, ranks * liked, len(sizes)) - likes * (likes - 1) / 2
    return won, likes * (sizes - likes)


def _differs(ordered: Floats | Ints) -> Bools:
    """Return bool (n,): which differ from the one before; the first does."""
    new = np.ones(len(ordered), np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    return new
