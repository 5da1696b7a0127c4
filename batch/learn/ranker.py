"""The ranker: a LightGBM model, kept as LightGBM's own text with a JSON beside it."""

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import orjson

from batch.arrays import Ints
from batch.features.sides import Feature
from batch.learn.factors.factor_table import FACTORS, FactorTable, fingerprint

TEXT, ABOUT = "model.txt", "model.json"


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
        made_of: What its features mean, `batch.learn.given.digest`; empty where nothing says.
    """

    text: str
    features: tuple[Feature, ...]
    as_of_s: int
    parameters: dict[str, Any]
    factors: FactorTable
    metrics: dict[str, float] = field(default_factory=dict)
    made_of: str = ""

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
            "made_of": self.made_of,
        }
        (folder / FACTORS).unlink(missing_ok=True)  # never an older model's beside these trees
        _write(folder / TEXT, self.text.encode())
        self.factors.save(folder / FACTORS)
        _write(folder / ABOUT, orjson.dumps(about, option=orjson.OPT_INDENT_2))
        return folder / TEXT

    @classmethod
    def load(cls, folder: Path) -> "Ranker | None":
        """Read what `save` wrote; None where it is not there whole."""
        if not all((folder / name).is_file() for name in (ABOUT, TEXT, FACTORS)):
            return None
        about = orjson.loads((folder / ABOUT).read_bytes())
        found = cls(
            text=(folder / TEXT).read_text("utf-8"),
            features=tuple(Feature(**feature) for feature in about["features"]),
            as_of_s=about["as_of_s"],
            parameters=about["parameters"],
            factors=FactorTable.load(folder / FACTORS),
            metrics={name: float("nan") if x is None else x for name, x in about["metrics"].items()},
            made_of=about.get("made_of", ""),
        )
        return found if found.fingerprint == about["fingerprint"] else None


def drop_users(folder: Path, codes: Ints) -> bool:
    """Take users out of a saved model, whose name is another one then; return whether it knew any.

    A folder that is called by the model's name gets the new one. Killed at any point, it can be done again.
    """
    path, about_path = folder / FACTORS, folder / ABOUT
    if not path.is_file() or not about_path.is_file():
        return False
    table, about = FactorTable.load(path), orjson.loads(about_path.read_bytes())
    stay = ~np.isin(table.user_ids, codes)
    others = FactorTable(table.user_ids[stay], table.post_ids, table.x[stay], table.y, table.level[stay])
    was, name = about["fingerprint"], fingerprint((folder / TEXT).read_text(), [others.x], others.y)
    if not stay.all():
        others.save(path)
    _write(about_path, orjson.dumps({**about, "fingerprint": name}, option=orjson.OPT_INDENT_2))
    if folder.name == was != name:
        shutil.rmtree(folder.with_name(name), ignore_errors=True)
        folder.rename(folder.with_name(name))
    return not bool(stay.all())


def _write(path: Path, content: bytes) -> None:
    part = path.with_suffix(path.suffix + ".part")
    part.write_bytes(content)
    part.replace(path)
