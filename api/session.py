"""What a user liked and passed over a moment ago moves the posts of those topics in their own list.

What may live here: the counts of a session, and the order that follows from them. No store, no clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log

HALF_LIFE_S = 1800  # after which a like or a view counts half
KEPT_S = 6 * 3600  # after the latest event; by then nothing counts 1/4000
DOUBT = 1.0  # expected likes that are needed to believe a topic's half
STRENGTH = 1.0  # of the full way that a topic of e times the expected likes moves
PRIOR_LIKES, PRIOR_SHOWN = 1.0, 8.0  # a session of which nothing is known likes one post in eight


@dataclass(frozen=True, slots=True)
class Session:
    """What a user did lately.

    Attributes:
        counts: A topic to how many of its posts were liked and shown, older ones counting less.
        n_places: How many places a post may move.
    """

    counts: Mapping[str, tuple[float, float]]
    n_places: int


def read_session(fields: Iterable[tuple[bytes, bytes]], at_s: int, n_places: int) -> Session | None:
    """Read a user's session as `accept.lua` writes it, as of a time; None where nothing happened.

    A topic with an event later than the time is left out, and so is what cannot be read.

    >>> read_session([(b"tech", b"1 4 1000"), (b"sport", b"1 1 9999")], 1000 + HALF_LIFE_S, 5)
    Session(counts={'tech': (0.5, 2.0)}, n_places=5)
    """
    counts = {}
    for topic, text in fields:
        try:
            likes, shown, last_s = map(float, text.split())
            if last_s <= at_s:
                share = 0.5 ** ((at_s - last_s) / HALF_LIFE_S)
                counts[topic.decode()] = likes * share, shown * share
        except ValueError:
            continue
    return Session(counts, n_places) if counts else None


def weigh_topics(counts: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Return how far each topic moves of the way that it may: from −1, down, to 1, up.

    It is by how much more of the topic was liked than the whole session lets expect.

    >>> {topic: round(weight, 2) for topic, weight in weigh_topics({"a": (2, 4), "b": (0, 4)}).items()}
    {'a': 0.54, 'b': -0.56}
    """
    likes = PRIOR_LIKES + sum(liked for liked, _ in counts.values())
    rate = likes / (PRIOR_SHOWN + sum(shown for _, shown in counts.values()))
    return {
        topic: max(-1.0, min(1.0, STRENGTH * log((liked + DOUBT) / (rate * shown + DOUBT))))
        for topic, (liked, shown) in counts.items()
    }


def reorder(topics: Sequence[str], session: Session) -> list[int]:
    """Return the places of a list, from 0 on, in the session's order.

    A post's place is raised or lowered by half of `n_places` at most, so none moves more than `n_places`, and
    the first k of the order are among the first k + `n_places` of the list.

    Args:
        topics: Of the list's posts, best first.
        session: What the user did lately.

    >>> reorder(["a", "b", "b", "c"], Session({"a": (0, 9), "b": (9, 9)}, 2))
    [1, 0, 2, 3]
    """
    half, weights = session.n_places / 2, weigh_topics(session.counts)
    moved = [place - half * weights.get(topic, 0.0) for place, topic in enumerate(topics)]
    return sorted(range(len(moved)), key=moved.__getitem__)
