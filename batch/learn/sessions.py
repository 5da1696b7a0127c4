"""Sessions: a user's impressions without a pause, and each one's place in its session."""

import numpy as np

from batch.arrays import Ints, Ints32

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
