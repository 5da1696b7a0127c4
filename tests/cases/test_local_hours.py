"""Where a mapping says a zone, hours of the day are those of its clocks, in summer and in winter.

Four weeks of summer time in New York: until nine o'clock early posts are liked, from then on late ones, by
everybody. Lists are for the days after the clocks were set back, when the same hour is one later by UTC.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from batch.data.facts import Facts
from batch.data.local_time import local_s
from batch.data.mapping import Mapping
from batch.features import asof, popularity
from batch.learn.factors.impressions import gather
from batch.learn.recipe import Recipe
from batch.learn.train import train
from tests.data_rows import csv, read_all

NEW_YORK = ZoneInfo("America/New_York")
N_USERS, N_POSTS = 24, 12
LATE = np.arange(N_POSTS) % 3 == 0  # fewer than early ones, so that an hour alone tells something
FIRST, N_DAYS, HOURS = datetime(2021, 10, 5), 28, range(6, 12)  # noqa: DTZ001 - as tables have local times
WINTER = datetime(2021, 11, 9, tzinfo=NEW_YORK)
RECIPE = Recipe(train_days=60, train_rows=10**6, width_s=3600, n_trees=30, n_leaves=15, seed=1, threads=1)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """Read the feed, whose times are local ones without an offset."""
    folder = tmp_path_factory.mktemp("local")
    shown = [
        (
            FIRST + timedelta(days=day, hours=hour, minutes=4 * post),
            (5 * day + 7 * hour) % N_USERS,
            post,
        )
        for day in range(N_DAYS)
        for hour in HOURS
        for post in range(N_POSTS)
    ]
    at, user, post = zip(*shown, strict=True)
    liked = [int((one.hour < 9) != LATE[number]) for one, _, number in shown]
    columns = {"timestamp": [str(one) for one in at], "user_id": user, "post_id": post, "target": liked}
    posts = {
        "post_id": range(N_POSTS),
        "topic": np.where(LATE, "late", "early"),
        "text": [f"word{k % 3} word{k % 4}" for k in range(N_POSTS)],
    }
    rows = {"feed_data": pa.table(columns), "post_text_df": pa.table(posts)}
    mapping = Mapping.from_toml({"time": {"zone": "America/New_York"}})
    return read_all(csv(folder / "data", rows), folder, mapping=mapping)


def starts(*hours: int) -> np.ndarray:
    """Give the moments at which clocks show some hours on a day in winter."""
    return np.array([int(WINTER.replace(hour=hour).timestamp()) for hour in hours], np.int64)


def test_clocks_show_each_day_s_own_offset() -> None:
    moments = np.array(
        [int(datetime(2021, *day, 5, 30, tzinfo=UTC).timestamp()) for day in ((11, 7), (11, 8))]
    )

    for zone in ("America/New_York", "Asia/Kolkata", "Europe/Moscow"):
        wanted = [datetime.fromtimestamp(s, ZoneInfo(zone)).replace(tzinfo=UTC).timestamp() for s in moments]
        assert local_s(moments, zone).tolist() == wanted
    assert local_s(moments, "") is moments
    assert len(local_s(moments[:0], "Asia/Kolkata")) == 0


def test_buckets_have_the_hour_and_the_weekday_of_the_zone() -> None:
    night = int(
        datetime(2021, 11, 7, 3, tzinfo=UTC).timestamp()
    )  # a Saturday's evening there; then clocks go back

    side = asof.time_side(night + 3600 * np.arange(5, dtype=np.int64), "America/New_York")

    assert side.tolist() == [[23, 5], [0, 6], [1, 6], [1, 6], [2, 6]]


def test_impressions_have_the_hour_that_the_table_says(facts: Facts) -> None:
    shown, n_an_hour = gather(facts), N_DAYS * N_POSTS

    assert np.bincount(shown.hour, minlength=24).tolist() == [
        n_an_hour * (hour in HOURS) for hour in range(24)
    ]
    assert set(gather(replace(facts, zone="")).hour.tolist()) == {hour + 4 for hour in HOURS}


def test_an_hour_s_popular_posts_are_those_liked_at_this_hour_of_the_zone(facts: Facts) -> None:
    counts = asof.start_tally(facts, asof.describe(facts, 1)).advance(facts.as_of_s)

    def late(of: Facts) -> list[list[bool]]:
        """Tell of the four most popular posts at eight and at nine o'clock which are late ones."""
        everyone = np.zeros(N_USERS, np.int32)
        ranked = popularity.rank(of, counts, starts(8, 9), everyone, 1, depth=4)
        np.testing.assert_array_equal(ranked.segments[0], ranked.buckets)
        return [[bool(LATE[post]) for post in row] for row in ranked.buckets]

    assert late(facts) == [[False] * 4, [True] * 4]
    assert late(replace(facts, zone="")) == [
        [True] * 4,
        [True] * 4,
    ]  # by UTC, eight in winter is what was nine in summer


def test_a_model_ranks_by_the_hour_of_the_zone(facts: Facts) -> None:
    statics = asof.describe(facts, 1)
    counts = asof.start_tally(facts, statics).advance(facts.as_of_s)
    model = train(facts, statics, facts.as_of_s, RECIPE).model

    sides = asof.make_sides(facts, statics, counts, starts(7, 8, 9, 10))

    posts = np.arange(N_POSTS, dtype=np.int64)
    for bucket, late_first in enumerate((False, False, True, True)):
        rows = sides.rows(np.zeros_like(posts), posts, np.full_like(posts, bucket))
        scores = np.asarray(model.booster().predict(rows, raw_score=True))
        assert (
            (scores[LATE].min() > scores[~LATE].max())
            if late_first
            else (scores[LATE].max() < scores[~LATE].min())
        )
