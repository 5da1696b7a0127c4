"""What posts are about: topic, a text cluster inside the topic, and a few text factors."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from batch.source.columns import TEXT, TOPIC

Floats = npt.NDArray[np.float32]

N_FACTORS = 32  # for clustering
N_FACTORS_KEPT = 8  # as features; more gave the trees nothing on the real rows
N_CLUSTERS = 24  # over all topics; each topic has at least one, at most MAX_PER_TOPIC
MAX_PER_TOPIC = 8
MAX_WORDS = 20_000


@dataclass(frozen=True, slots=True)
class Texts:
    """Posts described by row.

    Attributes:
        topic: int32 (posts,). 0..topics-1 in the order of the names; the last is "no topic" where one misses.
        cluster: int32 (posts,). 0..clusters-1; every cluster lies inside one topic.
        topic_of_cluster: int32 (clusters,).
        factors: float32 (posts, N_FACTORS_KEPT). NaN where neither text nor embedding is known.
        length: float32 (posts,). Characters; NaN where the text is missing.
        space: float32 (posts, ≤ N_FACTORS). All the factors there are; NaN rows as in `factors`.
    """

    topic: npt.NDArray[np.int32]
    cluster: npt.NDArray[np.int32]
    topic_of_cluster: npt.NDArray[np.int32]
    factors: Floats
    length: Floats
    space: Floats


def describe(posts: pd.DataFrame, embeddings: Floats | None, seed: int) -> Texts:
    """Describe each post by its topic and its embedding, or TF-IDF of its text where none is brought."""
    topic, _ = pd.factorize(posts[TOPIC], sort=True, use_na_sentinel=True)
    topic = np.where(topic < 0, topic.max(initial=-1) + 1, topic).astype(np.int32)
    space = _from_embeddings(embeddings, seed) if embeddings is not None else _from_text(posts[TEXT], seed)
    cluster, topic_of_cluster = _clusters(space, topic, seed)
    factors = np.full((len(posts), N_FACTORS_KEPT), np.nan, np.float32)
    kept = min(N_FACTORS_KEPT, space.shape[1])
    factors[:, :kept] = space[:, :kept]
    length = posts[TEXT].str.len().to_numpy(np.float32, na_value=np.nan)
    return Texts(topic, cluster, topic_of_cluster, factors, length, space)


def _from_embeddings(embeddings: Floats, seed: int) -> Floats:
    """Return the leading principal components; rows with a missing value stay NaN."""
    known = ~np.isnan(embeddings).any(axis=1)
    n = min(N_FACTORS, embeddings.shape[1], int(known.sum()))
    out = np.full((len(embeddings), n), np.nan, np.float32)
    if n:
        out[known] = PCA(n, random_state=seed).fit_transform(embeddings[known])
    return out


def _from_text(text: "pd.Series[str]", seed: int) -> Floats:
    """Return TF-IDF reduced by a singular value decomposition; rows without text are NaN."""
    known = text.notna().to_numpy() & (text.fillna("").str.strip() != "").to_numpy()
    out = np.full((len(text), 0), np.nan, np.float32)
    if known.sum() < 2:
        return out
    try:
        words = TfidfVectorizer(
            max_features=MAX_WORDS, sublinear_tf=True, min_df=2, max_df=0.5, dtype=np.float32
        ).fit_transform(text[known])
    except ValueError:  # no word stands in two texts: nothing to compare them by
        return out
    n = min(N_FACTORS, min(words.shape) - 1)
    if n < 1:
        return out
    out = np.full((len(text), n), np.nan, np.float32)
    out[known] = TruncatedSVD(n, random_state=seed).fit_transform(words)
    return out


def _clusters(
    space: Floats, topic: npt.NDArray[np.int32], seed: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Split each topic's posts into clusters of similar text; posts without text make one of their own."""
    cluster = np.zeros(len(topic), np.int32)
    topics: list[int] = []
    known = ~np.isnan(space).any(axis=1) if space.shape[1] else np.zeros(len(topic), np.bool_)
    for name in np.unique(topic):
        rows = np.flatnonzero((topic == name) & known)
        wanted = int(np.clip(round(N_CLUSTERS * len(rows) / max(len(topic), 1)), 1, MAX_PER_TOPIC))
        if len(rows):
            n = min(wanted, len(np.unique(space[rows], axis=0)))
            cluster[rows] = len(topics) + KMeans(n, n_init=1, random_state=seed).fit_predict(space[rows])
            topics += [int(name)] * n
        silent = np.flatnonzero((topic == name) & ~known)
        if len(silent):
            cluster[silent] = len(topics)
            topics.append(int(name))
    return cluster, np.array(topics, np.int32)
