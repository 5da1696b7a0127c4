"""What stands for a baseline in a manifest, where a model of our own has its fingerprint."""

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from batch.learn.stages import Stages

if TYPE_CHECKING:  # who only reads manifests makes no baselines, whose libraries take a while to load
    from batch.learn.baselines.interactions import Interactions
    from batch.learn.baselines.recommender import Baseline

PREFIX = "peer:"  # no fingerprint holds a colon


def model_name(baseline: "Baseline", interactions: "Interactions") -> str:
    """Return what stands for the model in a manifest: the baseline, and 16 hex digits of all that it read."""
    facts, digest = interactions.facts, blake2b(digest_size=8)
    given = "".join(f" {name}={value!r}" for name, value in sorted(interactions.given.items()))
    stages = "" if interactions.stages == Stages() else f" {interactions.stages}"
    digest.update(f"{baseline.name} {interactions.seed}{given}{stages}\n".encode())
    for table in (facts.users, facts.posts):
        digest.update(np.asarray(pd.util.hash_pandas_object(table, index=False)).tobytes())
    columns = (facts.embeddings, facts.user, facts.post, facts.time, facts.action, facts.target)
    for column in columns:
        if column is not None:
            digest.update(np.ascontiguousarray(column).data)
    return f"{PREFIX}{baseline.name}:{digest.hexdigest()}"


def baseline_name(model: str) -> str | None:
    """Return the name of the baseline that a manifest's model names; None for a model of our own.

    >>> baseline_name("peer:bm25:00d1c5bf4c1b3f2e"), baseline_name("00d1c5bf4c1b3f2e")
    ('bm25', None)
    """
    return model.split(":")[1] if model.startswith(PREFIX) else None
