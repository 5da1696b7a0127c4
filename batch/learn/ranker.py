"""The ranker: a LightGBM model, kept as LightGBM's own text with a JSON beside it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import orjson

from batch.features.asof import Rows
from batch.features.sides import Feature
from batch.learn.factors.factor_table import FACTORS, FactorTable, fingerprint

# Small steps, large leaves, smoothed categories: effects here are weak (a post's rate has AUC .55), and
# freer fits lost to their own inputs on the real rows (docs/decisions/0002-learning.md).
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.04,
    "max_bin": 255,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "cat_smooth": 50.0,
    "max_cat_to_onehot": 8,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True)
class Ranker:
    """A trained model and what one must know to use it.

    Attributes:
        text: LightGBM's own model text.
        features: Columns in order, each with its side.
        as_of_s: No fact later than this was used.
        parameters: What LightGBM was given.
        factors: What is added to the trees' score.
        metrics: What the evaluation before this training measured.
    """

    text: str
    features: tuple[Feature, ...]
    as_of_s: int
    parameters: dict[str, Any]
    factors: FactorTable
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Return 16 hex digits that name this model, trees and factors."""
        return fingerprint(self.text, [self.factors.x], self.factors.y)

    def booster(self) -> lgb.Booster:
        """Return LightGBM's model."""
        return lgb.Booster(model_str=self.text)

    def save(self, folder: Path) -> Path:
        """Write `model.txt`, `factors.npz` and `model.json`, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "features": [asdict(feature) for feature in self.features],
            "as_of_s": self.as_of_s,
            "parameters": self.parameters,
            "metrics": self.metrics,
            "fingerprint": self.fingerprint,
        }
        (folder / FACTORS).unlink(missing_ok=True)  # never an older model's beside these trees
        _write(folder / "model.txt", self.text.encode())
        self.factors.save(folder / FACTORS)
        _write(folder / "model.json", orjson.dumps(about, option=orjson.OPT_INDENT_2))
        return folder / "model.txt"


def check_labels(rows: Rows) -> None:
    """Make sure that there is something to learn.

    Raises:
        ValueError: There are no impressions, or all of them have the same label.
    """
    n_likes = int(rows.y.sum())
    if n_likes in (0, len(rows.y)):
        raise ValueError(
            f"{len(rows.y)} impressions with {n_likes} likes before as_of cannot train a ranker: "
            "it needs impressions with and without likes"
        )


def parameters_for(n_rows: int, n_leaves: int, seed: int, threads: int) -> dict[str, Any]:
    """Return what LightGBM is given for this many rows; `threads` 0 means all cores."""
    sizes = {"num_leaves": n_leaves, "min_data_in_leaf": smallest_leaf(n_rows)}
    return {**PARAMETERS, **sizes, "seed": seed, "num_threads": threads}


def smallest_leaf(n_rows: int) -> int:
    """Return the fewest rows a leaf may hold: 20 in a tiny world, 100 in a small one, then a 2,000th.

    >>> smallest_leaf(1_000), smallest_leaf(30_000), smallest_leaf(2_000_000)
    (20, 100, 1000)
    """
    return max(20, min(100, n_rows // 200), n_rows // 2000)


def fit(
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.int8],
    features: tuple[Feature, ...],
    parameters: dict[str, Any],
    n_trees: int,
    progress: Callable[[int], None] | None = None,
    init: npt.NDArray[np.float64] | None = None,
) -> lgb.Booster:
    """Boost `n_trees` trees; `progress` is called with 1 after each.

    `init` float64 (rows,) are log-odds to boost from; the model holds only what the trees add to them.
    """
    names = [feature.name for feature in features]
    categorical = [feature.name for feature in features if feature.categorical]
    data = lgb.Dataset(
        x,
        y,
        init_score=init,
        feature_name=names,
        categorical_feature=categorical,
        params={"max_bin": parameters["max_bin"], "verbosity": -1},
    )
    callbacks = [lambda _env: progress(1)] if progress else []
    return lgb.train(parameters, data, num_boost_round=n_trees, callbacks=callbacks)


def _write(path: Path, content: bytes) -> None:
    part = path.with_suffix(path.suffix + ".part")
    part.write_bytes(content)
    part.replace(path)
