"""What a user liked and passed over a moment ago moves the posts of those topics in their own list.

What may live here: the weights of a session's topics, and the order that follows. No store, no clock.
"""

from collections.abc import Iterable, Mapping
from math import log
from typing import NamedTuple

import orjson

HALF_LIFE_S = 1800  # after which a like, a view, or the session moves half
KEPT_S = 6 * 3600  # after the latest event; by then nothing moves a place
DOUBT = 1.0  # expected likes that are needed to believe a topic's half
PRIOR_LIKES, PRIOR_SHOWN = 1.0, 8.0  # a session of which nothing is known likes one post in eight

Counts = Mapping[str, tuple[float, float]]  # a topic to how many of its posts were liked and shown


class Session(NamedTuple):  # made in a third of a dataclass's time, for each request
    """What a user did lately, as what it does to their list.

    Attributes:
        weights: A topic to the share of the way that its posts rise, from -1 to 1; below 0 they fall.
        way: How many places that is: half of `n_places` at most.
        n_places: How many places a post may move; where it is read, no more than these weights can move one.
    """

    weights: Mapping[str, float]
    way: float
    n_places: int

    @classmethod
    def of(cls, counts: Counts, n_places: int) -> "Session":
        """Return a session as of its latest event.

        >>> Session.of({"a": (2, 2), "b": (0, 98)}, 4)
        Session(weights={'a': 1.0, 'b': -1.0}, way=2.0, n_places=4)
        """
        return cls(weigh(counts), n_places / 2, n_places)


def weigh(counts: Counts) -> Mapping[str, float]:
    """Weigh topics by how much more of each was liked than the whole session lets expect, as `accept.lua`.

    A topic of e times the expected likes goes the full way.

    >>> {topic: round(weight, 3) for topic, weight in weigh({"a": (1, 2), "b": (0, 2)}).items()}
    {'a': 0.405, 'b': -0.288}
    """
    likes, shown = PRIOR_LIKES, PRIOR_SHOWN
    for liked, n in counts.values():
        likes, shown = likes + liked, shown + n
    rate = likes / shown
    weights = {topic: log((liked + DOUBT) / (rate * n + DOUBT)) for topic, (liked, n) in counts.items()}
    return {topic: min(max(weight, -1.0), 1.0) for topic, weight in weights.items()}


def read_session(text: bytes, at_s: int, n_places: int) -> Session | None:
    """Read what `accept.lua` weighed last, as of a time; None where no list would be moved.

    That is so for a time before the latest event, for a text that cannot be read, and where posts next to
    each other never differ by more than a place.

    >>> read_session(b'[1000,{"tech":0.5,"sport":-0.25}]', 1000 + HALF_LIFE_S, 8)
    Session(weights={'tech': 0.5, 'sport': -0.25}, way=2.0, n_places=2)
    """
    try:
        latest_s, weights = orjson.loads(text)
        age_s, of_all = at_s - latest_s, weights.values()
        lowest, highest = min(of_all), max(of_all)
        if age_s < 0 or lowest < -1 or highest > 1:
            return None
        way = n_places / 2 * 0.5 ** (age_s / HALF_LIFE_S)
        spread = (highest if highest > 0 else 0.0) - (lowest if lowest < 0 else 0.0)
    except (ValueError, TypeError, AttributeError):
        return None
    if way * spread < 0.99:  # 1, but for rounding
        return None
    return Session(weights, way, min(n_places, int(way * spread) + 1))


def reorder(topics: Iterable[str], session: Session) -> list[int]:
    """Return the places of a list, from 0 on, in the session's order.

    A post rises or falls by half of `n_places` at most, so none moves more than `n_places`, and the first k
    of the order are among the first k + `n_places` of the list.

    Args:
        topics: Of the list's posts, best first.
        session: What the user did lately.

    >>> reorder(["a", "b", "b", "c"], Session({"a": -1.0, "b": 1.0}, 1.0, 2))
    [1, 0, 2, 3]
    """
    weight_of, way = session.weights.get, session.way
    moved = [place - way * weight_of(topic, 0.0) for place, topic in enumerate(topics)]
    return sorted(range(len(moved)), key=moved.__getitem__)
