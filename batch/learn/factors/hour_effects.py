"""What everybody's liking of a topic or a text cluster gains at an hour of the day.

Effects of near hours are alike, and all are shrunk by their own spread, which is the likeliest one. Where
chance explains what is seen, there are none.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numba
import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import AnyInts, Floats, Floats32, Ints, Ints32
from batch.data.local_time import local_s
from batch.features.text import Texts
from batch.learn.factors.blocks import ROWS_A_SUM, Block, in_threads, split_users
from batch.learn.factors.impressions import Impressions
from batch.learn.factors.link import HESSIAN, TABLE, step_of

HOUR_S = 3_600
N_HOURS = DAY_S // HOUR_S
SPREADS = tuple(0.001 * 2 ** (k / 2) for k in range(15))  # of an effect, in like rate; up to .128
ALIKE = 0.5, 1.0, 2.0  # of hours: those 3 apart correlate by 0, .5 and .7
LEAST_EVIDENCE = 3.0  # in log likelihood, above no effects: spread and likeness are sought, so chance makes 1
N_STEPS = 3  # of Newton, since the link is no straight line
LONGEST_STEP = 0.1  # of an effect in one of them, in like rate
Group = Literal["topic", "cluster"]


@dataclass(frozen=True, slots=True)
class HourEffects:
    """Effects of groups of posts by hour of the day.

    Attributes:
        feature: Which feature of posts says the group.
        group: int32 (posts,). Each post's, 0..groups-1.
        value: float64 (groups, 24). By the hour in which a time bucket begins, on the zone's clock; in like
            rate, or in log-odds once they are `scaled`.
        width_s: Width of a bucket, seconds.
    """

    feature: Group
    group: Ints32
    value: Floats
    width_s: int = HOUR_S

    def scaled(self, by: float) -> "HourEffects":
        """Return them in another unit."""
        return replace(self, value=by * self.value)

    def of_buckets(self, width_s: int) -> "HourEffects | None":
        """Return the mean effects over buckets of hours, by the hour of each one's begin; None over a day."""
        n = max(1, round(width_s / HOUR_S))
        if n >= N_HOURS:
            return None
        value = np.mean([np.roll(self.value, -k, axis=1) for k in range(n)], axis=0)
        return replace(self, value=value, width_s=width_s)

    def scores(self, posts: AnyInts, time: Ints, zone: str) -> Floats:
        """Return the effects on posts, given by row, at times, epoch seconds, float64 (n,)."""
        hour = local_s(time - time % self.width_s, zone) // HOUR_S % N_HOURS
        return np.asarray(self.value[self.group[posts], hour], np.float64)


def fit_hour_effects(shown: Impressions, sums: Floats32, texts: Texts) -> HourEffects | None:
    """Fit effects of topics or of text clusters, whichever are likelier; None where neither beats chance.

    Args:
        shown: The impressions.
        sums: float32 (impressions,). Each one's sum of biases and tastes, as `Biases.sums`.
        texts: What the posts are about.

    Source: evidence for spreads, Rasmussen and Williams, Gaussian processes for machine learning, 2006, 5.4.
    """
    topic = texts.topic_of_cluster
    member: dict[Group, Ints32] = {"topic": topic, "cluster": np.arange(len(topic), dtype=np.int32)}
    pull, information = _sum_by_cell(shown, sums, texts.cluster, np.zeros((len(topic), N_HOURS)))
    found = {name: _likeliest(_add(pull, of), _add(information, of)) for name, of in member.items()}
    best: Group = max(member, key=lambda name: found[name][0])
    evidence, root = found[best]
    if evidence < LEAST_EVIDENCE:
        return None
    of, value = member[best], np.zeros((int(member[best].max()) + 1, N_HOURS))
    for step in range(N_STEPS):
        if step:
            pull, information = _sum_by_cell(shown, sums, texts.cluster, value[of])
            _, root = _likeliest(_add(pull, of) + _add(information, of) * value, _add(information, of))
        own, known = _add(pull, of), _add(information, of)
        weights, spread = _project(own + known * value, known, root)
        new = np.linalg.solve(spread, weights[:, :, None])[:, :, 0] @ root.T
        value = value + np.clip(new - value, -LONGEST_STEP, LONGEST_STEP)
    return HourEffects(best, topic[texts.cluster] if best == "topic" else texts.cluster, value)


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


def _sum_by_cell(shown: Impressions, sums: Floats32, cluster: Ints32, value: Floats) -> tuple[Floats, Floats]:
    """Return gradient and information by cluster and hour, float64 (clusters, 24), at effects `value`."""
    out = np.zeros((value.size, 2))

    def work(block: Block) -> Floats:
        columns = (shown.start, shown.post, shown.hour, shown.liked)
        return np.asarray(_sweep(*block, *columns, sums, cluster, value.reshape(-1), TABLE), np.float64)

    for part in in_threads(work, split_users(shown.start, ROWS_A_SUM)):
        out += part
    return out[:, 0].reshape(value.shape), out[:, 1].reshape(value.shape)


@numba.njit(cache=True, nogil=True)
def _sweep(
    low: Any, high: Any, start: Any, post: Any, hour: Any, liked: Any, sums: Any, cluster: Any, value: Any,
    table: Any,
) -> Any:  # fmt: skip
    out = np.zeros((len(value), 2))
    for i in range(start[low], start[high]):
        k = np.uint32(cluster[np.uint32(post[i])] * 24 + hour[i])
        at = np.uint32(step_of(sums[i] + value[k]))
        out[k, 0] += table[at, np.uint8(liked[i])]
        out[k, 1] += table[at, HESSIAN]
    return out
