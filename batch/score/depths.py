"""How deep candidates are sought: over all posts, or topic by topic where topics are capped."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batch.score.caps import Caps
from batch.score.tables.sets import Layout

SPARE = 0.2  # of a capped list's depth: so many more candidates are found before it is known whether they do


@dataclass(frozen=True, slots=True)
class Depths:
    """Parts of the posts, and how many of each part's best are candidates.

    Attributes:
        tiles: int32 (tiles,). The tiles, part by part.
        slot: int32 (tiles,). Where each tile stands in `tiles`.
        start: int64 (parts + 1,). Part `p` has the tiles from place `start[p]` to `start[p + 1]` of `tiles`.
        most: int64 (parts,). Candidates of each part, at most, ties aside.
        cut: Of the candidates of all parts together, so many of the best; 0: all.
        is_enough: Whether every list can be made of these, whatever it takes.
    """

    tiles: npt.NDArray[np.int32]
    slot: npt.NDArray[np.int32]
    start: npt.NDArray[np.int64]
    most: npt.NDArray[np.int64]
    cut: int
    is_enough: bool

    @classmethod
    def of(
        cls, part: npt.NDArray[np.int32], most: npt.NDArray[np.int64], cut: int, *, is_enough: bool
    ) -> "Depths":
        """Return the depths of parts 0, 1, … that the tiles `part`, int32 (tiles,), belong to."""
        tiles = np.argsort(part, kind="stable").astype(np.int32)
        slot = np.empty(len(tiles), np.int32)
        slot[tiles] = np.arange(len(tiles), dtype=np.int32)
        start = np.searchsorted(part[tiles], np.arange(len(most) + 1)).astype(np.int64)
        return cls(tiles, slot, start, most.astype(np.int64), cut, is_enough)


def plan_depths(layout: Layout, depth: int, caps: Caps | None) -> tuple[Depths, ...]:
    """Return the depths to try in turn, for users whose lists the ones before do not make for sure.

    Without a cap the best `depth` posts do. With one, a list has no more posts of a topic than the cap allows
    it while some candidate fits at every place: first as many of each topic are looked at, and of those the
    best, some more than a list has. A list of which that is too little may at most be of one topic.
    """
    every = np.zeros(len(layout.group), np.int32)
    if caps is None:
        return (Depths.of(every, np.array([depth]), 0, is_enough=True),)
    names, part = np.unique(layout.topic, return_inverse=True)
    of_tile, cut = np.asarray(part, np.int32), int(np.ceil(depth * (1 + SPARE)))
    sizes = np.array([np.count_nonzero(caps.topic == name) for name in names])
    fitting = np.where(names < 0, depth, caps.bound(depth))
    return (
        Depths.of(every, np.array([cut]), cut, is_enough=False),
        Depths.of(of_tile, np.minimum(fitting, sizes), cut, is_enough=False),
        Depths.of(of_tile, np.minimum(depth, sizes), 0, is_enough=True),
    )
