"""What a tracking server is told, as values: pure, and nothing of MLflow but the names of its outcomes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

End = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True)
class Tracked:
    """Something that ended, with what it was made of and what it is worth.

    Attributes:
        experiment: Under which it stands: `runs`, `evaluations` or `tuning`.
        name: For people.
        end: How it ended.
        begun_s: When it began, epoch seconds.
        ended_s: When it ended.
        parameters: What it was told to do.
        metrics: What came of it, finite numbers.
        tags: What it is, by name: `facts`, `root`, `generation` …
        files: Paths of files that belong to it: plots, tables.
        model: Folder of the model that it published; empty where there is none of ours.
        registered: Name under which that model is registered, or was by an earlier one.
        key: What no second one has: it is told of once, and further parts join it. Empty: told of each time.
        parts: What it consists of: a model of a comparison, a trial of a study.
    """

    experiment: str
    name: str
    end: End
    begun_s: float
    ended_s: float
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    model: str = ""
    registered: str = ""
    key: str = ""
    parts: "tuple[Tracked, ...]" = ()

    def to_json(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"kind": "tracked", **asdict(self)}


@dataclass(frozen=True, slots=True)
class Served:
    """What is served of a variant, and what a rollback would go back to: generations, None for none."""

    registered: str
    current: int | None
    previous: int | None

    def to_json(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"kind": "served", **asdict(self)}


def read_record(told: Mapping[str, Any]) -> Tracked | Served:
    """Read what `to_json` wrote."""
    values = {name: value for name, value in told.items() if name != "kind"}
    if told["kind"] == "served":
        return Served(**values)
    return _tracked(values)


def _tracked(values: Mapping[str, Any]) -> Tracked:
    parts, files = tuple(map(_tracked, values["parts"])), tuple(values["files"])
    return Tracked(**{**values, "parts": parts, "files": files})
