"""The batch's settings: frozen, read from the environment once at start, each with unit, default and doc."""

import re
from pathlib import Path
from typing import Any, Literal
from zoneinfo import available_timezones

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from api.contract.explore import read_places
from api.contract.manifest import Layout
from api.environment import StoreSettings

DAY_S = 86_400
MOST_PLACES = 500  # in a ranked list
# Columns of posts that are no facets.
NO_FACETS = ("post_id", "text", "more_topics", "all_topics", "valid_from", "valid_to")


class Settings(StoreSettings):
    """Every setting `NAME` is read from the environment variable `ALMANAC_NAME`."""

    state_dir: Path = Field(
        Path(".almanac"), description="folder of the embedded store, facts, models, generations"
    )
    database_url: SecretStr = Field(
        SecretStr(""), description="facts: SQLAlchemy URL or folder; empty: SQLite file in state_dir"
    )
    database_stall_s: float = Field(
        120.0, ge=1, description="longest silence of PostgreSQL in the middle of a command, seconds"
    )
    events_url: SecretStr = Field(
        SecretStr(""),
        description="accepted live events: SQLite or PostgreSQL URL; empty: SQLite file in state_dir",
    )
    variant: str = Field(
        "default", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="name under which a run publishes"
    )
    mapping: str = Field("", description="TOML file that maps a foreign schema; empty: StartML's names")
    ids: Literal["", "text"] = Field(
        "", description="text: users' or posts' ids may be strings though those that are served are numbers"
    )
    text_model: str = Field(
        "", description="folder of a model2vec model that embeds posts' texts; empty: TF-IDF"
    )
    bucket_width_s: int = Field(3600, ge=1, description="width of a time bucket, seconds")
    n_buckets: int = Field(24, ge=1, le=500, description="buckets in the horizon")
    depth: int = Field(50, ge=1, le=MOST_PLACES, description="posts in a ranked list")
    layout: Layout = Field(
        "text",
        description="how users' own lists, and what they saw long ago, stand in the store: text, which "
        "redis-cli reads, or packed, in a third of the memory",
    )
    sleep_days: int = Field(
        0,
        ge=0,
        description="users who saw and liked nothing new for so many days get no lists of their own until "
        "the next run or refresh after they did, but answers from their segment's; 0: everybody has lists",
    )
    seen_policy: Literal["views", "likes", "none"] = Field(
        "views", description="what leaves a list: views, likes or none"
    )
    max_per_topic: str = Field(
        "",
        description="cap on topics in our own lists: 3/10 lets at most 3 posts of a topic stand in any 10 "
        "consecutive places; empty: none",
    )
    segment_by: str = Field(
        "gender,exp_group", description="profile columns whose values make a user's segment"
    )
    filter_by: str = Field(
        "topic",
        description="columns of posts that requests may filter by, with commas between; empty: none",
    )
    topic_depth: int = Field(
        0,
        ge=0,
        le=100,
        description="posts in users' own lists of their 8 best topics, for requests by topic; 0: none",
    )
    explore: str = Field(
        "",
        description="share of a first page's places for new posts, drawn by weight: 1/10, one of ten "
        "places; empty: none",
    )
    explore_impressions: int = Field(
        100, ge=1, description="impressions below which a post is new, and may be drawn for such places"
    )
    explore_floor: float = Field(
        0.1, gt=0, le=1, description="least weight of a new post, as a share of an even one"
    )
    profiles: int = Field(
        2_000,
        ge=0,
        le=20_000,
        description="most profiles with lists for unknown users, "
        "never more than a tenth of the users; 0: none",
    )
    similar: int = Field(
        50, ge=0, le=100, description="similar posts kept of each post, for its neighbours' route; 0: none"
    )
    max_rejected_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of unreadable event rows, or of faulty rows of published lists, "
        "above which a run stops, 0..1",
    )
    max_duplicate_share: float = Field(
        1.0, ge=0, le=1, description="the same of event rows that are there twice; they count once"
    )
    max_unknown_post_share: float = Field(
        0.9, ge=0, le=1, description="the same of events of posts that the table of posts lacks"
    )
    max_future_share: float = Field(0.5, ge=0, le=1, description="the same of events later than now")
    max_short_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of published lists not half as long as the longest, above which they are refused",
    )
    max_absent_user_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="the same of users with lists in what is served and none in what is published",
    )
    list_ttl_s: int = Field(
        14 * DAY_S,
        ge=3600,
        lt=30 * DAY_S,
        description="life of users' lists, seconds; a dead batch then falls back",
    )
    generations_kept: int = Field(
        2, ge=1, description="generations kept in the store per variant, the current one included"
    )
    gate: Literal["off", "warn", "on"] = Field(
        "warn",
        description="on: a generation that the gate doubts is not served; warn: its report goes into "
        "manifest and log, and nothing is held back; off: it is not asked",
    )
    train_days: int = Field(
        60,
        ge=1,
        description="most days before as_of whose impressions train the trees; estimates read every fact",
    )
    train_rows: int = Field(2_000_000, description="most impressions to train on; more are sampled evenly")
    n_trees: int = Field(100, ge=1, description="boosted trees")
    n_leaves: int = Field(31, ge=2, le=255, description="leaves a tree")
    tuned: str = Field(
        "", description="TOML file by `almanac tune`, whose values stand over these and peers' own"
    )
    candidates: str = Field(
        "item_knn_cosine,als", description="peers whose best posts the peers by two stages rank"
    )
    candidates_per_user: int = Field(200, ge=1, description="posts that each of them gives a user")
    ranker_aim: Literal["classification", "lambdarank"] = Field(
        "classification",
        description="what their ranker learns: whether a post is liked, or the order of a user's posts",
    )
    seed: int = Field(42, description="seed of everything random")
    estimates_nights: int = Field(
        7,
        ge=0,
        description="nights that may go by the weights and trees of an earlier one, while tastes are learnt "
        "anew each night; 0: every night fits its own",
    )
    memory_mb: int = Field(2048, description="memory that scoring may plan with, MiB")
    threads: int = Field(0, description="threads for training and scoring; 0: all cores")
    schedule: str = Field(
        "0 3 * * *",
        description="when `almanac schedule` runs: as in crontab(5), by the clock of ALMANAC_ZONE",
    )
    refresh_schedule: str = Field(
        "",
        description="when `almanac schedule` refreshes what moved since: likewise; empty: never between runs",
    )
    zone: str = Field(
        "UTC", description="time zone of the schedules, such as Europe/Berlin; all else is in UTC"
    )

    resume_h: float = Field(
        12.0,
        ge=0,
        description="hours for which the facts that a run has read are kept, so that one after it goes on "
        "from them where it died; 0: never",
    )
    models_kept: int = Field(7, ge=1, description="newest models that stay in the state folder")
    deadline_h: float = Field(
        12.0, gt=0, description="hours after which `almanac schedule` stops a run, its attempts included"
    )
    drain_s: float = Field(
        5.0,
        ge=0,
        description="seconds between drains of live events and exposures by `almanac schedule`; "
        "0: runs alone drain",
    )
    exposures_days: int = Field(
        90,
        ge=0,
        description="days for which the answers of experiments stay in ALMANAC_EVENTS_URL; 0: for ever",
    )
    runs_kept: int = Field(
        100,
        ge=1,
        description="runs whose record, log and overview stay in the state folder, see `almanac runs`",
    )
    notices: SecretStr = Field(
        SecretStr(""),
        description="apprise URLs that are told how runs end, with blanks between; error=URL: of errors only",
    )
    notices_file: str = Field("", description="file of more such URLs, a line each; empty: none")
    stale_h: int = Field(
        36,
        ge=0,
        description="hours after which what is served, or its newest fact, is stale: a notice; 0: never",
    )
    tracking: SecretStr = Field(
        SecretStr(""),
        description="MLflow that is told of runs, evaluations and tuning: mlflow: and its address "
        "or a folder; empty: none",
    )
    metrics_port: int = Field(
        0, ge=0, le=65_535, description="port where `almanac schedule` shows Prometheus its metrics; 0: none"
    )
    metrics_host: str = Field("127.0.0.1", description="address of that port")
    grafana_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="Grafana that has our dashboard, for a link of the inspector's to it; empty: no link",
    )

    @property
    def plain(self) -> dict[str, Any]:
        """Return all that hold no secret, by name, as JSON has them."""
        secret = {name for name, value in self if isinstance(value, SecretStr)}
        return self.model_dump(mode="json", exclude=secret)

    @property
    def filter_columns(self) -> tuple[str, ...]:
        """Return the columns of posts that requests may filter by."""
        return tuple(dict.fromkeys(name.strip() for name in self.filter_by.split(",") if name.strip()))

    @field_validator("topic_depth")
    @classmethod
    def _filters_by_topic(cls, depth: int, info: ValidationInfo) -> int:
        if depth and "topic" not in [name.strip() for name in info.data.get("filter_by", "").split(",")]:
            raise ValueError("lists of topics answer requests by topic: name topic in ALMANAC_FILTER_BY too")
        return depth

    @field_validator("filter_by")
    @classmethod
    def _names_columns(cls, text: str) -> str:
        for name in text.split(","):
            if "=" in name or name.strip() in NO_FACETS:
                raise ValueError(f"{name.strip()!r} is no column to filter by: name such as topic,brand")
        return text

    @field_validator("explore")
    @classmethod
    def _is_a_share_of_places(cls, text: str) -> str:
        places = read_places(text)
        return f"1/{places}" if places else ""

    @field_validator("tracking")
    @classmethod
    def _is_a_tracker(cls, secret: SecretStr) -> SecretStr:
        if not re.fullmatch(r"(mlflow:(https?://\S+|[^:]*[^:\s][^:]*))?", secret.get_secret_value()):
            raise ValueError(
                "a tracker should be mlflow: and the address of a server or a folder, such as "
                "mlflow:http://127.0.0.1:5000 or mlflow:tracked"
            )
        return secret

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError("a zone should be a name of the time zone database, such as Europe/Berlin")
        return name

    @field_validator("bucket_width_s")
    @classmethod
    def _divides_the_day(cls, width_s: int) -> int:
        if DAY_S % width_s:
            raise ValueError(f"a width should be a divisor of {DAY_S}")
        return width_s

    @field_validator("max_per_topic")
    @classmethod
    def _is_a_cap(cls, text: str) -> str:
        found = re.fullmatch(r"\s*(\d{1,3})\s*/\s*(\d{1,3})\s*", text)
        if not text.strip():
            return ""
        if found is None or not 0 < int(found[1]) < int(found[2]) <= MOST_PLACES:
            raise ValueError(
                "a cap should be such as 3/10, at most 3 posts of a topic in any 10 consecutive places: "
                f"fewer posts than places, and at most {MOST_PLACES} places"
            )
        return f"{int(found[1])}/{int(found[2])}"
