"""Features as of a time, side by side: the same code makes the rows that train and the sides that score."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from batch.arrays import AnyFloats, Floats32, Ints, Ints8
from batch.data.columns import USERS
from batch.data.facts import Facts
from batch.data.local_time import local_s
from batch.features import profile, text
from batch.features.population import Population, cell_side, user_side
from batch.features.reception import Reception, describe_reception
from batch.features.sides import Feature, Sides, distinct_names
from batch.features.tally import Tally, UserCounts

BEHAVIOUR = ("user_lift", "user_lift_recent", "user_views", "user_days_away")
POST = ("post_lift", "post_lift_recent", "post_trend", "post_views", "post_days_shown", "text_length")
TIME = ("hour", "weekday")
CELLS = ("topic_lift", "cluster_lift", "topic_share")
GROWING = {"user_views", "user_days_away", "post_days_shown"}
UNSHOWN = (1.0, 1.0, 0.0, 0.0, float("nan"))  # the columns of POST but the length, of a post nobody has seen


@dataclass(frozen=True, slots=True)
class Statics:
    """What does not change with time: profiles, texts, and the features in the model's order."""

    profiles: profile.Profiles
    texts: text.Texts
    features: tuple[Feature, ...]


def describe(facts: Facts, seed: int) -> Statics:
    """Describe users and posts once, by what does not change with time."""
    texts = text.describe(facts.posts, facts.embeddings, seed, facts.post_came)
    return join_statics(profile.encode(facts.users), texts)


def join_statics(profiles: profile.Profiles, texts: text.Texts) -> Statics:
    """Return the features, in the model's order, of users and posts that are described."""
    ours = (
        *(Feature(name, "user", grows=name in GROWING) for name in BEHAVIOUR),
        Feature("topic", "post", categorical=True),
        Feature("cluster", "post", categorical=True),
        *(Feature(name, "post", grows=name in GROWING) for name in POST),
        *(Feature(f"text_{k}", "post") for k in range(text.N_FACTORS_KEPT)),
        *(Feature(name, "time") for name in TIME),
        *(Feature(name, "user_group") for name in CELLS),
    )
    columns = [feature.name for feature in profiles.features]
    names = distinct_names(columns, {feature.name for feature in ours}, f"{USERS}.")
    theirs = (replace(feature, name=name) for feature, name in zip(profiles.features, names, strict=True))
    return Statics(profiles, texts, (*theirs, *ours))


def start_tally(facts: Facts, statics: Statics) -> Tally:
    """Start counting `facts` by user, post and user × text cluster."""
    return Tally(facts, statics.texts.cluster, len(statics.texts.topic_of_cluster))


def make_sides(facts: Facts, statics: Statics, counts: Tally, starts: Ints) -> Sides:
    """Return every feature as of `counts.at_s`, for the buckets that begin at `starts`."""
    by_user, common = counts.by_user, Population.of(counts, statics.texts)
    return Sides(
        features=statics.features,
        user_ids=facts.user_ids,
        post_ids=facts.post_ids,
        starts=starts,
        user=np.column_stack([statics.profiles.values, user_side(by_user, common)]).astype(np.float32),
        post=_post_side(counts, statics.texts),
        time=time_side(starts, facts.zone),
        user_group=cell_side(by_user, statics.texts.topic_of_cluster, common),
        group=statics.texts.cluster,
    )


def make_cold_sides(sides: Sides, statics: Statics, counts: Tally, profiles: AnyFloats) -> Sides:
    """Return the sides of users with these profiles and no history, numbered from 0.

    Args:
        sides: Of the users there are, as of the same moment; posts, times and groups are taken over.
        statics: What does not change with time.
        counts: What `sides` were made of.
        profiles: (users, profile columns), as the model reads them; NaN is missing.
    """
    common = Population.of(counts, statics.texts)
    nobody = UserCounts.none(len(profiles), counts.n_groups, counts.at_s)
    return replace(
        sides,
        user_ids=np.arange(len(profiles), dtype=np.int64),
        user=np.column_stack([profiles, user_side(nobody, common)]).astype(np.float32),
        user_group=cell_side(nobody, statics.texts.topic_of_cluster, common),
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """Impressions as the model sees them, in order of time.

    Attributes:
        event: int64 (rows,). Row in the facts.
        x: float32 (rows, features).
        y: int8 (rows,). 1 where a like followed.
    """

    event: Ints
    x: Floats32
    y: Ints8


def time_side(starts: Ints, zone: str = "") -> Floats32:
    """Return float32 (buckets, 2): each start's hour 0..23 and weekday 0..6 (Monday 0), in the zone."""
    moments = [datetime.fromtimestamp(int(start), UTC) for start in local_s(starts, zone)]
    return np.array([[m.hour, m.weekday()] for m in moments], np.float32).reshape(-1, len(TIME))


def post_side(texts: text.Texts, behaviour: AnyFloats) -> Floats32:
    """Return float32 (posts, columns): what posts are about, and (posts, 5) how they have been received."""
    about = np.column_stack([texts.topic, texts.cluster])
    return np.hstack([about, behaviour, texts.length[:, None], texts.factors]).astype(np.float32)


def _post_side(counts: Tally, texts: text.Texts) -> Floats32:
    received = describe_reception(counts.posts, counts.first_shown_s, counts.at_s, Reception.of(counts))
    return post_side(texts, received)
