"""What a user liked and passed over a moment ago moves the posts of those topics in their own list.

What may live here: the counts of a session, and the order that follows from them. No store, no clock.
"""

from collections.abc import Iterable, Mapping
from math import log
from typing import NamedTuple

HALF_LIFE_S = 1800  # after which a like or a view counts half
KEPT_S = 6 * 3600  # after the latest event; by then nothing counts 1/4000
DOUBT = 1.0  # expected likes that are needed to believe a topic's half
STRENGTH = 1.0  # of the full way that a topic of e times the expected likes moves
PRIOR_LIKES, PRIOR_SHOWN = 1.0, 8.0  # a session of which nothing is known likes one post in eight

Counts = Mapping[str, tuple[float, float]]  # a topic to how many of its posts were liked and shown


class Session(NamedTuple):  # made in a third of a dataclass's time, for each request
    """What a user did lately, as what it does to their list.

    Attributes:
        shifts: A topic to how many places its posts rise; below 0 they fall. At most half of `n_places`.
        n_places: How many places a post may move.
    """

    shifts: Mapping[str, float]
    n_places: int

    @classmethod
    def of(cls, counts: Counts, n_places: int) -> "Session":
        """Weigh topics by how much more of each was liked than the whole session lets expect.

        >>> Session.of({"a": (2, 2), "b": (0, 98)}, 4).shifts
        {'a': 2.0, 'b': -2.0}
        """
        likes, shown = PRIOR_LIKES, PRIOR_SHOWN
        for liked, n in counts.values():
            likes, shown = likes + liked, shown + n
        rate, half, shifts = likes / shown, n_places / 2, {}
        for topic, (liked, n) in counts.items():
            shift = half * STRENGTH * log((liked + DOUBT) / (rate * n + DOUBT))
            shifts[topic] = half if shift > half else -half if shift < -half else shift
        return cls(shifts, n_places)

    @property
    def is_idle(self) -> bool:
        """Return whether no list can be moved: posts next to each other never differ by more than a place."""
        shifts = self.shifts.values()
        highest, lowest = max(shifts, default=0.0), min(shifts, default=0.0)
        return max(highest, 0.0) - min(lowest, 0.0) < 0.99  # 1, but for rounding


def read_counts(fields: Iterable[tuple[bytes, bytes]], at_s: int) -> Counts:
    """Read a user's session as `accept.lua` writes it, as of a time.

    A topic with an event later than the time is left out, and so is what cannot be read.

    >>> read_counts([(b"tech", b"1 4 1000"), (b"sport", b"1 1 9999")], 1000 + HALF_LIFE_S)
    {'tech': (0.5, 2.0)}
    """
    counts = {}
    for topic, text in fields:
        try:
            likes, shown, last_s = text.split()
            age_s = at_s - int(last_s)
            if age_s >= 0:
                share = 0.5 ** (age_s / HALF_LIFE_S)
                counts[topic.decode()] = float(likes) * share, float(shown) * share
        except ValueError:
            continue
    return counts


def reorder(topics: Iterable[str], session: Session) -> list[int]:
    """Return the places of a list, from 0 on, in the session's order.

    A post rises or falls by half of `n_places` at most, so none moves more than `n_places`, and the first k
    of the order are among the first k + `n_places` of the list.

    Args:
        topics: Of the list's posts, best first.
        session: What the user did lately.

    >>> reorder(["a", "b", "b", "c"], Session({"a": -1.0, "b": 1.0}, 2))
    [1, 0, 2, 3]
    """
    shifts = session.shifts
    moved = [place - shifts.get(topic, 0.0) for place, topic in enumerate(topics)]
    return sorted(range(len(moved)), key=moved.__getitem__)
