"""Windows of posts in what is published: a list holds what is valid as its bucket begins, and all of that."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.contract.buckets import moment
from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.manifest import WINDOWS
from api.contract.window import decode_window
from batch.data.facts import Facts
from batch.data.windows import Windows
from batch.jobs.backfill import make
from batch.jobs.full import run
from batch.progress import Progress, silent
from batch.publish.backfilled import open_content
from batch.publish.post_ids import read_post_ids
from batch.publish.proof.verify import verify
from batch.publish.replay.kept import from_disk
from batch.publish.retire import retire
from batch.publish.store import GenerationStore
from batch.settings import Settings
from batch.store import read
from batch.store.lease import hold
from tests.changing import AS_OF_S, BEGIN_S, N_USERS, Feed, full_run, settings_of
from tests.clients import serving
from tests.integration.test_backfill import NOBODY
from tests.oracle import Events, expected
from tests.own_lists import read_fields

pytestmark = pytest.mark.integration


def feed_of(seed: int, kind: Any = "numbers", n: int = 8) -> Feed:
    """Draw a feed of which many posts have windows, about the horizon or far from it."""
    feed = Feed.drawn(seed, kind)
    for _ in range(n):
        feed.edited_windows()
    return feed


def in_store(store: redis.Redis, pattern: str) -> list[tuple[int, list[int]]]:
    """Return bucket start and numbers of every list under some keys."""
    return [
        (int(start), decode(text))
        for key in store.scan_iter(pattern)
        for start, text in read_fields(store, key.decode()).items()
        if start != b"segment"
    ]


@pytest.mark.own_rights
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["numbers", "text"]),
    cap=st.sampled_from(["", "2/5"]),
)
def test_a_published_list_is_what_predict_ranks_of_the_posts_valid_as_its_bucket_begins(
    store: redis.Redis, tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str, cap: str
) -> None:
    store.flushall()
    folder = tmp_path_factory.mktemp("windows")
    of = settings_of(folder, "almanac").replace(max_per_topic=cap, profiles=20)
    facts = feed_of(seed, kind).facts()
    windows = Windows.of(facts.posts)
    assert windows is not None

    made = full_run(store, of, facts)

    generations, keys, horizon = GenerationStore(store, Keys()), Keys(), made.horizon
    row = {post: k for k, post in enumerate(facts.post_ids.tolist())}
    codes = read_post_ids(generations, made).codes

    def rows(numbers: list[int]) -> list[int]:
        return [row[code] for code in codes(np.array(numbers, np.int64)).tolist()]

    offered = windows.touch(horizon.start_s, horizon.end_s)
    assert 0 < offered.sum() < len(offered)
    opened = dict(zip(horizon.starts, windows.at(np.array(horizon.starts)), strict=True))
    own = [*in_store(store, "almanac:1:list:{*}:1"), *in_store(store, "almanac:1:profile:1:*")]
    assert all(opened[start][rows(numbers)].all() for start, numbers in own)
    assert any(not opened[start].all() and numbers for start, numbers in own)
    catalogue = rows(decode(read.value(store, keys.catalogue(1))))
    assert sorted(catalogue) == np.flatnonzero(offered).tolist()
    assert sorted(rows([int(n) for n in read.fields(store, keys.posts(1))])) == sorted(catalogue)
    shared = [
        numbers
        for what in ("popular:1", "segment:1:*")
        for _, numbers in in_store(store, f"almanac:1:{what}")
    ]
    shared += [
        decode(text)
        for name in ("facets", "similar")
        for text in read.fields(store, getattr(keys, name)(1)).values()
    ]
    shared += [
        decode(text)
        for key in store.scan_iter("almanac:1:topics:{*}:1")
        for text in read.fields(store, key.decode()).values()
    ]
    assert all(offered[rows(numbers)].all() for numbers in shared)
    told = {rows([int(n)])[0]: decode_window(text) for n, text in read.fields(store, keys.windows(1)).items()}
    assert told == {k: windows.sides(k) for k in np.flatnonzero(offered & windows.given).tolist()}
    assert WINDOWS in made.needs
    assert made.counts["posts"] == offered.sum()
    found = verify(
        generations, 1, of.state_dir / "generations", sample=N_USERS, rng=np.random.default_rng(0),
        progress=silent, threads=1,
    )  # fmt: skip
    assert found.ok
    assert found.n_lists == N_USERS * horizon.n_buckets


def test_nothing_is_answered_outside_its_window_and_every_answer_is_the_oracles(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    facts = feed_of(11).facts()
    windows = Windows.of(facts.posts)
    assert windows is not None
    row = {post: k for k, post in enumerate(facts.post_ids.tolist())}
    made = full_run(store, settings_of(tmp_path, "almanac"), facts)
    events = Events(facts.user_ids[facts.user], facts.post_ids[facts.post], facts.time)
    turns = np.unique(np.concatenate([windows.from_s, windows.to_s]))
    about = turns[(turns > made.start_s - 7200) & (turns < made.horizon.end_s + 7200)]
    times = np.unique([*about, *about - 1, made.horizon.end_s + 86_400, *made.horizon.starts]).tolist()
    users, answers = facts.user_ids[::30].tolist(), set()

    with serving(valkey_url, tmp_path, AS_OF_S + 60) as client:
        for at_s in times:
            valid = windows.at(np.array([at_s]))[0]
            for user in (*users, 999_999):
                query = {"id": user, "time": moment(at_s).isoformat(), "limit": 25}
                posts = [post["id"] for post in client.get("/post/recommendations/", params=query).json()]
                assert posts == expected(store, events, user, at_s, 25)
                assert valid[[row[post] for post in posts]].all()
                answers.add(tuple(posts))

    assert len(about) > 4
    assert len(answers) > len(times)


def test_a_changed_window_in_the_store_is_found_and_all_keys_go_with_their_generation(
    store: redis.Redis, tmp_path: Path
) -> None:
    of = settings_of(tmp_path, "almanac")
    for _ in range(2):
        full_run(store, of, feed_of(2).facts())
    generations, keys = GenerationStore(store, Keys()), Keys()
    post = next(iter(read.fields(store, keys.windows(1))))
    store.hset(keys.windows(1), post, ",1")

    found = verify(
        generations, 1, of.state_dir / "generations", sample=0, rng=np.random.default_rng(0), progress=silent
    )
    with hold(store, keys.lease(), AS_OF_S, silent) as lease:
        retire(generations, lease, of.state_dir / "generations", 1, silent)

    assert found.bad_shards == ("shared",)
    assert not store.exists(keys.windows(1))
    assert store.exists(keys.windows(2))


def test_without_windows_a_generation_says_nothing_of_them(store: redis.Redis, tmp_path: Path) -> None:
    made = full_run(store, settings_of(tmp_path, "almanac"), Feed.drawn(1).facts())

    assert WINDOWS not in made.needs
    assert not store.exists(Keys().windows(1))


def test_where_no_post_may_be_shown_nothing_is_published(store: redis.Redis, tmp_path: Path) -> None:
    feed = Feed.drawn(1)
    feed.windows = dict.fromkeys(feed.posts["post_id"].tolist(), (None, BEGIN_S))

    with pytest.raises(ValueError, match="no post may be shown between 2021-12-26"):
        full_run(store, settings_of(tmp_path, "almanac"), feed.facts())

    assert not store.exists(Keys().counter())


def test_a_run_passes_its_gate_and_its_evaluation_with_windows(store: redis.Redis, tmp_path: Path) -> None:
    of = settings_of(tmp_path, "almanac").replace(gate="on", generations_kept=2)
    facts: Facts = feed_of(7).facts()

    result = run(of, store, "", Progress(), facts=facts)

    made = GenerationStore(store, Keys()).current("default")
    assert made.generation == result.generation
    assert made.gate is not None
    assert made.gate["outcome"] == "proceed"
    assert WINDOWS in made.needs


def test_a_peers_lists_hold_what_is_valid_as_their_bucket_begins(store: redis.Redis, tmp_path: Path) -> None:
    of = settings_of(tmp_path, "almanac").replace(variant="popular")
    facts = feed_of(7).facts()
    windows = Windows.of(facts.posts)
    assert windows is not None

    run(of, store, "", Progress(), facts=facts)

    row = {post: k for k, post in enumerate(facts.post_ids.tolist())}
    lists = in_store(store, "almanac:1:list:{*}:1")
    for start, numbers in lists:
        valid = windows.at(np.array([start]))[0]
        assert numbers
        assert valid[[row[number] for number in numbers]].all()
    assert len({tuple(numbers) for _, numbers in lists}) > 1


def test_a_backfilled_generation_has_the_candidates_and_windows_of_its_time(tmp_path: Path) -> None:
    of: Settings = settings_of(tmp_path, "almanac")
    feed, as_of_s = Feed.drawn(3), AS_OF_S - 86_400
    over, later = feed.posts["post_id"][:2].tolist()
    feed.windows = {over: (None, as_of_s + 1800), later: (AS_OF_S, None)}

    made = make(of, feed.facts(), NOBODY, as_of_s, created_at_s=AS_OF_S)

    content, kept = open_content(made), from_disk(made).shared
    assert content.windowed == {0: (None, as_of_s + 1800)}
    assert over in kept.posts
    assert later not in kept.posts
    assert later not in kept.catalogue
    assert kept.windows == {over: (None, as_of_s + 1800)}
