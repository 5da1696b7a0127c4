"""Baselines by name: a variant named as a baseline is made by it, any other by our own model."""

from hashlib import blake2b

import numpy as np
import pandas as pd

from batch.extras import require_extra
from batch.learn.baselines import counts, models, neighbours, twostage
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.recommender import Baseline

BASELINES: tuple[Baseline, ...] = (
    Baseline("random", counts.random),
    Baseline("popular", counts.popular),
    Baseline("popular_recent", counts.popular_recent),
    Baseline("popular_by_segment", counts.popular_by_segment),
    Baseline("user_topic", counts.user_topic),
    Baseline("item_knn_cosine", neighbours.item_knn(neighbours.cosine)),
    Baseline("item_knn_tfidf", neighbours.item_knn(neighbours.tfidf)),
    Baseline("bm25", neighbours.item_knn(neighbours.bm25)),
    Baseline("user_knn", neighbours.user_knn),
    Baseline("als", models.als, "implicit"),
    Baseline("bpr", models.bpr, "implicit"),
    Baseline("ease", models.ease, most_posts=models.EASE_MOST_POSTS),
    Baseline("ease_recent", models.ease_recent, most_posts=models.EASE_MOST_POSTS),
    Baseline("embedding_affinity", models.affinity),
    Baseline("two_stage", twostage.two_stage, "implicit"),
)
PREFIX = "peer:"  # begins what a baseline's manifest names as its model; no fingerprint holds a colon


def find_baseline(variant: str) -> Baseline | None:
    """Return the baseline that makes a variant; None where our own model does.

    >>> find_baseline("bm25").name, find_baseline("default") is None
    ('bm25', True)
    """
    return next((baseline for baseline in BASELINES if baseline.name == variant), None)


def require_package(baseline: Baseline) -> None:
    """Make sure that the package a baseline needs is installed.

    Raises:
        LookupError: It is not; the message says what to install.
    """
    if baseline.needs:
        require_extra(baseline.needs, "zoo")


def model_name(baseline: Baseline, interactions: Interactions) -> str:
    """Return what stands for the model in a manifest: the baseline, and 16 hex digits of all that it read."""
    facts, digest = interactions.facts, blake2b(digest_size=8)
    digest.update(f"{baseline.name} {interactions.seed}\n".encode())
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
