"""How the topics of two generations' lists differ: of each its share of the places in one and the other."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from api.contract.codec import decode
from api.contract.facets import TOPIC, read_column
from api.contract.manifest import Manifest
from batch.arrays import Ints
from batch.publish.ledger.ledger import Ledger
from batch.store import read

MOST = 20  # topics that are told


@dataclass(frozen=True, slots=True)
class Shift:
    """A topic's share of all places in lists, 0..1, in generation `a` and in `b`."""

    topic: str
    a: float
    b: float


def read_topics(ledger: Ledger, manifest: Manifest) -> dict[str, Ints]:
    """Return the numbers of each topic's posts; empty where the generation does not filter by topics."""
    if TOPIC not in manifest.filter_by:
        return {}
    found = read.fields(ledger.client, ledger.keys.facets(manifest.generation))
    facets = {facet.decode(): text for facet, text in found.items()}
    return {
        facet.partition("=")[2]: np.array(decode(text), np.int64)
        for facet, text in facets.items()
        if read_column(facet) == TOPIC
    }


def find_shifts(x: Ints, y: Ints, of_x: Mapping[str, Ints], of_y: Mapping[str, Ints]) -> list[Shift]:
    """Return how topics' shares of the places in lists differ, the largest difference first.

    Args:
        x: int64, any shape. Numbers of posts in lists of the older generation; -1 fills.
        y: int64, any shape. Those of the newer one.
        of_x: Posts of each topic in the older generation; a post of several topics counts for each.
        of_y: Those of the newer one.

    Returns:
        At most MOST; ties go to the topic whose name is lower. Empty where a generation has no topics.

    >>> find_shifts(np.array([1, 2, -1]), np.array([1, 3]), {"a": np.array([1, 2])}, {"a": np.array([1])})
    [Shift(topic='a', a=1.0, b=0.5)]
    """
    if not of_x or not of_y:
        return []
    shares = [_shares(places, of) for places, of in ((x, of_x), (y, of_y))]
    shifts = [Shift(topic, *(of.get(topic, 0.0) for of in shares)) for topic in {**of_x, **of_y}]
    return sorted(shifts, key=lambda one: (-abs(one.b - one.a), one.topic))[:MOST]


def _shares(places: Ints, of: Mapping[str, Ints]) -> dict[str, float]:
    posts, n = np.unique(places[places >= 0], return_counts=True)
    whole = max(int(n.sum()), 1)
    return {topic: float(n[np.isin(posts, own)].sum()) / whole for topic, own in of.items()}
