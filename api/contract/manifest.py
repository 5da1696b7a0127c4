"""A generation's own description: the API learns everything about a generation from here.

A reader ignores fields that it does not know, so that a newer batch may add some. What it must know to serve
a generation rightly is named in `needs`. So the API is upgraded first, then the batch.
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import orjson

from api.contract.buckets import Horizon
from api.contract.ids import FEATURE, Kind
from api.contract.keys import SCHEMA
from api.contract.profile import Bins

SeenPolicy = Literal["views", "likes", "none"]
State = Literal["building", "sealed", "retired", "quarantined"]
Layout = Literal["text", "packed"]

HOLDS_SEEN = "holds_seen"  # in `needs`: lists hold posts that were seen by as_of
WINDOWS = "windows"  # in `needs`: some posts may be answered for some times only
EXPLORE = "explore"  # in `needs`: some places are for new posts
PACKED = "packed"  # in `needs`: users' own lists are packed, see `layout.py`
FOLDED = "folded"  # in `needs`: what was seen may be packed, see `seen.py`
FOLDED_S = "folded_s"  # in `counts`: up to which second it was when the generation was begun

CAP = "cap_most", "cap_window"  # in `counts`: most posts of a topic in so many consecutive places
SIMILAR = "similar"  # in `counts`: how many similar posts a post has at most
EXPLORE_PLACES, EXPLORE_NEW = (
    "explore_places",
    "explore_new",
)  # in `counts`: one of how many places; new posts
SLEEPERS = "sleepers"  # in `counts`: how many users have empty lists since they sleep
FACETS = "facets "  # in `counts`, before a column: how many values requests may filter by

FEATURES = frozenset(
    {FEATURE, HOLDS_SEEN, WINDOWS, EXPLORE, PACKED, FOLDED}
)  # what this version knows of what a generation may need
NEW_FIELDS = ("holds_seen", "redacted")  # left out at their default: older versions refuse what is new

TUPLES = ("features", "segment_by", "segments", "needs")  # JSON has lists only


class NeedsMore(ValueError):
    """A generation needs features that this version does not know."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a sealed generation says of itself. Times are epoch seconds, UTC.

    `as_of_s` is the newest accepted fact; no later one entered. `checksums` maps a shard's name to the
    digest of its lists; `root` digests those. `gate` is the report that let it through, where one ran.
    `profile` says how a profile becomes a signature: columns and their bins, see `profile.signature`.
    `needs` names features that a reader must know. `user_ids` and `post_ids` say what ids are in JSON.
    `holds_seen`: lists hold posts that their user had seen by as_of, as only somebody else's do.
    `redacted` counts the users who were forgotten since it was sealed; checksums and counts are without them.
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
    needs: tuple[str, ...] = ()
    user_ids: Kind = "numbers"
    post_ids: Kind = "numbers"
    holds_seen: bool = False
    redacted: int = 0
    schema: int = SCHEMA

    @property
    def filter_by(self) -> tuple[str, ...]:
        """Return the columns of posts that the generation has facets of, ascending; `counts` has them.

        They are no field, since older versions refuse what is new and can serve all but filters.
        """
        return tuple(sorted(name.removeprefix(FACETS) for name in self.counts if name.startswith(FACETS)))

    @property
    def max_per_topic(self) -> str:
        """Return the cap on topics that lists were made under, such as 3/10; empty where there is none."""
        if CAP[0] not in self.counts:
            return ""
        most, window = (self.counts[name] for name in CAP)
        return f"{most}/{window}"

    @property
    def explore(self) -> str:
        """Return the share of places that are for new posts, such as 1/10; empty where none is."""
        return f"1/{self.counts[EXPLORE_PLACES]}" if EXPLORE in self.needs else ""

    @property
    def topic_depth(self) -> int:
        """Return how many posts users' lists of single topics have at most; 0: there are none."""
        return self.counts.get("topic_depth", 0)

    @property
    def sees_all(self) -> bool:
        """Say whether lists must be held against all that their user has seen, not only what came since.

        So it is where lists hold posts seen by as_of, where some are drawn, and where what was seen since
        as_of is packed already: then a later generation was made before this one.
        """
        is_behind = self.as_of_s < self.counts.get(FOLDED_S, self.as_of_s)
        return self.holds_seen or EXPLORE in self.needs or is_behind

    @property
    def layout(self) -> Layout:
        """Return how users' own lists stand in the store; older versions know text alone."""
        return "packed" if PACKED in self.needs else "text"

    @property
    def similar(self) -> int:
        """Return how many similar posts a post has at most; 0: none are kept. In `counts`, as facets are."""
        return self.counts.get(SIMILAR, 0)

    @property
    def horizon(self) -> Horizon:
        """Return the buckets that this generation holds."""
        return Horizon(self.start_s, self.width_s, self.n_buckets)

    def to_json(self) -> bytes:
        """Write as JSON with sorted keys, indented: people read it with `redis-cli`."""
        raw = asdict(self)
        for name in () if self.needs else ("needs", "user_ids", "post_ids"):
            del raw[name]
        for name in NEW_FIELDS:
            if not raw[name]:
                del raw[name]
        return orjson.dumps(raw, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        """Read what `to_json` wrote.

        Raises:
            NeedsMore: It names features in `needs` that this version does not know.
            ValueError: The text is no manifest, or one of another schema.
        """
        try:
            raw = orjson.loads(text)
            if raw["schema"] != SCHEMA:
                raise ValueError(f"the manifest has schema {raw['schema']}, this Almanac reads {SCHEMA}")
            lacking = sorted({*raw.get("needs", ())} - FEATURES)
            if lacking:
                what = f"generation {raw['generation']} needs {', '.join(lacking)}"
                raise NeedsMore(
                    f"{what}, which this version of Almanac does not know: upgrade it, or roll back"
                )
            values = {field.name: raw[field.name] for field in fields(cls) if field.name in raw}
            tuples = {name: tuple(values[name]) for name in TUPLES if name in values}
            return cls(**{**values, **tuples})
        except (KeyError, TypeError, orjson.JSONDecodeError) as exc:
            raise ValueError(f"this is no manifest: {exc!r}") from exc
