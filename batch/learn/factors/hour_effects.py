"""What everybody's liking of a topic or a text cluster gains at an hour of the day.

Effects of near hours are alike, and all are shrunk by their own spread, which is the likeliest one. Where
chance explains what is seen, there are none. They are in log-odds, beside all that the estimate says: what
users would hardly like at any hour tells little of them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import AnyInts, Floats, Floats32, Ints, Ints8, Ints32
from batch.data.facts import Facts
from batch.data.local_time import local_s
from batch.features.text import Texts

HOUR_S = 3_600
N_HOURS = DAY_S // HOUR_S
SPREADS = tuple(0.01 * 2 ** (k / 2) for k in range(14))  # of an effect, in log-odds; up to .9
ALIKE = 0.5, 1.0, 2.0  # of hours: those 3 apart correlate by 0, .5 and .7
LEAST_EVIDENCE = 3.0  # in log likelihood, above no effects: spread and likeness are sought, so chance makes 1
N_STEPS, N_SWEEPS = 3, 5  # of Newton; of hours' and clusters' own levels in turn
MOST_ROWS = 6_000_000  # impressions; of more, those of every so manieth user
AT_ONCE = 1 << 18  # of them, whose factors are held
Group = Literal["topic", "cluster"]


@dataclass(frozen=True, slots=True)
class HourEffects:
    """Effects of groups of posts by hour of the day.

    Attributes:
        feature: Which feature of posts says the group.
        group: int32 (posts,). Each post's, 0..groups-1.
        value: float64 (groups, 24). In log-odds, by the hour in which a time bucket begins, on the zone's
            clock.
        width_s: Width of a bucket, seconds.
    """

    feature: Group
    group: Ints32
    value: Floats
    width_s: int = HOUR_S

    def scores(self, posts: AnyInts, time: Ints, zone: str) -> Floats:
        """Return the effects on posts, given by row, at times, epoch seconds, float64 (n,)."""
        return np.asarray(self.value[self.group[posts], _hour(time, self.width_s, zone)], np.float64)


def fit_hour_effects(
    facts: Facts, x: Floats, y: Floats, level: Floats, texts: Texts, width_s: int
) -> HourEffects | None:
    """Fit effects of topics or of text clusters, whichever are likelier; None where neither beats chance.

    Args:
        facts: What was shown.
        x: float64 (users, k). The estimate's factors,
        y: float64 (posts, k) and those of posts,
        level: float64 (users,) and users' log-odds.
        texts: What the posts are about.
        width_s: Width of a time bucket, seconds; a day has no hours.

    Source: evidence for spreads, Rasmussen and Williams, Gaussian processes for machine learning, 2006, 5.4.
    """
    if width_s >= DAY_S:
        return None
    rows = _Rows.of(facts, x, y, level, texts, width_s)
    topic = texts.topic_of_cluster
    own = np.arange(len(topic), dtype=np.int32)
    found = {name: _fit(rows, of) for name, of in (("topic", topic), ("cluster", own))}
    best: Group = "topic" if found["topic"][0] >= found["cluster"][0] else "cluster"
    evidence, value = found[best]
    if evidence < LEAST_EVIDENCE:
        return None
    return HourEffects(best, topic[texts.cluster] if best == "topic" else texts.cluster, value, width_s)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Impressions: log-odds of a like by the estimate, cluster × hour, and whether they were liked."""

    log_odds: Floats32
    cell: Ints32
    liked: Ints8
    n_clusters: int

    @classmethod
    def of(cls, facts: Facts, x: Floats, y: Floats, level: Floats, texts: Texts, width_s: int) -> "_Rows":
        step, parts = 1 + (len(facts.time) - 1) // MOST_ROWS, []
        for part in facts.parts():
            event = np.flatnonzero(part.views & (part.user % step == 0))
            for low in range(0, len(event), AT_ONCE):
                some = event[low : low + AT_ONCE]
                user, post = part.user[some], part.post[some]
                score = level[user] + np.einsum("ij,ij->i", x[user], y[post])
                cell = texts.cluster[post] * N_HOURS + _hour(part.time[some], width_s, part.zone)
                parts.append((score.astype(np.float32), cell.astype(np.int32), part.target[some]))
        empty = (np.empty(0, np.float32), np.empty(0, np.int32), np.empty(0, np.int8))
        columns = [np.concatenate(of) for of in zip(empty, *parts, strict=True)]
        return cls(columns[0], columns[1], columns[2], len(texts.topic_of_cluster))

    def sums(self, value: Floats) -> tuple[Floats, Floats]:
        """Return gradient and information by cluster and hour, float64 (clusters, 24), at effects `value`."""
        chance = 1 / (1 + np.exp(-(self.log_odds + value.reshape(-1).astype(np.float32)[self.cell])))
        shape, n = value.shape, value.size
        gradient, known = (
            np.bincount(self.cell, one, n).reshape(shape).astype(np.float64)
            for one in (self.liked - chance, chance * (1 - chance))
        )
        return gradient, known


def _fit(rows: _Rows, of: Ints32) -> tuple[float, Floats]:
    """Return evidence and effects, float64 (groups, 24), where `of` int32 (clusters,) says the group."""
    shape = rows.n_clusters, N_HOURS
    evidence, value, levels = 0.0, np.zeros((int(of.max()) + 1, N_HOURS)), np.zeros(shape)
    for _ in range(N_STEPS):
        gradient, known = rows.sums(levels + value[of])
        pull = gradient + known * (levels + value[of])
        levels = _fit_levels(pull - known * value[of], known)
        left, information = _add(pull - known * levels, of), _add(known, of)
        evidence, root = _likeliest(left, information)
        if not evidence:
            break
        weights, spread = _project(left, information, root)
        value = np.linalg.solve(spread, weights[:, :, None])[:, :, 0] @ root.T
    return evidence, value


def _fit_levels(pull: Floats, known: Floats) -> Floats:
    """Return what hours and clusters differ by for themselves, float64 (clusters, 24)."""
    hour, cluster = np.zeros(pull.shape[1]), np.zeros((len(pull), 1))
    for _ in range(N_SWEEPS):
        hour = (pull - known * cluster).sum(axis=0) / (known.sum(axis=0) + 1)
        left = (pull - known * hour).sum(axis=1) / (known.sum(axis=1) + 1)
        cluster = left[:, None]
    return np.asarray(hour + cluster, np.float64)


def _hour(time: Ints, width_s: int, zone: str) -> Ints:
    return np.asarray(local_s(time - time % width_s, zone) // HOUR_S % N_HOURS, np.int64)


def _likeliest(pull: Floats, information: Floats) -> tuple[float, Floats]:
    """Return the evidence of the likeliest spread and likeness, and the root of their covariance.

    No effects have the evidence 0.

    Args:
        pull: float64 (groups, 24). Linear in the effects, what the log likelihood is around 0.
        information: float64 (groups, 24). And quadratic.
    """
    best, at = 0.0, np.zeros((N_HOURS, N_HOURS))
    for alike in ALIKE:
        shape = _root(alike)
        for sd in SPREADS:
            weights, spread = _project(pull, information, sd * shape)
            met = np.einsum("gi,gi->", weights, np.linalg.solve(spread, weights[:, :, None])[:, :, 0])
            evidence = float(met - np.linalg.slogdet(spread)[1].sum()) / 2
            if evidence > best:
                best, at = evidence, sd * shape
    return best, at


def _project(pull: Floats, information: Floats, root: Floats) -> tuple[Floats, Floats]:
    """Return pull and precision of the groups' effects along the root of their covariance."""
    return pull @ root, np.eye(N_HOURS) + np.einsum("hi,gh,hj->gij", root, information, root, optimize=True)


def _root(alike: float) -> Floats:
    """Return a root of the correlation of a group's hours, float64 (24, 24): a day's mean is 0.

    Source: the periodic kernel, Rasmussen and Williams, 2006, 4.31.
    """
    apart = np.subtract.outer(np.arange(N_HOURS), np.arange(N_HOURS)) * (np.pi / N_HOURS)
    alike_by = np.exp(-2 * np.sin(apart) ** 2 / alike**2)
    alike_by -= alike_by.mean()
    values, axes = np.linalg.eigh(alike_by / alike_by[0, 0])
    return np.asarray(axes * np.sqrt(np.maximum(values, 0.0)), np.float64)


def _add(cells: Floats, of: Ints32) -> Floats:
    """Return sums of clusters' cells by the group that each is in, float64 (groups, 24)."""
    out = np.zeros((int(of.max()) + 1, N_HOURS))
    np.add.at(out, of, cells)
    return out
