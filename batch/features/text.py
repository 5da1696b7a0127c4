"""What posts are about: topic, a text cluster inside the topic, and a few text factors."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from batch.arrays import AnyInts, Bools, Floats, Floats32, Ints, Ints32
from batch.data.columns import MORE_TOPICS, POST_ID, TEXT, TOPIC

N_FACTORS = 64  # for tastes; 32 told a fifth less of what made posts are about
N_CLUSTERED = 32  # of them, for clusters
N_FACTORS_KEPT = 8  # as features; more gave the trees nothing on the real rows
N_CLUSTERS = 24  # over all topics; each topic has at least one, at most MAX_PER_TOPIC
MAX_PER_TOPIC = 8
MAX_WORDS = 20_000
OF_POSTS = ("topic", "cluster", "factors", "length", "space")  # of Texts, (posts, …) each


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
        map: What a further post is placed with among these.
    """

    topic: Ints32
    cluster: Ints32
    topic_of_cluster: Ints32
    factors: Floats32
    length: Floats32
    space: Floats32
    map: "Map"


@dataclass(frozen=True, slots=True)
class Map:
    """What the posts taught: with it a further post is described, and they stay as they are.

    Attributes:
        topics: Names, in the order of their numbers.
        topic_of_cluster: int32 (clusters,).
        centres: float32 (clusters, factors). NaN where a cluster is of posts without text.
        words: Columns of TF-IDF; none where embeddings were brought, or no word stands in two texts.
        weights: float64 (words,). Their inverse document frequencies.
        mean: float32 (columns,). Taken from embeddings first; zeros for words.
        axes: float32 (factors, columns).
    """

    topics: tuple[str, ...]
    topic_of_cluster: Ints32
    centres: Floats32
    words: tuple[str, ...]
    weights: Floats
    mean: Floats32
    axes: Floats32


class Unplaceable(ValueError):
    """A further post is like none of those that were described."""


def describe(posts: pd.DataFrame, embeddings: Floats32 | None, seed: int, came: Ints | None = None) -> Texts:
    """Describe each post by its topic and its embedding, or TF-IDF of its text where none is brought.

    What is drawn at random is drawn in the order of `came`, int64 (posts,), or of the rows where it is None.
    One thread adds up, so that how many there are, and which is first, is in no bit.
    """
    with threadpool_limits(1):
        return _describe(posts, embeddings, seed, came)


def _describe(posts: pd.DataFrame, embeddings: Floats32 | None, seed: int, came: Ints | None) -> Texts:
    if came is not None:
        order = np.argsort(came)
        there = posts.iloc[order].reset_index(drop=True), None if embeddings is None else embeddings[order]
        return _take(_describe(*there, seed, None), np.argsort(order))
    topic, names = pd.factorize(posts[TOPIC], sort=True, use_na_sentinel=True)
    topic = np.where(topic < 0, topic.max(initial=-1) + 1, topic).astype(np.int32)
    space, about = (
        _from_embeddings(embeddings, seed) if embeddings is not None else _from_text(_words(posts), seed)
    )
    cluster, topic_of_cluster, centres = _cluster(space[:, :N_CLUSTERED], topic, seed)
    about = replace(about, topics=tuple(map(str, names)), topic_of_cluster=topic_of_cluster, centres=centres)
    return Texts(topic, cluster, topic_of_cluster, _keep_factors(space), _lengths(posts), space, about)


def _take(texts: Texts, rows: AnyInts) -> Texts:
    """Return some of the posts, in the order given."""
    return replace(texts, **{name: getattr(texts, name)[rows] for name in OF_POSTS})


def describe_among(posts: pd.DataFrame, embeddings: Floats32 | None, known: Texts, rows: AnyInts) -> Texts:
    """Describe posts as they were described before; those that are new or were edited are placed among them.

    Args:
        posts: One row a post.
        embeddings: As `describe` takes them.
        known: What `describe` returned of posts before.
        rows: int (posts,). Each post's row in `known`; -1: it is new, or was edited.

    Raises:
        Unplaceable: What `place` raises.
    """
    texts, new = _take(known, rows), np.flatnonzero(rows < 0)
    if len(new):
        placed = place(posts.iloc[new], None if embeddings is None else embeddings[new], known.map)
        for name in OF_POSTS:
            getattr(texts, name)[new] = getattr(placed, name)
    return texts


def place(posts: pd.DataFrame, embeddings: Floats32 | None, about: Map) -> Texts:
    """Describe further posts by what others were described with.

    Raises:
        Unplaceable: A post has a topic that none of the others has, or is the first of its topic without
            text, or the first with one; or the others were described with another text model.
    """
    n_columns = len(about.words) if embeddings is None else embeddings.shape[1]
    if len(about.axes) and about.axes.shape[1] != n_columns:
        raise Unplaceable(
            f"texts are of {n_columns} columns, those before them of {about.axes.shape[1]}: "
            "another text model, or none, described them"
        )
    number = {name: k for k, name in enumerate(about.topics)}
    n_topics = int(about.topic_of_cluster.max(initial=-1)) + 1
    topic = np.array(
        [number.get(str(name), -1) if not pd.isna(name) else len(number) for name in posts[TOPIC]]
    )
    with threadpool_limits(1):
        space = _project(_words(posts), embeddings, about)
    silent, cluster = np.isnan(space).any(axis=1) | (space.shape[1] == 0), np.empty(len(posts), np.int32)
    silent_clusters = np.isnan(about.centres).any(axis=1) | (space.shape[1] == 0)
    for row, (name, own) in enumerate(zip(posts[TOPIC], topic.tolist(), strict=True)):
        mine = np.flatnonzero((about.topic_of_cluster == own) & (silent_clusters == silent[row]))
        if not 0 <= own < n_topics or not len(mine):
            kind = "no text" if silent[row] else "a text"
            raise Unplaceable(
                f"post {posts[POST_ID].iloc[row]} has topic {name!r} and {kind}, as none before it"
            )
        distance = ((about.centres[mine] - space[row, :N_CLUSTERED]) ** 2).sum(axis=1)
        cluster[row] = mine[0 if silent[row] else int(distance.argmin())]
    own_map = about.topic_of_cluster
    return Texts(
        topic.astype(np.int32), cluster, own_map, _keep_factors(space), _lengths(posts), space, about
    )


def _keep_factors(space: Floats32) -> Floats32:
    factors = np.full((len(space), N_FACTORS_KEPT), np.nan, np.float32)
    kept = min(N_FACTORS_KEPT, space.shape[1])
    factors[:, :kept] = space[:, :kept]
    return factors


def _words(posts: pd.DataFrame) -> "pd.Series[str]":
    """Return each post's text, and after it the topics that it has beside its own."""
    if MORE_TOPICS not in posts:
        return posts[TEXT]
    both = posts[TEXT].fillna("") + " " + posts[MORE_TOPICS].fillna("")
    return both.where(posts[TEXT].notna() | posts[MORE_TOPICS].notna(), None)


def _lengths(posts: pd.DataFrame) -> Floats32:
    return np.asarray(posts[TEXT].str.len().to_numpy(np.float32, na_value=np.nan))


def _project(text: "pd.Series[str]", embeddings: Floats32 | None, about: Map) -> Floats32:
    """Return float32 (posts, factors) on the axes of others; rows without text or embedding are NaN."""
    out = np.full((len(text), len(about.axes)), np.nan, np.float32)
    if not len(about.axes):
        return out
    if embeddings is not None:
        known = ~np.isnan(embeddings).any(axis=1)
        # One by one: a product of many rows at once rounds otherwise, and a refresh must equal a whole run.
        for row in np.flatnonzero(known):
            out[row] = about.axes @ (embeddings[row] - about.mean)
        return out
    known = _has_text(text)
    if about.words and known.any():
        words = TfidfVectorizer(vocabulary=list(about.words), sublinear_tf=True, dtype=np.float32)
        words.idf_ = about.weights
        out[known] = words.transform(text[known]) @ about.axes.T
    return out


def _has_text(text: "pd.Series[str]") -> Bools:
    return np.asarray(text.notna().to_numpy() & (text.fillna("").str.strip() != "").to_numpy(), np.bool_)


def _untaught(n_posts: int) -> tuple[Floats32, Map]:
    """Return no factors of the posts, and a map that places further posts by their topic alone."""
    nothing = np.empty((0, 0), np.float32)
    about = Map((), np.empty(0, np.int32), nothing, (), np.empty(0), np.empty(0, np.float32), nothing)
    return np.empty((n_posts, 0), np.float32), about


def _from_embeddings(embeddings: Floats32, seed: int) -> tuple[Floats32, Map]:
    """Return the leading principal components; rows with a missing value stay NaN."""
    known = ~np.isnan(embeddings).any(axis=1)
    n = min(N_FACTORS, embeddings.shape[1], int(known.sum()))
    out, about = np.full((len(embeddings), n), np.nan, np.float32), _untaught(len(embeddings))[1]
    if not n:
        return out, about
    pca = PCA(n, random_state=seed)
    with np.errstate(invalid="ignore"):  # of one post, or of posts alike, which have no variance to share out
        out[known] = pca.fit_transform(embeddings[known])
    axes = pca.components_.astype(np.float32)
    return out, replace(about, mean=pca.mean_.astype(np.float32), axes=axes)


def _from_text(text: "pd.Series[str]", seed: int) -> tuple[Floats32, Map]:
    """Return TF-IDF reduced by a singular value decomposition; rows without text are NaN."""
    known, none = _has_text(text), _untaught(len(text))
    if known.sum() < 2:
        return none
    try:
        vectorizer = TfidfVectorizer(
            max_features=MAX_WORDS, sublinear_tf=True, min_df=2, max_df=0.5, dtype=np.float32
        )
        words = vectorizer.fit_transform(text[known])
    except ValueError:  # no word stands in two texts: nothing to compare them by
        return none
    n = min(N_FACTORS, min(words.shape) - 1)
    if n < 1:
        return none
    out = np.full((len(text), n), np.nan, np.float32)
    svd = TruncatedSVD(n, random_state=seed)
    out[known] = svd.fit_transform(words)
    names, weights = vectorizer.get_feature_names_out(), np.asarray(vectorizer.idf_, np.float64)
    axes = svd.components_.astype(np.float32)
    mean = np.zeros(len(names), np.float32)
    return out, replace(none[1], words=tuple(map(str, names)), weights=weights, mean=mean, axes=axes)


def _cluster(space: Floats32, topic: Ints32, seed: int) -> tuple[Ints32, Ints32, Floats32]:
    """Split each topic's posts into clusters of similar text; posts without text make one of their own.

    Returns:
        Each post's cluster, each cluster's topic, and float32 (clusters, factors) their centres.
    """
    cluster = np.zeros(len(topic), np.int32)
    topics: list[int] = []
    centres: list[Floats32] = []
    known = ~np.isnan(space).any(axis=1) if space.shape[1] else np.zeros(len(topic), np.bool_)
    for name in np.unique(topic):
        rows = np.flatnonzero((topic == name) & known)
        wanted = int(np.clip(round(N_CLUSTERS * len(rows) / max(len(topic), 1)), 1, MAX_PER_TOPIC))
        if len(rows):
            n = min(wanted, len(np.unique(space[rows], axis=0)))
            means = KMeans(n, n_init=1, random_state=seed)
            cluster[rows] = len(topics) + means.fit_predict(space[rows])
            topics += [int(name)] * n
            centres += [means.cluster_centers_.astype(np.float32)]
        silent = np.flatnonzero((topic == name) & ~known)
        if len(silent):
            cluster[silent] = len(topics)
            topics.append(int(name))
            centres += [np.full((1, space.shape[1]), np.nan, np.float32)]
    every = np.concatenate(centres) if centres else np.empty((0, space.shape[1]), np.float32)
    return cluster, np.array(topics, np.int32), every
