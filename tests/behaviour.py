"""How users behave, measured the same way on real rows and on a world, so that the two can be compared.

A *session* is a user's views with no gap over 30 minutes. What is *past* to a view is what the user did
before its session began: that is all a feed made ahead of time can know, and it keeps the fall of the like
rate within a session out of the figures that are about taste. Views only; likes enter as their targets.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from batch.data.columns import TEXT, TOPIC
from batch.data.facts import Facts

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SESSION_GAP_S = 1800
N_POSITIONS = 30
_PRIOR_VIEWS = 20  # a rate is shrunk to the whole's as if by so many views more


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The figures. AUCs tell liked views from the others; .5 is chance; NaN where undefined."""

    n_users: int  # with a view
    n_views: int
    n_posts: int  # shown
    views_per_user: float  # mean over users with a view
    likes_per_user: float  # the same
    like_rate: float  # likes per view
    user_rate: tuple[float, ...]  # quantiles .05, .5, .95 of the users' like rates
    session_views: tuple[float, ...]  # quantiles .05, .5, .95 of the views in a session
    session_minutes: float  # median, first view to last
    sessions_per_user: float  # mean
    days_between_sessions: tuple[float, ...]  # quantiles .25, .5, .75
    repeats: float  # share of views whose user saw the post before
    start_hours: tuple[float, ...]  # share of sessions by hour of their start, 24 numbers
    rate_by_hour: tuple[float, ...]  # like rate by hour, 24 numbers
    rate_by_month: dict[int, float]  # like rate by calendar month, 1..12
    rate_by_position: tuple[float, ...]  # like rate by place in the session, N_POSITIONS numbers
    rate_by_topic: dict[str, float]
    views_by_topic: dict[str, float]  # share of views
    auc_user: float  # the user's past like rate
    auc_post: float  # the post's like rate among the other half of the users, over the whole period
    auc_embedding: float  # cosine of the post and the mean of the user's past likes, where there are any
    auc_embedding_in_session: float  # the same among views of one session
    auc_topic: float  # the user's past like rate in the post's topic, among views of one session
    auc_position: float  # place in the session, first places highest
    auc_user_early: float  # as auc_user, in the first 9 places
    auc_user_late: float  # as auc_user, from the twentieth place on
    topic_like_spread: float  # chi-square a degree of freedom, user × topic likes against independence
    topic_view_spread: float  # the same of views


@dataclass(frozen=True, slots=True)
class _Views:
    """The views, by user and time."""

    user: Ints
    post: Ints
    at_s: Ints
    liked: Floats
    session: Ints
    position: Ints
    first: Ints  # (sessions,): row of each session's first view


def measure(facts: Facts, embeddings: npt.NDArray[np.floating] | None = None) -> Behaviour:
    """Measure users' behaviour.

    Args:
        facts: Real rows or a world's; of at least one view.
        embeddings: (posts, d), rows as in `facts.posts`; None takes the facts' own, and where there are
            none those of the texts.

    Raises:
        ValueError: There is no view.
    """
    if not facts.views.any():
        raise ValueError("the facts hold no view: nothing can be measured")
    if embeddings is None:
        embeddings = facts.embeddings if facts.embeddings is not None else text_embeddings(facts)
    views = _by_user(facts)
    names, topics = np.unique(facts.posts[TOPIC].astype(str), return_inverse=True)
    topic = topics[views.post]
    rates, aucs = _rates(views, names, topic), _aucs(views, topic, embeddings)
    return Behaviour(**_volumes(views), **_sessions(views), **rates, **aucs)


def text_embeddings(facts: Facts, d: int = 20) -> npt.NDArray[np.float64]:
    """Return float64 (posts, d): the texts' TF-IDF by truncated SVD; a missing text is a row of zeros."""
    texts = facts.posts[TEXT].fillna("").astype(str)
    weights = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(texts)
    return np.asarray(TruncatedSVD(d, random_state=0).fit_transform(weights), np.float64)


def _by_user(facts: Facts) -> _Views:
    rows = np.flatnonzero(facts.views)
    rows = rows[np.argsort(facts.user[rows], kind="stable")]  # the facts are in order of time
    user, at_s = facts.user[rows].astype(np.int64), facts.time[rows]
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (user[1:] != user[:-1]) | (np.diff(at_s) > SESSION_GAP_S)
    session, first = np.cumsum(begins) - 1, np.flatnonzero(begins)
    position = np.arange(len(rows)) - first[session]
    post, liked = facts.post[rows].astype(np.int64), facts.target[rows].astype(np.float64)
    return _Views(user, post, at_s, liked, session, position, first)


def _volumes(views: _Views) -> dict[str, Any]:
    users, user = np.unique(views.user, return_inverse=True)
    pairs = np.unique(views.user * (views.post.max() + 1) + views.post)
    likes = np.bincount(user, views.liked)
    return {
        "n_users": len(users),
        "n_views": len(user),
        "n_posts": len(np.unique(views.post)),
        "views_per_user": len(user) / len(users),
        "likes_per_user": float(likes.mean()),
        "like_rate": float(views.liked.mean()),
        "user_rate": _quantiles(likes / np.bincount(user), (0.05, 0.5, 0.95)),
        "repeats": 1 - len(pairs) / len(user),
    }


def _sessions(views: _Views) -> dict[str, Any]:
    begin, owner = views.at_s[views.first], views.user[views.first]
    last = np.append(views.first[1:], len(views.at_s)) - 1
    between = np.diff(begin)[owner[1:] == owner[:-1]] / 86_400
    hours = np.bincount(begin // 3600 % 24, minlength=24) / len(begin)
    return {
        "session_views": _quantiles(last - views.first + 1, (0.05, 0.5, 0.95)),
        "session_minutes": float(np.median(views.at_s[last] - begin)) / 60,
        "sessions_per_user": len(begin) / len(np.unique(owner)),
        "days_between_sessions": _quantiles(between, (0.25, 0.5, 0.75)),
        "start_hours": tuple(hours.tolist()),
    }


def _rates(views: _Views, names: npt.NDArray[np.str_], topic: Ints) -> dict[str, Any]:
    month = views.at_s.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    by_month = _rate(views.liked, month, 13)
    shares = np.bincount(topic, minlength=len(names)) / len(topic)
    by_topic = _rate(views.liked, topic, len(names))
    return {
        "rate_by_hour": tuple(_rate(views.liked, views.at_s // 3600 % 24, 24).tolist()),
        "rate_by_month": {m: float(by_month[m]) for m in range(1, 13) if not np.isnan(by_month[m])},
        "rate_by_position": tuple(_rate(views.liked, views.position, N_POSITIONS)[:N_POSITIONS].tolist()),
        "rate_by_topic": dict(zip(names.tolist(), by_topic.tolist(), strict=True)),
        "views_by_topic": dict(zip(names.tolist(), shares.tolist(), strict=True)),
    }


def _aucs(views: _Views, topic: Ints, embeddings: npt.NDArray[np.floating]) -> dict[str, Any]:
    liked, n_topics = views.liked, int(topic.max()) + 1
    mean = liked.mean()
    past_likes = _past(views, liked[:, None])[views.session, 0]
    past_views = _past(views, np.ones((len(liked), 1)))[views.session, 0]
    user_rate = (past_likes + _PRIOR_VIEWS * mean) / (past_views + _PRIOR_VIEWS)
    in_topic = np.zeros((len(liked), n_topics))
    in_topic[np.arange(len(liked)), topic] = 1
    topic_views = _past(views, in_topic)[views.session, topic]
    topic_likes = _past(views, in_topic * liked[:, None])[views.session, topic]
    topic_rate = (topic_likes + _PRIOR_VIEWS * user_rate) / (topic_views + _PRIOR_VIEWS)
    affinity, known = _affinity(views, embeddings), past_likes > 0
    early, late = views.position < 9, views.position >= 19
    return {
        "auc_user": _auc(liked, user_rate),
        "auc_post": _auc(liked, _post_rate(views)),
        "auc_embedding": _auc(liked[known], affinity[known]),
        "auc_topic": _auc_within(liked, topic_rate, views.session),
        "auc_embedding_in_session": _auc_within(liked[known], affinity[known], views.session[known]),
        "auc_position": _auc(liked, -views.position),
        "auc_user_early": _auc(liked[early], user_rate[early]),
        "auc_user_late": _auc(liked[late], user_rate[late]),
        "topic_like_spread": _spread(views.user, topic, liked),
        "topic_view_spread": _spread(views.user, topic, np.ones(len(topic))),
    }


def _past(views: _Views, values: Floats) -> Floats:
    """Return float64 (sessions, columns): each column's sum over the user's earlier sessions."""
    sums = np.add.reduceat(values, views.first, axis=0)
    before = np.cumsum(sums, axis=0) - sums
    owner = views.user[views.first]
    begins = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
    n_sessions = np.diff(np.append(begins, len(owner)))
    return np.asarray(before - np.repeat(before[begins], n_sessions, axis=0), np.float64)


def _post_rate(views: _Views) -> Floats:
    """Return the post's rate among users of the other parity, so that no view tells of itself."""
    n, odd = int(views.post.max()) + 1, views.user % 2
    cell = 2 * views.post + (1 - odd)
    likes = np.bincount(2 * views.post + odd, views.liked, 2 * n)[cell]
    seen = np.bincount(2 * views.post + odd, minlength=2 * n)[cell]
    return np.asarray((likes + _PRIOR_VIEWS * views.liked.mean()) / (seen + _PRIOR_VIEWS), np.float64)


def _affinity(views: _Views, embeddings: npt.NDArray[np.floating]) -> Floats:
    known = np.nan_to_num(np.asarray(embeddings, np.float64))
    centred = known - known.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    taste = _past(views, unit[views.post] * views.liked[:, None])
    taste /= np.maximum(np.linalg.norm(taste, axis=1, keepdims=True), 1e-12)
    return np.asarray(np.einsum("ij,ij->i", taste[views.session], unit[views.post]), np.float64)


def _rate(liked: Floats, group: Ints, n: int) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(group, liked, n) / np.bincount(group, minlength=n), np.float64)


def _quantiles(values: npt.ArrayLike, at: tuple[float, ...]) -> tuple[float, ...]:
    kept = np.asarray(values, np.float64)
    return tuple(np.quantile(kept, at).tolist()) if kept.size else (float("nan"),) * len(at)


def _auc(liked: Floats, score: npt.NDArray[np.number]) -> float:
    return _auc_within(liked, score, np.zeros(len(liked), np.int64))


def _auc_within(liked: Floats, score: npt.NDArray[np.number], group: Ints) -> float:
    """Return the share of (liked, not liked) pairs of the same group in the right order; ties count half."""
    n_groups = int(group.max(initial=-1)) + 1
    level = np.unique(score, return_inverse=True)[1]
    key = group * (level.max(initial=0) + 1) + level
    _, place, ties = np.unique(key, return_inverse=True, return_counts=True)
    size, n_liked = np.bincount(group, minlength=n_groups), np.bincount(group, liked, n_groups)
    rank = (np.cumsum(ties) - (ties - 1) / 2)[place] - (np.cumsum(size) - size)[group]
    won = np.bincount(group, rank * liked, n_groups) - n_liked * (n_liked + 1) / 2
    pairs = (n_liked * (size - n_liked)).sum()
    return float(won.sum() / pairs) if pairs else float("nan")


def _spread(user: Ints, topic: Ints, weight: Floats) -> float:
    users, row = np.unique(user, return_inverse=True)
    n_topics = int(topic.max()) + 1
    counts = np.bincount(row * n_topics + topic, weight, len(users) * n_topics).reshape(len(users), n_topics)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    freedom = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    if freedom <= 0:
        return float("nan")
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    return float(((counts - expected) ** 2 / expected).sum() / freedom)
