"""The batch's settings: frozen, read from the environment once at start, each with unit, default and doc."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


def _setting(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting `NAME` is read from the environment variable `ALMANAC_NAME`."""

    state_dir: Path = _setting(Path(".almanac"), "folder of the embedded store, facts, models, generations")
    database_url: str = _setting("", "facts: SQLAlchemy URL or folder; empty: SQLite file in state_dir")
    redis_url: str = _setting("", "store: redis:// URL; empty: the embedded store in state_dir")
    prefix: str = _setting("almanac", "first part of every key in the store")
    variant: str = _setting("default", "name under which a run publishes")
    mapping: str = _setting("", "TOML file that maps a foreign schema; empty: StartML's names")
    bucket_width_s: int = _setting(3600, "width of a time bucket, seconds")
    n_buckets: int = _setting(24, "buckets in the horizon")
    depth: int = _setting(50, "posts in a ranked list")
    seen_policy: str = _setting("views", "what leaves a list: views, likes or none")
    segment_by: str = _setting("gender,exp_group", "profile columns whose values make a user's segment")
    max_rejected_share: float = _setting(0.05, "share of rejected event rows above which a run stops, 0..1")
    list_ttl_s: int = _setting(14 * 86_400, "life of users' lists, seconds; a dead batch then falls back")
    generations_kept: int = _setting(2, "generations kept in the store per variant, the current one included")
    train_days: int = _setting(60, "days before as_of whose impressions train the model")
    train_rows: int = _setting(2_000_000, "most impressions to train on; more are sampled evenly")
    n_trees: int = _setting(200, "boosted trees")
    n_leaves: int = _setting(31, "leaves a tree")
    seed: int = _setting(42, "seed of everything random")
    memory_mb: int = _setting(2048, "memory that scoring may plan with, MiB")
    threads: int = _setting(0, "threads for training and scoring; 0: all cores")
    schedule: str = _setting("0 3 * * *", "when `almanac schedule` runs: cron, UTC")

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read `ALMANAC_*`; what is unset or empty keeps its default.

        Raises:
            ValueError: A value does not fit its setting; the message names the variable and the value.
        """
        values: dict[str, Any] = {}
        for spec in fields(cls):
            name = f"ALMANAC_{spec.name.upper()}"
            text = env.get(name, "")
            if text:
                values[spec.name] = _parse(name, text, type(spec.default))
        return cls(**values)

    def __post_init__(self) -> None:
        """Refuse values that no run could work with."""
        _check(
            "BUCKET_WIDTH_S",
            self.bucket_width_s,
            self.bucket_width_s >= 1 and 86_400 % self.bucket_width_s == 0,
            "a divisor of 86400",
        )
        _check("N_BUCKETS", self.n_buckets, 1 <= self.n_buckets <= 500, "1..500")
        _check("DEPTH", self.depth, 1 <= self.depth <= 500, "1..500")
        _check(
            "SEEN_POLICY",
            self.seen_policy,
            self.seen_policy in ("views", "likes", "none"),
            "views, likes or none",
        )
        _check("MAX_REJECTED_SHARE", self.max_rejected_share, 0 <= self.max_rejected_share <= 1, "0..1")
        _check("GENERATIONS_KEPT", self.generations_kept, self.generations_kept >= 1, "at least 1")
        _check("N_TREES", self.n_trees, self.n_trees >= 1, "at least 1")
        _check("N_LEAVES", self.n_leaves, 2 <= self.n_leaves <= 255, "2..255")
        _check("TRAIN_DAYS", self.train_days, self.train_days >= 1, "at least 1")


def _check(name: str, value: object, holds: bool, wanted: str) -> None:
    if not holds:
        raise ValueError(f"ALMANAC_{name}={value} must be {wanted}")


def _parse(name: str, text: str, kind: type[Any]) -> Any:
    try:
        return kind(text)
    except ValueError as exc:
        raise ValueError(
            f"{name}={text!r} is not {'a number' if kind in (int, float) else kind.__name__}"
        ) from exc
