"""Baselines by name: a variant named as a baseline is made by it, any other by our own model."""

from batch.extras import require_extra
from batch.learn.baselines import (
    autoencoders,
    counts,
    hybrid,
    models,
    neighbours,
    search,
    slim,
    towers,
    twostage,
)
from batch.learn.baselines.recommender import Baseline

BASELINES: tuple[Baseline, ...] = (
    Baseline("random", counts.random),
    Baseline("popular", counts.popular),
    Baseline("popular_recent", counts.popular_recent),
    Baseline("popular_7_days", counts.popular_7_days),
    Baseline("popular_by_segment", counts.popular_by_segment),
    Baseline("user_topic", counts.user_topic),
    Baseline("item_knn_cosine", neighbours.item_knn(neighbours.cosine)),
    Baseline("item_knn_tfidf", neighbours.item_knn(neighbours.tfidf)),
    Baseline("bm25", neighbours.item_knn(neighbours.bm25)),
    Baseline("user_knn", neighbours.user_knn(neighbours.cosine), knobs=(neighbours.USERS,)),
    Baseline("user_knn_tfidf", neighbours.user_knn(neighbours.tfidf), knobs=(neighbours.USERS,)),
    Baseline("user_knn_bm25", neighbours.user_knn(neighbours.bm25), knobs=(neighbours.USERS,)),
    Baseline("slim", slim.slim, knobs=(slim.L1, slim.L2)),
    Baseline("als", models.als, ("implicit",), knobs=models.ALS),
    Baseline("als_flat", search.als_through(search.flat), ("implicit", "faiss")),
    Baseline("als_hnsw", search.als_through(search.hnsw), ("implicit", "faiss")),
    Baseline("bpr", models.bpr, ("implicit",), knobs=models.BPR),
    Baseline("lightfm_warp", hybrid.lightfm("warp"), ("lightfm",), knobs=hybrid.KNOBS),
    Baseline("lightfm_bpr", hybrid.lightfm("bpr"), ("lightfm",), knobs=hybrid.KNOBS),
    Baseline("ease", models.ease, (), models.EASE_MOST_POSTS, knobs=(models.EASE_RIDGE,)),
    Baseline("ease_recent", models.ease_recent, (), models.EASE_MOST_POSTS, knobs=(models.EASE_RIDGE,)),
    Baseline("embedding_affinity", models.affinity),
    Baseline("autoencoder", autoencoders.autoencoder, ("torch",), extra="deep"),
    Baseline("mult_vae", autoencoders.mult_vae, ("torch",), extra="deep"),
    Baseline("dssm", towers.dssm, ("torch",), extra="deep"),
    Baseline("two_stage", twostage.two_stage("lightgbm"), ("implicit",)),
    Baseline("two_stage_xgboost", twostage.two_stage("xgboost"), ("implicit", "xgboost")),
    Baseline("two_stage_catboost", twostage.two_stage("catboost"), ("implicit", "catboost")),
)


def find_baseline(variant: str) -> Baseline | None:
    """Return the baseline that makes a variant; None where our own model does.

    >>> find_baseline("bm25").name, find_baseline("default") is None
    ('bm25', True)
    """
    return next((baseline for baseline in BASELINES if baseline.name == variant), None)


def first_stage(names: tuple[str, ...]) -> list[Baseline]:
    """Return the baselines of these names, whose candidates a second stage ranks.

    Raises:
        ValueError: There is no name, or one is no baseline's or of two stages itself.
        LookupError: A package that one needs is not installed.
    """
    possible = {one.name: one for one in BASELINES if not one.name.startswith("two_stage")}
    strange = [name for name in names if name not in possible]
    if strange or not names:
        given = ", ".join(strange) or "nobody"
        raise ValueError(f"candidates by {given}: give one or more of {', '.join(possible)}")
    found = [possible[name] for name in names]
    for one in found:
        require_package(one)
    return found


def require_package(baseline: Baseline) -> None:
    """Make sure that the packages a baseline needs are installed.

    Raises:
        LookupError: One is not; the message says what to install.
    """
    for package in baseline.needs:
        require_extra(package, baseline.extra)
