"""Posts that nobody had taken by a full run: as a run at their newest event would have them, and no other."""

from dataclasses import replace

import numpy as np

from batch.data.facts import Facts
from batch.features import asof
from batch.features.reception import Reception, describe_reception, receive_since
from batch.learn.recency import log_recent
from batch.learn.trend import LIKED, TAKEN, find_scales, find_untaken, follow_trend
from tests.facts import BEGIN_S, DAY_S, facts_of

NEW, RUN_S = 5, BEGIN_S + 20 * DAY_S
COLUMNS = {"taken_next": 2, LIKED: 1, TAKEN: 1}


def choices() -> Facts:
    """Let users take posts for twenty days, and then the new one too; a half of it is liked."""
    rng = np.random.default_rng(1)
    events = [
        (user, post, BEGIN_S + int(rng.integers(20 * DAY_S)), 0, int(rng.random() < 0.5))
        for user in range(30)
        for post in rng.choice(NEW, 3, replace=False).tolist()
    ]
    later = [(user, NEW, RUN_S + 600 * user, 0, user % 2) for user in range(1, 9)]
    return replace(facts_of(sorted(events, key=lambda one: one[2]) + later, 30, NEW + 2), shown="choices")


def test_recency_is_what_a_run_at_the_newest_event_gives_but_for_the_others_mean() -> None:
    facts = choices()
    scales = find_scales(facts, RUN_S, COLUMNS)
    y = np.arange(4.0 * (NEW + 2)).reshape(-1, 4)

    found = follow_trend(y, facts, find_untaken(facts, RUN_S), scales, COLUMNS)

    half_life_s = scales[LIKED].half_life_s
    now = log_recent(facts, facts.as_of_s, half_life_s)
    run = log_recent(facts.until(RUN_S), RUN_S, half_life_s)
    np.testing.assert_array_equal(found[:NEW], y[:NEW])
    np.testing.assert_array_equal(found[:, :2], y[:, :2])
    assert np.isclose(found[NEW, 2] - found[NEW + 1, 2], now[NEW] - now[NEW + 1])
    assert found[NEW + 1, 2] == np.float32(run[NEW + 1])  # still untaken, as the run itself had it
    assert found[NEW, 3] > found[NEW, 2] - y[0, 0]
    assert (y == np.arange(4.0 * (NEW + 2)).reshape(-1, 4)).all()


def test_where_a_feed_showed_the_posts_nothing_is_followed() -> None:
    facts = replace(choices(), shown="impressions")

    assert not find_untaken(facts, RUN_S).any()
    assert find_scales(facts, RUN_S, COLUMNS) == {}
    assert find_scales(choices(), RUN_S, {"taken_next": 2}) == {}


def test_how_a_post_is_received_is_what_a_tally_at_its_newest_event_says() -> None:
    facts = choices()
    statics, untaken = asof.describe(facts, 1), find_untaken(facts, RUN_S)
    common = Reception.of(asof.start_tally(facts, statics).advance(RUN_S))

    found = receive_since(facts, untaken, common)

    counts = asof.start_tally(facts, statics).advance(facts.as_of_s)
    whole = describe_reception(counts.posts, counts.first_shown_s, counts.at_s, common)
    assert np.flatnonzero(untaken).tolist() == [NEW, NEW + 1]
    np.testing.assert_allclose(found, whole[untaken])
    np.testing.assert_array_equal(found[1], asof.UNSHOWN)
