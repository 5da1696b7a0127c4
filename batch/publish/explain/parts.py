"""The parts that a published score is the sum of, from a generation's stored inputs. Pure.

What an estimate adds is told apart by whose its columns are; trees by LightGBM's own contributions, which
add up to what the trees say. Effects of hours are trees of their own, at the end.

Source: Lundberg et al., Nature Machine Intelligence 2 (2020), 56-67, as LightGBM has it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from batch.arrays import AnyInts, Bools, Floats, Ints
from batch.features.sides import Sides
from batch.publish.proof.inputs import Inputs

# What the components of an estimate are to a reader; those that are not named here are taste.
FAMILY = {
    "post": "popularity",
    "post_lately": "trend",
    "liked_by_many_lately": "trend",
    "taken_by_many_lately": "trend",
    "types": "types",
}
TASTE, HOUR, TREES, ESTIMATE = "taste", "hour", "trees", "estimate"
BASE = "everybody"  # what trees say before they know anything of the pair
_COUNTS = re.compile(r"^internal_count=(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of scores, in log-odds.

    Attributes:
        names: Family and name of each: `("taste", "taste_placed")`, `("trees", "post_lift")`. The family
            `estimate` stands for all that an older model does not tell apart.
        values: float64 (scores, parts). Their sum is the score.
    """

    names: tuple[tuple[str, str], ...]
    values: Floats

    @property
    def scores(self) -> Floats:
        """Return the scores, float64 (scores,)."""
        return np.asarray(self.values.sum(axis=1), np.float64)

    def families(self) -> dict[str, Floats]:
        """Return the sum of each family, float64 (scores,), in the order in which they first stand."""
        found: dict[str, Floats] = {}
        for column, (family, _) in enumerate(self.names):
            found[family] = found.get(family, np.zeros(len(self.values))) + self.values[:, column]
        return found


def split_scores(
    inputs: Inputs, columns: Mapping[str, int], users: AnyInts, posts: AnyInts, buckets: AnyInts
) -> Parts:
    """Tell the scores of (user, post, bucket) triples, given by row number, by their parts.

    Args:
        inputs: Of the generation.
        columns: Component to how many of the factors' columns are its own, in their order; empty where the
            model does not tell.
        users: int (n,).
        posts: int (n,).
        buckets: int (n,).
    """
    names, values = list[tuple[str, str]](), list[Floats]()
    if inputs.dense is not None:
        x, y = inputs.dense
        products = x[users] * y[posts]
        for family, name, low, high in _runs(columns, products.shape[1]):
            names.append((family, name))
            values.append(products[:, low:high].sum(axis=1))
    names_of_trees, of_trees = _split_trees(inputs.model, inputs.sides, users, posts, buckets)
    return Parts((*names, *names_of_trees), np.column_stack([*values, of_trees]))


def _runs(columns: Mapping[str, int], n: int) -> list[tuple[str, str, int, int]]:
    """Return family, name, begin and end of each component's columns."""
    if sum(columns.values()) != n:
        return [(ESTIMATE, ESTIMATE, 0, n)]
    ends = np.cumsum([*columns.values()]).tolist()
    begins = [0, *ends][: len(ends)]
    spans = zip(columns, begins, ends, strict=True)
    return [(FAMILY.get(name, TASTE), name, low, high) for name, low, high in spans]


def _split_trees(
    model: str, sides: Sides, users: AnyInts, posts: AnyInts, buckets: AnyInts
) -> tuple[list[tuple[str, str]], Floats]:
    """Return names and float64 (n, parts): hours, what trees say of anything, and each feature's part."""
    booster, rows = lgb.Booster(model_str=model), sides.rows(users, posts, buckets)
    n_trees, n_learnt = booster.num_trees(), int((~_are_written(model)).sum())
    hours = np.zeros(len(rows))
    if n_learnt < n_trees:
        said = booster.predict(rows, raw_score=True, start_iteration=n_learnt, validate_features=False)
        hours = np.asarray(said, np.float64)
    shares = np.zeros((len(rows), len(sides.features) + 1))
    if n_learnt:
        found = booster.predict(rows, pred_contrib=True, num_iteration=n_learnt, validate_features=False)
        shares = np.asarray(found, np.float64)
    names = [(HOUR, HOUR), (TREES, BASE), *((TREES, feature.name) for feature in sides.features)]
    return names, np.column_stack([hours, shares[:, -1], shares[:, :-1]])


def _are_written(model: str) -> Bools:
    """Return bool (trees,): those that we wrote ourselves, which hold no counts of rows.

    LightGBM's contributions need the counts, so they are asked of the others alone.
    """
    trees = model.split("\nTree=")[1:]
    found = [(_COUNTS.search(tree) or [""] * 2)[1].split() for tree in trees]
    return np.array([bool(counts) and not any(map(int, counts)) for counts in found], np.bool_)


def rank_of(scores: Floats, candidates: Ints, post: int) -> int:
    """Return the post's place among the candidates, 1 first; ties go to the lower row."""
    own = scores[post]
    ahead = (scores[candidates] > own) | ((scores[candidates] == own) & (candidates < post))
    return int(ahead.sum()) + 1
