"""The model as a course checker loads it: `get_model_path`, `load_models`, `predict`, `predict_proba`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import orjson
import pandas as pd

from api.contract.ids import canonical
from batch.arrays import AnyFloats, Floats, Ints
from batch.data.ids import encode_ids
from batch.learn.factors.factor_table import FACTORS, FactorTable
from batch.learn.ranker import ABOUT

WORKDIR = Path("/workdir/user_input")  # where the checker puts what was handed in


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A classifier over a LightGBM text model and, where they lie beside it, the factors it was trained on.

    Attributes:
        booster: The trees. Alone they answer for users and posts without factors.
        factors: Factors of single users and posts; None where the model's text came alone.
        columns: Names of the model's columns; None where the text came alone, whose own names stand in.
    """

    booster: lgb.Booster
    factors: FactorTable | None = None
    columns: tuple[str, ...] | None = None

    def predict_proba(self, x: pd.DataFrame | AnyFloats) -> Floats:
        """Return float64 (rows, 2): the probabilities of no like and of a like.

        Rows of a frame that names `user_id` and `post_id` are answered as published: by trees and factors.
        Users and posts whom the model does not know, frames without the two columns and bare arrays are
        answered by the trees alone.

        Args:
            x: Columns in the model's order, or a frame with the model's column names in any order; ids are
                numbers or texts, in any spelling.

        Raises:
            ValueError: A frame lacks a column of the model; the message names it.
        """
        raw = np.asarray(self.booster.predict(self._order_columns(x), raw_score=True), np.float64)
        if self.factors is not None and isinstance(x, pd.DataFrame) and {"user_id", "post_id"} <= set(x):
            raw += self.factors.of(*(_codes(x[name]) for name in ("user_id", "post_id")))
        like = 1.0 / (1.0 + np.exp(-raw))
        return np.column_stack([1.0 - like, like])

    def predict(self, x: pd.DataFrame | AnyFloats) -> Ints:
        """Return int64 (rows,): 1 where a like is at least as probable as none."""
        return (self.predict_proba(x)[:, 1] >= 0.5).astype(np.int64)

    def _order_columns(self, x: pd.DataFrame | AnyFloats) -> AnyFloats:
        if not isinstance(x, pd.DataFrame):
            return x
        names = list(self.columns or self.booster.feature_name())
        missing = [name for name in names if name not in x.columns]
        if missing:
            raise ValueError(f"the frame lacks the model's columns {', '.join(missing)}")
        return np.asarray(x[names].to_numpy(np.float64, na_value=np.nan))


def _codes(ids: "pd.Series[Any]") -> Ints:
    """Return the codes under which a model knows ids."""
    if pd.api.types.is_numeric_dtype(ids.dtype):
        return np.asarray(ids, np.int64)
    return encode_ids([canonical(str(id_)) for id_ in ids])


def get_model_path(path: str | os.PathLike[str], group: str = "") -> Path:
    """Return where the model lies: the checker's place when `IS_LMS=1`, else `path`.

    Args:
        path: Where it lies at home.
        group: `control` or `test` in an A/B check, else empty.
    """
    if os.environ.get("IS_LMS") == "1":
        return WORKDIR / (f"model_{group}" if group else "model")
    return Path(path)


def load_models(path: str | os.PathLike[str] = ".almanac/model/model.txt", group: str = "") -> LoadedModel:
    """Load the model that the newest run left, or the one the checker put in its place.

    The factors and the columns' names are read where `factors.npz` and `model.json` lie beside the text, as a
    run leaves them; a checker that is handed the text alone has the trees alone.

    Raises:
        FileNotFoundError: No model lies there; the message names the place and the command that trains one.
    """
    place = get_model_path(path, group)
    if not place.is_file():
        raise FileNotFoundError(
            f"no model at {place}: run `almanac run` first, or give the path of a model.txt"
        )
    beside, about = place.parent / FACTORS, place.parent / ABOUT
    factors = FactorTable.load(beside) if beside.is_file() else None
    columns = orjson.loads(about.read_bytes())["features"] if about.is_file() else None
    names = tuple(column["name"] for column in columns) if columns else None
    return LoadedModel(lgb.Booster(model_str=place.read_text()), factors, names)
