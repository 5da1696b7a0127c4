"""A refresh is byte for byte a whole scoring and publishing on the parts of the last full run."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow.parquet as pq
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api.contract.keys import Keys
from api.contract.layout import ListLayout
from api.contract.manifest import Manifest
from batch.jobs.refresh import start
from batch.jobs.refresh.digests import InputDigests
from batch.jobs.refresh.frozen import Frozen
from batch.jobs.refresh.refresh import Outcome, refresh
from batch.jobs.refresh.start import FullRunNeeded
from batch.jobs.refresh.stored import read_stored
from batch.jobs.refresh.writer import ListsGone
from batch.progress import Progress, silent
from batch.publish.folder import GenerationFolder
from batch.publish.proof.verify import verify
from batch.publish.store import GenerationStore
from batch.publish.writer import GateClosed
from batch.settings import Settings
from tests.changing import AS_OF_S, Feed, full_run, settings_of, whole_on_frozen
from tests.integration.test_publish import generations_with_keys
from tests.own_lists import needs_of, read_seen, write_field

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("some_layout")]

OF_USERS = ("new_events", "late_events", "lost_events", "late_likes", "profiles", "new_users", "gone_users")
OF_POSTS = ("new_posts", "edited_posts", "edited_windows")
N_WORLDS = 60 if os.environ.get("ALMANAC_CHAOS") else 2  # beside those that are named


def refreshed(store: redis.Redis, of: Settings, feed: Feed) -> Outcome:
    """Refresh from a feed as it is now."""
    return refresh(of, store, feed.facts(), Progress(), now=lambda: AS_OF_S + 60)


def content(store: redis.Redis, prefix: str, generation: int) -> dict[str, object]:
    """Return every value that the generation's users are served from, under it or shared by all.

    What users who are gone saw is whatever the last run that knew them wrote.
    """
    found: dict[str, object] = {}
    users = {f"{{{word.decode()}}}" for word in store.get(Keys(prefix).users(generation)).split()}  # type: ignore[union-attr]
    for key in store.scan_iter(f"{prefix}:1:*", count=1000):
        name = key.decode().removeprefix(prefix)
        what, last = name.split(":")[2], name.split(":")[-1]
        if what in ("seen", "likes"):
            if name.split(":")[3] not in users:
                continue
            found[name.removesuffix(":old")] = read_seen(store, key.decode().removesuffix(":old"))
        elif what == "list" and last == str(generation):
            layout = ListLayout(manifest(store, prefix, generation))
            asked = layout.ask_all(key.decode())
            found[name.removesuffix(last)] = (
                layout.read_all(store.execute_command(*asked)),  # type: ignore[no-untyped-call]
                store.ttl(key) > 0,
            )
        elif what in ("popular", "posts", "facets", "topics", "similar", "windows") and last == str(
            generation
        ):
            found[name.removesuffix(last)] = store.hgetall(key), store.ttl(key) > 0
        elif what == "segment" and name.split(":")[3] == str(generation):
            found[f"segment {last}"] = store.hgetall(key)
        elif what in ("catalogue", "users") and last == str(generation):
            found[name.removesuffix(last)] = store.get(key)
    return found


def manifest(store: redis.Redis, prefix: str, generation: int) -> Manifest:
    """Return a manifest."""
    text = store.get(Keys(prefix).manifest(generation))
    assert isinstance(text, bytes)
    return Manifest.from_json(text)


def assert_same(
    store: redis.Redis, a: Settings, made: int, b: Settings, whole: Manifest, ids: npt.NDArray[np.int64]
) -> None:
    """Compare two generations under two prefixes: in the store, in the manifest, on disk."""
    mine = manifest(store, a.prefix, made)
    assert mine.checksums == whole.checksums
    assert mine.root == whole.root
    assert content(store, a.prefix, made) == content(store, b.prefix, whole.generation)
    own, all_ = (
        {name: n for name, n in counts.items() if not name.startswith(("carried", "over_cap"))}
        for counts in (mine.counts, whole.counts)
    )
    assert replace(mine, counts=own, generation=0) == replace(whole, counts=all_, generation=0)
    stored = [
        read_stored(ids, GenerationFolder.of(of.state_dir / "generations", n), whole.horizon, whole.depth)
        for of, n in ((a, made), (b, whole.generation))
    ]
    np.testing.assert_array_equal(stored[0][0], stored[1][0])
    np.testing.assert_array_equal(stored[0][1], stored[1][1])


@pytest.mark.own_rights
@pytest.mark.timeout(1200)  # sixty worlds in make chaos
@settings(
    max_examples=N_WORLDS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
@given(
    seed=st.integers(0, 10**6),
    first=st.lists(st.sampled_from(OF_USERS + OF_POSTS), min_size=1, max_size=3, unique=True),
    second=st.lists(st.sampled_from(OF_USERS + OF_POSTS), max_size=2, unique=True),
)
@example(seed=1, first=list(OF_USERS), second=list(OF_POSTS))
@example(seed=4, first=list(OF_POSTS), second=["new_events"])
@example(
    seed=694838, first=["profiles", "late_events", "edited_posts"], second=["gone_users", "edited_posts"]
)
@example(seed=0, first=["late_events"], second=["lost_events"])
@example(seed=5, first=["edited_windows"], second=["edited_windows", "new_events"])
@example(  # a post's window comes and goes
    seed=291106, first=["edited_windows", "edited_posts", "late_likes"], second=["edited_windows"]
)
def test_a_refresh_is_byte_for_byte_a_whole_run_on_the_frozen_parts(
    store: redis.Redis,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    first: Sequence[str],
    second: Sequence[str],
) -> None:
    store.flushall()
    folder = tmp_path_factory.mktemp("refresh")
    monkeypatch.setattr(start, "MOST_CHANGED", 1.0)
    a, b = settings_of(folder, "a"), settings_of(folder, "b")
    feed = Feed.drawn(seed)
    facts = feed.facts()
    full_run(store, a, facts)
    base = full_run(store, b, facts)

    for changes in (first, second):  # b runs as often: what was seen stays, though the fact is taken back
        for change in changes:
            getattr(feed, change)()
        made, facts = refreshed(store, a, feed), feed.facts()
        whole = whole_on_frozen(store, b, base, facts)

    assert_same(store, a, made.generation, b, whole, facts.user_ids)


@pytest.mark.own_rights
def test_a_refresh_of_text_ids_is_byte_for_byte_a_whole_run(
    store: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "MOST_CHANGED", 1.0)
    a, b = settings_of(tmp_path, "a"), settings_of(tmp_path, "b")
    feed = Feed.drawn(1, "text")
    full_run(store, a, feed.facts())
    base = full_run(store, b, feed.facts())

    for changes in (OF_USERS, OF_POSTS):
        for change in changes:
            getattr(feed, change)()
        made = refreshed(store, a, feed)

    facts = feed.facts()
    whole = whole_on_frozen(store, b, base, facts)
    assert_same(store, a, made.generation, b, whole, facts.user_ids)
    assert (whole.user_ids, whole.post_ids, needs_of(whole)) == ("text", "text", ("ids", "windows"))
    numbers = {int(number) for number in store.hgetall(Keys("a").numbers()).values()}
    assert numbers == set(range(len(facts.posts)))
    assert store.hgetall(Keys("a").ids()) == store.hgetall(Keys("b").ids())


@pytest.mark.own_rights
def test_a_refresh_of_a_zone_of_its_own_is_byte_for_byte_a_whole_run(
    store: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "MOST_CHANGED", 1.0)
    a, b = settings_of(tmp_path, "a"), settings_of(tmp_path, "b")
    feed = Feed.drawn(1)
    feed.zone = "Asia/Kolkata"
    full_run(store, a, feed.facts())
    base = full_run(store, b, feed.facts())
    for change in OF_USERS + OF_POSTS:
        getattr(feed, change)()

    made, facts = refreshed(store, a, feed), feed.facts()

    assert_same(store, a, made.generation, b, whole_on_frozen(store, b, base, facts), facts.user_ids)


@pytest.mark.own_rights
@pytest.mark.parametrize("cap", ["2/5", "3/10", "1/3"])
def test_a_refresh_under_a_cap_is_byte_for_byte_a_whole_run(
    store: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cap: str
) -> None:
    monkeypatch.setattr(start, "MOST_CHANGED", 1.0)
    a, b = (settings_of(tmp_path, name).replace(max_per_topic=cap) for name in "ab")
    feed = Feed.drawn(3)
    full_run(store, a, feed.facts())
    base = full_run(store, b, feed.facts())

    for changes in (OF_POSTS, (*OF_USERS, "new_posts")):
        for change in changes:
            getattr(feed, change)()
        made, facts = refreshed(store, a, feed), feed.facts()
        whole = whole_on_frozen(store, b, base, facts)

    assert whole.max_per_topic == cap
    assert_same(store, a, made.generation, b, whole, facts.user_ids)


@pytest.fixture
def of(store: redis.Redis, tmp_path: Path) -> Settings:
    """Publish the first feed whole, and give its settings."""
    of = settings_of(tmp_path, "almanac")
    full_run(store, of, Feed.drawn(1).facts())
    return of


def test_where_nothing_moved_nothing_is_published(store: redis.Redis, of: Settings) -> None:
    outcome = refreshed(store, of, Feed.drawn(1))

    assert (outcome.generation, outcome.base, outcome.users_scored) == (1, 1, 0)
    assert store.hgetall(Keys().states()) == {b"1": b"sealed"}


def test_a_refresh_says_what_it_skipped_and_takes_the_place_of_its_base(
    store: redis.Redis, of: Settings
) -> None:
    feed = Feed.drawn(1)
    feed.new_events()

    outcome = refreshed(store, of, feed)

    assert outcome.users_scored + outcome.users_carried == len(feed.users)
    assert 0 < outcome.users_scored <= 8
    assert outcome.lists_carried == 4 * outcome.users_carried
    assert set(outcome.seconds) - {"pack seen"} == {"compare", "inputs", "publish", "promote", "retire"}
    assert store.hmget(Keys().current("default"), "generation", "previous") == [b"2", b"1"]
    found = verify(
        GenerationStore(store, Keys()),
        2,
        of.state_dir / "generations",
        sample=50,
        rng=np.random.default_rng(0),
        progress=silent,
    )
    assert found.ok
    assert (found.n_lists, found.unscored) == (200, None)


def test_a_new_post_comes_into_the_lists_of_those_who_did_not_move(
    store: redis.Redis, tmp_path: Path
) -> None:
    feed, of = Feed.drawn(4), settings_of(tmp_path, "almanac")  # whose new posts are about what many like
    full_run(store, of, feed.facts())
    feed.new_posts()

    outcome = refreshed(store, of, feed)

    assert (outcome.users_scored, outcome.posts_new) == (1, 3)
    assert outcome.users_merged + outcome.users_carried == len(feed.users) - 1
    assert outcome.users_merged > 0


def test_a_new_post_has_the_factors_of_its_text_cluster(store: redis.Redis, tmp_path: Path) -> None:
    feed, of = Feed.drawn(4), settings_of(tmp_path, "almanac")
    full_run(store, of, feed.facts())
    before = feed.facts().post_ids
    feed.new_posts()

    made = refreshed(store, of, feed).generation

    folder = GenerationFolder.of(of.state_dir / "generations", made)
    posts, by_cluster = pq.read_table(folder.inputs / "posts.parquet"), Frozen.load(folder.frozen).by_cluster
    new = ~np.isin(posts["post_id"].to_numpy(), before)
    own = np.array(posts["dense"].to_pylist())[new]
    assert len(own) == 3
    np.testing.assert_array_equal(own, by_cluster[posts["group"].to_numpy()[new]])
    assert np.abs(own).sum(axis=1).all()


def test_refreshes_outlive_the_full_run_they_began_with(store: redis.Redis, of: Settings) -> None:
    feed = Feed.drawn(1)
    for _ in range(3):
        feed.new_events()
        outcome = refreshed(store, of, feed)

    assert (outcome.generation, outcome.base) == (4, 3)
    assert generations_with_keys(store) == {3, 4}
    assert sorted(path.name for path in (of.state_dir / "generations").iterdir()) == ["3", "4"]


def lost_store(store: redis.Redis, of: Settings, feed: Feed) -> Settings:
    """Lose everything that is in the store."""
    store.flushall()
    return of


def without(*names: str) -> Callable[[redis.Redis, Settings, Feed], Settings]:
    """Lose part of the generation's folder."""

    def lose(store: redis.Redis, of: Settings, feed: Feed) -> Settings:
        for name in names:
            path = of.state_dir / "generations" / "1" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return of

    return lose


def older_version(store: redis.Redis, of: Settings, feed: Feed) -> Settings:
    """Find what an older Almanac froze, which did not know profiles."""
    path = of.state_dir / "generations" / "1" / "frozen" / "frozen.json"
    about = orjson.loads(path.read_bytes())
    del about["profiles"]
    path.write_bytes(orjson.dumps(about))
    return of


def older_digests(store: redis.Redis, of: Settings, feed: Feed) -> Settings:
    """Find digests of an older Almanac, which had one of each post."""
    path = of.state_dir / "generations" / "1" / "frozen" / "posts.parquet"
    pq.write_table(pq.read_table(path).drop_columns("posts_1"), path)
    return of


def days_later(store: redis.Redis, of: Settings, feed: Feed) -> Settings:
    """Let time pass."""
    feed.happen(5, AS_OF_S + 86_400, AS_OF_S + 90_000)
    return of


def everybody(store: redis.Redis, of: Settings, feed: Feed) -> Settings:
    """Let everybody see something."""
    feed.happen(900, AS_OF_S + 1, AS_OF_S + 3000)
    return of


def deeper(store: redis.Redis, of: Settings, feed: Feed) -> Settings:
    """Want longer lists."""
    return of.replace(depth=20)


def capped(store: redis.Redis, of: Settings, feed: Feed) -> Settings:
    """Want no more than three of a topic close together."""
    return of.replace(max_per_topic="3/10")


def fewer_posts(store: redis.Redis, of: Settings, feed: Feed) -> Settings:
    """Take a post away."""
    feed.posts = feed.posts.iloc[1:]
    return of


def other_topic(store: redis.Redis, of: Settings, feed: Feed) -> Settings:
    """Put a post under a topic that there was not."""
    feed.posts.loc[0, "topic"] = "chess"
    return of


def other_profile(store: redis.Redis, of: Settings, feed: Feed) -> Settings:
    """Know one thing more of users."""
    feed.users["os"] = "iOS"
    return of


def texts(_store: redis.Redis, of: Settings, feed: Feed) -> Settings:
    """Take up texts as ids."""
    feed.kind = "text"
    return of


def other_layout(_store: redis.Redis, of: Settings, _feed: Feed) -> Settings:
    """Want lists laid out the other way."""
    return of.replace(layout="text" if of.layout == "packed" else "packed")


def other_zone(_store: redis.Redis, of: Settings, feed: Feed) -> Settings:
    """Go by other clocks."""
    feed.zone = "Asia/Kolkata"
    return of


def before_the_dictionary(_store: redis.Redis, of: Settings, _feed: Feed) -> Settings:
    """Let the base have had a post whose id is its number though it is beyond 2³¹."""
    folder = GenerationFolder.of(of.state_dir / "generations", 1).frozen
    digests = InputDigests.load(folder)
    replace(digests, post_ids=np.append(digests.post_ids[:-1], 2**40)).save(folder)
    return of


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lost_store, "nothing is served under variant 'default'"),
        (without("roll.parquet"), "has no roll.parquet"),
        (without("frozen"), "keeps no frozen parts of a full run"),
        (older_version, "another version of Almanac froze what .* keeps: 'profiles'"),
        (without("inputs/model.txt"), "has no model.txt"),
        (older_digests, "another version of Almanac froze what .* keeps: .*posts_1"),
        (days_later, "the lists' horizon ends at 2021-12-26T"),
        (everybody, "of the users have moved, a refresh is for up to 20%"),
        (deeper, "ALMANAC_DEPTH is 20, and generation 1 has 12"),
        (other_layout, "ALMANAC_LAYOUT is (text|packed), and generation 1 has (text|packed)"),
        (capped, "ALMANAC_MAX_PER_TOPIC is 3/10, and generation 1 has none"),
        (fewer_posts, "is not among the facts any more"),
        (texts, "ids of users and posts are text and text, in generation 1 numbers and numbers"),
        (other_zone, "hours of the day are those of Asia/Kolkata, and generation 1 was made by UTC"),
        (before_the_dictionary, "of a version that had no dictionary of posts' ids"),
        (other_topic, "has topic 'chess' and a text, as none before it"),
        (other_profile, r"profiles have the columns \['gender', 'age', 'city', 'os'\]"),
    ],
)
def test_where_a_refresh_will_not_do_it_says_why_and_writes_nothing(
    store: redis.Redis,
    of: Settings,
    change: Callable[[redis.Redis, Settings, Feed], Settings],
    why: str,
) -> None:
    feed = Feed.drawn(1)
    if change is not lost_store:
        feed.late_likes()
    now = change(store, of, feed)
    before = store.hgetall(Keys().states())

    with pytest.raises(FullRunNeeded, match=why):
        refreshed(store, now, feed)

    assert store.hgetall(Keys().states()) == before


def test_lists_that_are_gone_stop_a_refresh_and_what_is_served_stays(
    store: redis.Redis, of: Settings
) -> None:
    feed = Feed.drawn(1)
    store.delete(Keys().list(int(feed.users["user_id"].iloc[50]), 1))
    feed.profiles()

    with pytest.raises(ListsGone, match=r"1 of 8\d lists of generation 1 are gone from the store"):
        refreshed(store, of, feed)

    assert store.hget(Keys().current("default"), "generation") == b"1"
    assert generations_with_keys(store) == {1}


def test_the_gate_stops_a_refresh_that_carries_over_what_was_not_sealed(
    store: redis.Redis, of: Settings
) -> None:
    feed = Feed.drawn(1)
    feed.profiles()
    good = refreshed(store, of.replace(gate="on"), feed)
    write_field(store, good.generation, int(feed.users["user_id"].iloc[50]), b"segment", b"gender=9")
    feed.profiles()

    with pytest.raises(
        GateClosed, match=r"\(abort\): 0 of 1 shards read back from the store have the checksum"
    ):
        refreshed(store, of.replace(gate="on"), feed)

    assert store.hget(Keys().current("default"), "generation") == b"2"
    assert generations_with_keys(store) == {1, 2}
