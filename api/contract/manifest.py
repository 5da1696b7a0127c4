"""A generation's own description: the API learns everything about a generation from here."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson

from api.contract.buckets import Horizon
from api.contract.keys import SCHEMA
from api.contract.profile import Bins

SeenPolicy = Literal["views", "likes", "none"]
State = Literal["building", "sealed", "retired", "quarantined"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a sealed generation says of itself. Times are epoch seconds, UTC.

    `as_of_s` is the newest accepted fact; no later one entered. `checksums` maps a shard's name to the
    digest of its lists; `root` digests those. `gate` is the report that let it through, where one ran.
    `profile` says how a profile becomes a signature: columns and their bins, see `profile.signature`.
    """

    generation: int
    variant: str
    as_of_s: int
    created_at_s: int
    start_s: int
    width_s: int
    n_buckets: int
    depth: int
    seen_policy: SeenPolicy
    model: str
    features: tuple[str, ...]
    segment_by: tuple[str, ...]
    segments: tuple[str, ...]
    counts: dict[str, int]
    checksums: dict[str, str] = field(default_factory=dict)
    root: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    gate: dict[str, Any] | None = None
    profile: Bins = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def horizon(self) -> Horizon:
        """Return the buckets that this generation holds."""
        return Horizon(self.start_s, self.width_s, self.n_buckets)

    def to_json(self) -> bytes:
        """Write as JSON with sorted keys, indented: people read it with `redis-cli`."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        """Read what `to_json` wrote.

        Raises:
            ValueError: The text is no manifest, or one of another schema.
        """
        try:
            raw = orjson.loads(text)
            if raw["schema"] != SCHEMA:
                raise ValueError(f"the manifest has schema {raw['schema']}, this Almanac reads {SCHEMA}")
            tuples = {name: tuple(raw[name]) for name in ("features", "segment_by", "segments")}
            return cls(**{**raw, **tuples})
        except (KeyError, TypeError, orjson.JSONDecodeError) as exc:
            raise ValueError(f"this is no manifest: {exc!r}") from exc
