"""Where users choose, a refresh moves posts by what is taken of them, if nobody had by the full run."""

from pathlib import Path

import numpy as np
import pytest
import redis

from api.contract.buckets import DAY_S
from batch.jobs.refresh import start
from batch.jobs.refresh.frozen import Frozen
from batch.publish.folder import GenerationFolder
from tests.changing import AS_OF_S, BEGIN_S, Feed, full_run, settings_of, whole_on_frozen
from tests.integration.test_refresh import OF_POSTS, OF_USERS, assert_same, refreshed

pytestmark = pytest.mark.integration


def drawn(seed: int) -> Feed:
    """Draw a feed of choices, each day of other posts, with three that nobody has taken."""
    feed = Feed.drawn(seed)
    feed.shown = "choices"
    post, day = feed.events[:, 1], (feed.events[:, 2] - BEGIN_S) // DAY_S
    hot = post % 6 == day
    feed.events = feed.events[(hot | (post % 7 == 0)) & ~np.isin(post, untaken_of(feed))]
    feed.events[-1, 2] = AS_OF_S
    return feed


def untaken_of(feed: Feed) -> list[int]:
    """Return posts that nobody takes at first, one of them among others."""
    return [int(feed.posts["post_id"].iloc[row]) for row in (0, 20, 40)]


def take(feed: Feed, post: int, n: int) -> None:
    """Let so many users take a post and like it."""
    views = [[user, post, AS_OF_S + 60 + k, 0, 1] for k, user in enumerate(feed.some(n).tolist())]
    likes = [[user, post, at_s + 5, 1, 0] for user, post, at_s, _, _ in views]
    feed.events = np.concatenate([feed.events, views, likes])


@pytest.mark.own_rights
@pytest.mark.parametrize(("seed", "has_recency"), [(3, True), (5, False)])
def test_a_refresh_of_choices_is_byte_for_byte_a_whole_run(
    store: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, has_recency: bool
) -> None:
    monkeypatch.setattr(start, "MOST_CHANGED", 1.0)
    a, b = settings_of(tmp_path, "a"), settings_of(tmp_path, "b")
    feed = drawn(seed)
    posts = untaken_of(feed)[:2]
    full_run(store, a, feed.facts())
    base = full_run(store, b, feed.facts())

    for post, changes in zip(posts, ((*OF_POSTS, "lost_events"), OF_USERS), strict=True):
        for change in changes:
            getattr(feed, change)()
        take(feed, post, 3)
        made, facts = refreshed(store, a, feed), feed.facts()
        whole = whole_on_frozen(store, b, base, facts)

    assert_same(store, a, made.generation, b, whole, facts.user_ids)
    frozen = GenerationFolder.of(a.state_dir / "generations", made.generation).frozen
    assert bool(Frozen.load(frozen).scales) == has_recency


def test_a_post_that_is_taken_between_two_runs_comes_into_lists_of_those_who_did_not_move(
    store: redis.Redis, tmp_path: Path
) -> None:
    feed, of = drawn(3), settings_of(tmp_path, "almanac")
    made = full_run(store, of, feed.facts()).generation
    frozen = Frozen.load(GenerationFolder.of(of.state_dir / "generations", made).frozen)
    take(feed, untaken_of(feed)[1], 12)

    outcome = refreshed(store, of, feed)

    assert frozen.untaken.tolist() == untaken_of(feed)
    assert frozen.scales
    assert (outcome.posts_new, outcome.users_scored) == (0, 12)
    assert outcome.users_merged > 0
