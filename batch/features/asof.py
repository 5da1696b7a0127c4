"""Features as of a time, side by side: the same code makes the rows that train and the sides that score."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from api.contract.buckets import DAY_S
from batch.features import profile, text
from batch.features.population import Population, cell_side, user_side
from batch.features.sides import Feature, Sides
from batch.features.tally import Tally, shrunk_lift
from batch.source.facts import Facts

BEHAVIOUR = ("user_lift", "user_lift_recent", "user_views", "user_days_away")
POST = ("post_lift", "post_lift_recent", "post_trend", "post_views", "post_days_shown", "text_length")
TIME = ("hour", "weekday")
CELLS = ("topic_lift", "cluster_lift", "topic_share")
UNSHOWN = (1.0, 1.0, 0.0, 0.0, float("nan"))  # the columns of POST but the length, of a post nobody has seen


@dataclass(frozen=True, slots=True)
class Statics:
    """What does not change with time: profiles, texts, and the features in the model's order."""

    profiles: profile.Profiles
    texts: text.Texts
    features: tuple[Feature, ...]


def statics(facts: Facts, seed: int) -> Statics:
    """Describe users and posts once."""
    profiles = profile.encode(facts.users)
    texts = text.describe(facts.posts, facts.embeddings, seed)
    features = (
        *profiles.features,
        *(Feature(name, "user") for name in BEHAVIOUR),
        Feature("topic", "post", categorical=True),
        Feature("cluster", "post", categorical=True),
        *(Feature(name, "post") for name in POST),
        *(Feature(f"text_{k}", "post") for k in range(text.N_FACTORS_KEPT)),
        *(Feature(name, "time") for name in TIME),
        *(Feature(name, "user_group") for name in CELLS),
    )
    return Statics(profiles, texts, features)


def tally(facts: Facts, known: Statics) -> Tally:
    """Start counting `facts` by user, post and user × text cluster."""
    return Tally(facts, known.texts.cluster, len(known.texts.topic_of_cluster))


def sides(facts: Facts, known: Statics, counts: Tally, starts: npt.NDArray[np.int64]) -> Sides:
    """Return every feature as of `counts.at_s`, for the buckets that begin at `starts`."""
    common = Population.of(counts, known.texts, counts.base_rate)
    return Sides(
        features=known.features,
        user_ids=facts.user_ids,
        post_ids=facts.post_ids,
        starts=starts,
        user=np.column_stack([known.profiles.values, user_side(counts, common)]).astype(np.float32),
        post=_post_side(counts, known.texts),
        time=time_side(starts),
        user_group=cell_side(counts, known.texts.topic_of_cluster, common),
        group=known.texts.cluster,
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """Impressions as the model sees them, in order of time.

    Attributes:
        event: int64 (rows,). Row in the facts.
        x: float32 (rows, features).
        y: int8 (rows,). 1 where a like followed.
    """

    event: npt.NDArray[np.int64]
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int8]


def rows(
    facts: Facts, known: Statics, start_s: int, end_s: int, width_s: int, most: int, rng: np.random.Generator
) -> Rows:
    """Return impressions of `[start, end)` with the features that a batch before their day would have had.

    The window is cut into days counted back from its end; a day's rows see facts up to the day's begin
    and none after it, exactly as a feed computed once a day does. Like rows are dropped. More than `most`
    impressions are thinned evenly at random.
    """
    low, high = np.searchsorted(facts.time, [start_s, end_s], side="left")
    events = low + np.flatnonzero(facts.views[low:high])
    if len(events) > most:
        events = np.sort(rng.choice(events, most, replace=False))
    x = np.empty((len(events), len(known.features)), np.float32)
    counts = tally(facts, known)
    time = facts.time[events]
    for begin_s in range(end_s - DAY_S * -(-(end_s - start_s) // DAY_S), end_s, DAY_S):
        first, last = np.searchsorted(time, [begin_s, begin_s + DAY_S], side="left")
        if first == last:
            continue
        chosen = events[first:last]
        counts.advance(begin_s - 1)
        starts, bucket = np.unique(time[first:last] - time[first:last] % width_s, return_inverse=True)
        day = sides(facts, known, counts, starts)
        x[first:last] = day.rows(facts.user[chosen], facts.post[chosen], bucket)
    return Rows(events, x, facts.target[events])


def time_side(starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return float32 (buckets, 2): hour 0..23 and weekday 0..6 (Monday 0) of each start, UTC."""
    moments = [datetime.fromtimestamp(int(start), UTC) for start in starts]
    return np.array([[m.hour, m.weekday()] for m in moments], np.float32).reshape(-1, len(TIME))


def post_side(texts: text.Texts, behaviour: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """Return float32 (posts, columns): what posts are about, and (posts, 5) how they have been received."""
    about = np.column_stack([texts.topic, texts.cluster])
    return np.hstack([about, behaviour, texts.length[:, None], texts.factors]).astype(np.float32)


def _post_side(counts: Tally, texts: text.Texts) -> npt.NDArray[np.float32]:
    posts, base = counts.posts, counts.base_rate
    lift = shrunk_lift(posts.likes, posts.views * base)
    recent = shrunk_lift(posts.recent_likes, posts.recent_views * base)
    shown = (counts.at_s - counts.first_shown_s) / DAY_S
    # Views per post grow with time and with the number of users; their share of the mean does neither.
    views = posts.views / max(float(posts.views.mean()), 1e-9)
    return post_side(texts, np.column_stack([lift, recent, recent - lift, views, shown]))
