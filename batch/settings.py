"""The batch's settings: frozen, read from the environment once at start, each with unit, default and doc."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from api.contract.environment import check, read, setting


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting `NAME` is read from the environment variable `ALMANAC_NAME`."""

    state_dir: Path = setting(Path(".almanac"), "folder of the embedded store, facts, models, generations")
    database_url: str = setting("", "facts: SQLAlchemy URL or folder; empty: SQLite file in state_dir")
    redis_url: str = setting("", "store: redis:// URL; empty: the embedded store in state_dir")
    events_url: str = setting(
        "", "accepted live events: SQLite or PostgreSQL URL; empty: SQLite file in state_dir"
    )
    prefix: str = setting("almanac", "first part of every key in the store")
    variant: str = setting("default", "name under which a run publishes")
    mapping: str = setting("", "TOML file that maps a foreign schema; empty: StartML's names")
    text_model: str = setting("", "folder of a model2vec model that embeds posts' texts; empty: TF-IDF")
    bucket_width_s: int = setting(3600, "width of a time bucket, seconds")
    n_buckets: int = setting(24, "buckets in the horizon")
    depth: int = setting(50, "posts in a ranked list")
    seen_policy: str = setting("views", "what leaves a list: views, likes or none")
    segment_by: str = setting("gender,exp_group", "profile columns whose values make a user's segment")
    profiles: int = setting(
        2_000, "most profiles with lists for unknown users, never more than a tenth of the users; 0: none"
    )
    max_rejected_share: float = setting(0.05, "share of rejected event rows above which a run stops, 0..1")
    list_ttl_s: int = setting(14 * 86_400, "life of users' lists, seconds; a dead batch then falls back")
    generations_kept: int = setting(2, "generations kept in the store per variant, the current one included")
    gate: str = setting("off", "on: a generation that the gate doubts is not served; off: it is not asked")
    train_days: int = setting(
        60, "most days before as_of whose impressions train the trees; estimates read every fact"
    )
    train_rows: int = setting(2_000_000, "most impressions to train on; more are sampled evenly")
    n_trees: int = setting(200, "boosted trees")
    n_leaves: int = setting(31, "leaves a tree")
    seed: int = setting(42, "seed of everything random")
    memory_mb: int = setting(2048, "memory that scoring may plan with, MiB")
    threads: int = setting(0, "threads for training and scoring; 0: all cores")
    schedule: str = setting("0 3 * * *", "when `almanac schedule` runs: cron, UTC")
    refresh_schedule: str = setting(
        "", "when `almanac schedule` refreshes what moved since: cron, UTC; empty: never between runs"
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read `ALMANAC_*`; what is unset or empty keeps its default.

        Raises:
            ValueError: A value does not fit its setting; the message names the variable and the value.
        """
        return read(cls, env)

    def __post_init__(self) -> None:
        """Refuse values that no run could work with."""
        check(
            "BUCKET_WIDTH_S",
            self.bucket_width_s,
            self.bucket_width_s >= 1 and 86_400 % self.bucket_width_s == 0,
            "a divisor of 86400",
        )
        check("N_BUCKETS", self.n_buckets, 1 <= self.n_buckets <= 500, "1..500")
        check("DEPTH", self.depth, 1 <= self.depth <= 500, "1..500")
        check(
            "SEEN_POLICY",
            self.seen_policy,
            self.seen_policy in ("views", "likes", "none"),
            "views, likes or none",
        )
        check(
            "VARIANT",
            self.variant,
            re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", self.variant) is not None,
            "1 to 64 letters, digits, `_`, `-` or `.`, which the API can be asked for",
        )
        check("PROFILES", self.profiles, 0 <= self.profiles <= 20_000, "0..20000")
        check("MAX_REJECTED_SHARE", self.max_rejected_share, 0 <= self.max_rejected_share <= 1, "0..1")
        check("GENERATIONS_KEPT", self.generations_kept, self.generations_kept >= 1, "at least 1")
        check("N_TREES", self.n_trees, self.n_trees >= 1, "at least 1")
        check("N_LEAVES", self.n_leaves, 2 <= self.n_leaves <= 255, "2..255")
        check("GATE", self.gate, self.gate in ("on", "off"), "on or off")
        check("LIST_TTL_S", self.list_ttl_s, 3600 <= self.list_ttl_s < 30 * 86_400, "3600..2591999")
        check("TRAIN_DAYS", self.train_days, self.train_days >= 1, "at least 1")


def with_mapping(settings: Settings, mapping: str) -> Settings:
    """Return the settings with another mapping; as they are where it is empty."""
    return replace(settings, mapping=mapping) if mapping else settings


def with_variant(settings: Settings, variant: str) -> Settings:
    """Return the settings with another variant; as they are where it is empty."""
    return replace(settings, variant=variant) if variant else settings
