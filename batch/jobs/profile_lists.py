"""Lists for users of whom there is only a profile: the model's own, computed ahead like all others."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from api.contract.profile import Bins
from batch.data.facts import Facts
from batch.data.seen import SeenPosts
from batch.features.asof import Statics
from batch.features.population import Population, cell_side, user_side
from batch.features.sides import Sides
from batch.features.signatures import find, typical
from batch.features.tally import Count, Counts, Tally
from batch.learn.factors.cold_start import shared_factors
from batch.learn.ranker import Ranker
from batch.score.engine import score
from batch.settings import Settings


@dataclass(frozen=True, slots=True)
class ByProfile:
    """What unknown users get.

    Attributes:
        bins: How a profile becomes a signature.
        lists: Signature to int32 (buckets, depth), rows of posts, best first.
    """

    bins: Bins
    lists: dict[str, npt.NDArray[np.int32]]


def score_profiles(
    settings: Settings, facts: Facts, statics: Statics, counts: Tally, model: Ranker, sides: Sides, depth: int
) -> ByProfile:
    """Score the typical user of each frequent profile, without a history, against every post and bucket.

    Args:
        settings: Of the run.
        facts: Give the users.
        statics: What does not change with time.
        counts: What the features came from.
        model: What ranks.
        sides: Its features for the users there are.
        depth: Posts in a list.
    """
    signatures = find(facts.users, settings.profiles)
    n = len(signatures.names)
    cold = cold_sides(sides, statics, counts, typical(statics.profiles, signatures))
    x, y = model.factors.dense
    blocks = score(
        model.text,
        cold,
        SeenPosts.none(n),
        depth,
        threads=settings.threads,
        memory_mb=settings.memory_mb,
        dense=(shared_factors(x, y, signatures.of_user, n), y),
    )
    rows = [row for block in blocks for row in block.posts]
    return ByProfile(signatures.bins if n else {}, dict(zip(signatures.names, rows, strict=True)))


@dataclass(frozen=True, slots=True)
class Nobody:
    """The counts of users without an event; see `population.Counted`."""

    n_users: int
    n_groups: int
    at_s: int

    @property
    def users(self) -> Count:
        """Return zeros."""
        return Count.of(self.n_users)

    @property
    def cells(self) -> Count:
        """Return zeros."""
        return Count.of(self.n_users * self.n_groups)

    @property
    def last_seen_s(self) -> Counts:
        """Return NaN: they were never here."""
        return np.full(self.n_users, np.nan)


def cold_sides(
    sides: Sides, statics: Statics, counts: Tally, profiles: npt.NDArray[np.floating[Any]]
) -> Sides:
    """Return the sides of users with these profiles and no history, numbered from 0.

    Args:
        sides: Of the users there are, as of the same moment; posts, times and groups are taken over.
        statics: What does not change with time.
        counts: What `sides` were made of.
        profiles: (users, profile columns), as the model reads them; NaN is missing.
    """
    common = Population.of(counts, statics.texts, counts.base_rate)
    nobody = Nobody(len(profiles), counts.n_groups, counts.at_s)
    return replace(
        sides,
        user_ids=np.arange(len(profiles), dtype=np.int64),
        user=np.column_stack([profiles, user_side(nobody, common)]).astype(np.float32),
        user_group=cell_side(nobody, statics.texts.topic_of_cluster, common),
    )
