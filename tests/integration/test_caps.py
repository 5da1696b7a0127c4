"""Caps on topics in what is published: every list is the choice among all posts."""

from pathlib import Path

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.contract.codec import decode
from api.contract.keys import Keys
from batch.data.rows import find_rows
from batch.progress import silent
from batch.publish.folder import GenerationFolder
from batch.publish.proof.inputs import INPUTS, load
from batch.publish.proof.verify import verify
from batch.publish.store import GenerationStore
from batch.score.caps import Caps
from tests.changing import N_USERS, Feed, full_run, settings_of
from tests.own_lists import read_fields

pytestmark = pytest.mark.integration
TOPICS = [f"topic {k}" for k in range(6)]


def feed_of(seed: int, n_topics: int) -> Feed:
    """Draw a feed whose posts have so many topics, one of them that of most posts, or none."""
    feed, rng = Feed.drawn(seed), np.random.default_rng(seed)
    names = np.array([*TOPICS[:n_topics], *[TOPICS[0]] * n_topics, None], object)
    feed.posts["topic"] = rng.choice(names, len(feed.posts))
    return feed


def stored(store: redis.Redis, pattern: str, post_ids: np.ndarray, starts: list[int]) -> np.ndarray:
    """Return the lists under keys, int32 (lists, depth): rows of posts, -1 fills."""
    found = []
    for key in sorted(store.scan_iter(pattern)):
        held = read_fields(store, key.decode())
        found += [decode(held[b"%d" % start]) for start in starts]
    out = np.full((len(found), max(map(len, found))), -1, np.int32)
    for row, ids in enumerate(found):
        out[row, : len(ids)] = find_rows(post_ids, np.array(ids, np.int64))
    return out


@pytest.mark.own_rights
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
@given(
    seed=st.integers(0, 10**6), n_topics=st.integers(1, 6), most=st.integers(1, 3), beside=st.integers(1, 7)
)
def test_every_published_list_is_the_choice_among_all_posts(
    store: redis.Redis,
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    n_topics: int,
    most: int,
    beside: int,
) -> None:
    store.flushall()
    of = settings_of(tmp_path_factory.mktemp("caps"), "almanac").replace(
        max_per_topic=f"{most}/{most + beside}", profiles=20
    )
    feed = feed_of(seed, n_topics)
    facts = feed.facts()

    made = full_run(store, of, facts)

    root, starts = of.state_dir / "generations", list(made.horizon.starts)
    inputs = load(GenerationFolder.of(root, 1).inputs, None, made.checksums[INPUTS])
    caps = Caps.of(of.max_per_topic, feed.facts().posts["topic"])
    assert caps is not None
    assert inputs.caps is not None
    np.testing.assert_array_equal(inputs.caps.topic, caps.topic)
    # Scored again by LightGBM's own predict, ranked whole and chosen from one by one.
    rng = np.random.default_rng(0)
    proven = verify(
        GenerationStore(store, Keys()), 1, root, sample=N_USERS, rng=rng, progress=silent, threads=1
    )
    assert proven.ok
    assert proven.n_lists == N_USERS * len(starts)
    lists = stored(store, "almanac:1:list:{*}:1", facts.post_ids, starts)
    assert caps.count_over(lists) == made.counts["over_cap"]
    blocked = (most + beside - 1) // most  # topics that can be at their cap at once
    for shared in ("popular:1", "segment:1:*", "profile:1:*"):
        rows = stored(store, f"almanac:1:{shared}", facts.post_ids, starts)
        if n_topics > blocked + 2:
            assert caps.count_over(rows) == 0
    assert made.max_per_topic == of.max_per_topic


def test_without_a_cap_a_generation_says_nothing_of_one(store: redis.Redis, tmp_path: Path) -> None:
    made = full_run(store, settings_of(tmp_path, "almanac"), Feed.drawn(1).facts())

    assert not {"cap_most", "cap_window", "over_cap"} & made.counts.keys()
    assert made.max_per_topic == ""
