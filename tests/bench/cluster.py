"""Past one machine: a night in shards, and whatever else of the house stands on several; a part each."""

from collections.abc import Callable
from pathlib import Path

from tests.bench.cluster_shards import run as run_shards
from tests.bench.cluster_store import run as run_store

Run = Callable[[float, Path | None], dict[str, object]]
PARTS: dict[str, Run] = {"shards": run_shards, "store": lambda _scale, _facts: run_store()}


def run(parts: str, scale: float, facts: Path | None) -> dict[str, object]:
    """Measure some parts, with commas between their names, or all; return the figures of each.

    Args:
        parts: Names; empty: all.
        scale: Share of the original's 163,205 users, of the shards' night.
        facts: Folder that keeps the made facts for the next time; None: they are made and dropped.

    Raises:
        ValueError: A name is no part's.
    """
    names = [name.strip() for name in parts.split(",")] if parts else list(PARTS)
    for name in names:
        if name not in PARTS:
            raise ValueError(f"--parts {name!r} is none: give such as {','.join(PARTS)}")
    return {name: PARTS[name](scale, facts) for name in names}
