"""A published generation in a real store: its bytes, its life, its promotion, what it leaves behind."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import redis

from api.contract.codec import decode, encode
from api.contract.keys import Keys
from api.contract.manifest import Layout, Manifest
from batch.data.seen import SeenTimes
from batch.jobs.inspect import look
from batch.progress import silent
from batch.publish import seen_sets, shard
from batch.publish.ledger.ledger import NothingServed
from batch.publish.publish import publish
from batch.score.ranked import RankedBlock
from batch.store import read
from batch.store.lease import LeaseLost, LeaseTaken, hold
from batch.store.server import StoreUnfit
from tests.content import AS_OF_S, KEYS, TTL_S, blocks, config, content, expected, generations, published
from tests.own_lists import lose_seen, read_seen

pytestmark = pytest.mark.integration


def hashes(store: redis.Redis, generation: int) -> dict[int, dict[bytes, bytes]]:
    """Return every user's lists of a generation, as text has them."""
    of = generations(store)
    found = of.hashes(of.need_manifest(generation), of.user_ids(generation))
    return {int(user): dict(fields) for user, fields in found}


def generations_with_keys(store: redis.Redis) -> set[int]:
    """Return the numbers of all generations of which any key is there."""
    names = [key.decode().split(":") for key in store.scan_iter("almanac:*")]
    found = {parts[-1] for parts in names if parts[2] in ("list", "manifest", "users", "popular")}
    found |= {parts[-1] for parts in names if parts[2] in ("catalogue", "posts", "similar")}
    return {int(number) for number in found | {parts[3] for parts in names if parts[2] == "segment"}}


def seen_in_facts(times: SeenTimes, post_ids: np.ndarray, user: int) -> dict[int, int]:
    """Return the same from the facts."""
    low, high = times.start[user], times.start[user + 1]
    return dict(zip(post_ids[times.post[low:high]].tolist(), times.time[low:high].tolist(), strict=True))


@pytest.mark.usefixtures("layout")
def test_every_list_stands_in_the_store_byte_for_byte(store: redis.Redis, tmp_path: Path) -> None:
    manifest = published(store, tmp_path)

    assert hashes(store, manifest.generation) == expected(content())


def test_one_list_written_out(store: redis.Redis, tmp_path: Path, layout: Layout) -> None:
    of = content()
    lists = [
        RankedBlock(0, np.full((40, 3, 5), -1, np.int32), np.full((40, 3, 5), np.nan)),
    ]
    lists[0].posts[1, 2] = [4, 0, 3, -1, -1]
    of = replace(of, post_ids=np.arange(30, dtype=np.int64) * 1000 + 17)
    publish(generations(store), of, lists, config(tmp_path))

    if layout == "packed":  # 15 bits a cell, three buckets of five, and the first two are alike
        value = read.value(store, "almanac:1:list:{3}:1") or b""
        assert value[:9] == bytes([15, 5, 0, 3, 0, 2, 0, 1, 0])
        assert value[9:13] == bytes([0, 0, 1]) + b"1"
        assert int.from_bytes(value[-10:], "little") & (1 << 45) - 1 == 4017 | 17 << 15 | 3017 << 30
        return
    assert store.hget("almanac:1:list:{3}:1", "1640361600") == b"4017 17 3017"
    assert store.hget("almanac:1:list:{3}:1", "1640354400") == b""
    assert store.hget("almanac:1:list:{3}:1", "segment") == b"1"
    assert store.hget("almanac:1:list:{1}:1", "segment") is None


def test_lists_and_seen_sets_take_the_small_encoding(store: redis.Redis, tmp_path: Path) -> None:
    generation = published(store, tmp_path).generation

    assert store.object("encoding", KEYS.list(1, generation)) in (b"listpack", b"embstr", b"raw")
    assert store.object("encoding", KEYS.seen(1)) in (b"listpack", None)  # packed
    assert store.object("encoding", KEYS.likes(1)) in (b"listpack", None)


def test_lists_end_by_themselves_and_what_serves_without_a_batch_does_not(
    store: redis.Redis, tmp_path: Path
) -> None:
    generation = published(store, tmp_path).generation
    lasting = [KEYS.popular(generation), KEYS.segment(generation, "0"), KEYS.catalogue(generation)]
    lasting += [KEYS.posts(generation), KEYS.manifest(generation), KEYS.users(generation), KEYS.states()]
    is_folded = store.exists(KEYS.folded())
    lasting += [
        KEYS.current("default"),
        *([KEYS.seen_old(1)] if is_folded else [KEYS.seen(1), KEYS.likes(1)]),
    ]

    assert all(0 < int(store.ttl(KEYS.list(user, generation))) <= TTL_S for user in (1, 41, 79))
    assert {key: store.ttl(key) for key in lasting} == dict.fromkeys(lasting, -1)


def test_what_all_users_share_is_there(store: redis.Redis, tmp_path: Path) -> None:
    of, generation = content(), published(store, tmp_path).generation
    starts = [str(start).encode() for start in of.horizon.starts]

    def texts(rows: np.ndarray) -> list[bytes]:
        return [encode(of.post_ids[row].tolist()) for row in rows]

    assert store.hgetall(KEYS.popular(generation)) == dict(zip(starts, texts(of.popular), strict=True))
    for name, rows in of.segments.items():
        assert store.hgetall(KEYS.segment(generation, name)) == dict(zip(starts, texts(rows), strict=True))
    assert decode(read.value(store, KEYS.catalogue(generation))) == of.post_ids[of.catalogue].tolist()
    ids = [str(post_id).encode() for post_id in of.post_ids]
    assert store.hgetall(KEYS.posts(generation)) == dict(zip(ids, of.posts, strict=True))
    having = {facet.encode(): encode(of.post_ids[rows].tolist()) for facet, rows in of.facets.items()}
    assert store.hgetall(KEYS.facets(generation)) == having
    assert of.similar is not None
    near = [encode(of.post_ids[row[row >= 0]].tolist()) for row in of.similar]
    wanted = {post: text for post, text in zip(ids, near, strict=True) if text}
    assert store.hgetall(KEYS.similar(generation)) == wanted
    assert store.ttl(KEYS.similar(generation)) == -1


def test_the_checksums_can_be_computed_again_from_the_store(
    store: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "USERS", 16)
    manifest = published(store, tmp_path)
    users = decode(read.value(store, KEYS.users(manifest.generation)))
    shards = [name for name in manifest.checksums if name.startswith("lists-")]

    in_store = hashes(store, manifest.generation)
    for name in shards:
        _, first, last = name.split("-")
        digests = b""
        for user in users[int(first) : int(last) + 1]:
            own = in_store[user]
            text = b"%d %b\n" % (user, own.get(b"segment", b""))
            text += b"".join(own[b"%d" % start] + b"\n" for start in manifest.horizon.starts)
            digests += blake2b(text, digest_size=16).digest()
        assert blake2b(digests, digest_size=16).hexdigest() == manifest.checksums[name]
    lines = "".join(f"{name} {manifest.checksums[name]}\n" for name in sorted(manifest.checksums))
    assert manifest.root == blake2b(lines.encode(), digest_size=16).hexdigest()
    assert [name.split("-")[1:] for name in sorted(shards)] == [
        ["0000000", "0000015"],
        ["0000016", "0000031"],
        ["0000032", "0000039"],
    ]


def test_the_manifest_says_what_was_published(store: redis.Redis, tmp_path: Path) -> None:
    of, manifest = content(), published(store, tmp_path)
    n_short = sum(
        len(text.split()) < 5
        for own in expected(of).values()
        for key, text in own.items()
        if key != b"segment"
    )

    assert store.get(KEYS.manifest(1)) == manifest.to_json()
    assert (tmp_path / "1/manifest.json").read_bytes() == manifest.to_json()
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert (manifest.as_of_s, manifest.created_at_s, manifest.horizon) == (AS_OF_S, AS_OF_S + 60, of.horizon)
    assert manifest.counts == {
        "users": 40,
        "posts": 30,
        "lists": 120,
        "short_lists": n_short,
        "seen": 240,
        "likes": 60,
        "profiles": 0,
        "facets topic": 3,
        "facets brand": 0,
        "similar": 3,
    }


def test_the_disk_holds_the_same_lists_with_scores(store: redis.Redis, tmp_path: Path) -> None:
    manifest = published(store, tmp_path)
    shards = sorted(path.stem for path in (tmp_path / "1").glob("lists-*.parquet"))

    in_store = hashes(store, 1)
    assert shards == sorted(name for name in manifest.checksums if name.startswith("lists-"))
    for name in shards:
        for row in pq.read_table(tmp_path / f"1/{name}.parquet").to_pylist():
            text = in_store[row["user_id"]][b"%d" % row["bucket"]]
            assert text == encode(row["posts"])
            assert len(row["scores"]) == len(row["posts"])


def test_the_second_generation_follows_the_first_and_the_third_ends_it(
    store: redis.Redis, tmp_path: Path
) -> None:
    for seed, wanted in enumerate(
        [
            {b"generation": b"1"},
            {b"generation": b"2", b"previous": b"1"},
            {b"generation": b"3", b"previous": b"2"},
        ]
    ):
        published(store, tmp_path, seed)
        at_s = b"%d" % (AS_OF_S + 60)
        assert store.hgetall(KEYS.current("default")) == wanted | {b"promoted_at": at_s, b"since": at_s}

    assert generations_with_keys(store) == {2, 3}
    assert store.hgetall(KEYS.states()) == {b"1": b"retired", b"2": b"sealed", b"3": b"sealed"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]
    assert hashes(store, 2) == expected(content(1), 1)
    assert store.exists(KEYS.lease()) == 0


def test_variants_live_side_by_side(store: redis.Redis, tmp_path: Path) -> None:
    published(store, tmp_path)
    published(store, tmp_path, variant="other")
    published(store, tmp_path, 1)
    published(store, tmp_path, 2)

    assert store.hget(KEYS.current("other"), "generation") == b"2"
    assert store.hget(KEYS.current("default"), "generation") == b"4"
    assert generations_with_keys(store) == {2, 3, 4}


def test_seen_posts_keep_the_earliest_time_and_what_the_api_added(store: redis.Redis, tmp_path: Path) -> None:
    of = content()
    first = seen_in_facts(of.views, of.post_ids, 0)
    one, two = list(first)[:2]
    store.zadd(KEYS.seen(1), {str(one): 5, str(two): AS_OF_S * 2, "424242": AS_OF_S + 9})
    published(store, tmp_path)

    assert read_seen(store, KEYS.seen(1)) == first | {one: 5, 424242: AS_OF_S + 9}
    for user in range(2, 40):
        ids = int(of.user_ids[user])
        assert read_seen(store, KEYS.seen(ids)) == seen_in_facts(of.views, of.post_ids, user)
        assert read_seen(store, KEYS.likes(ids)) == seen_in_facts(of.likes, of.post_ids, user)


def test_lists_and_first_seen_sets_go_in_whole_and_later_pairs_one_by_one(
    store: redis.Redis, tmp_path: Path, layout: Layout
) -> None:
    lists = 40 if layout == "text" else 0  # packed ones are strings, which go in whole anyway
    tonight = later(content().views, AS_OF_S)

    def calls(views: SeenTimes, as_of_s: int) -> dict[str, int]:
        store.config_resetstat()
        published(store, tmp_path, views=views, as_of_s=as_of_s)
        stats = store.info("commandstats")
        return {name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("restore", "zadd")}

    asked, promoted = 1, 1  # whether payloads are taken; the line in `promotions`
    first = calls(pairs_until(tonight, AS_OF_S), AS_OF_S)
    assert first == {"restore": asked + lists + 20 + 20, "zadd": promoted}  # 20 users saw and liked anything
    assert calls(tonight, AS_OF_S + 30) == {"restore": asked + lists, "zadd": promoted + 20}


def test_a_key_that_is_there_gets_what_it_lacks(store: redis.Redis, tmp_path: Path) -> None:
    of = content()
    store.hset(KEYS.list(3, 1), "1640361600", "of another store")
    store.zadd(KEYS.likes(1), {"424242": 7})
    published(store, tmp_path)

    assert hashes(store, 1) == expected(of)
    assert 0 < int(store.ttl(KEYS.list(3, 1))) <= TTL_S
    assert read_seen(store, KEYS.likes(1)) == seen_in_facts(of.likes, of.post_ids, 0) | {424242: 7}


def test_sets_too_long_to_go_in_at_once_and_times_far_apart_are_held_all_the_same(
    store: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen_sets, "LONGEST", 5)
    of = content()
    far = of.likes.time.copy()
    far[0] = -(2**61)
    published(store, tmp_path, likes=replace(of.likes, time=far))

    for user, row in ((1, 0), (5, 2), (77, 38)):
        assert read_seen(store, KEYS.seen(user)) == seen_in_facts(of.views, of.post_ids, row)
    liked = int(of.post_ids[of.likes.post[0]])
    assert store.zscore(KEYS.likes(1), str(liked)) == -(2.0**61)
    assert read_seen(store, KEYS.likes(5)) == seen_in_facts(of.likes, of.post_ids, 2)


def later(times: SeenTimes, as_of_s: int) -> SeenTimes:
    """Move each user's first pair to a time after the former as_of."""
    moved = times.time.copy()
    moved[times.start[:-1][np.diff(times.start) > 0]] = as_of_s + 30
    return replace(times, time=moved)


def test_the_next_night_writes_only_seen_posts_that_the_store_lacks(
    store: redis.Redis, tmp_path: Path
) -> None:
    of = content()
    tonight = later(of.views, AS_OF_S)
    yesterday = [pairs_until(times, AS_OF_S) for times in (tonight, of.likes)]
    published(store, tmp_path, views=yesterday[0], likes=yesterday[1])
    missing = next(iter(seen_in_facts(yesterday[0], of.post_ids, 0)))
    lose_seen(store, KEYS.seen(1), missing)  # shows what is written: a proven pair is not written again
    published(store, tmp_path, views=tonight, as_of_s=AS_OF_S + 30)

    wanted = seen_in_facts(tonight, of.post_ids, 0)
    del wanted[missing]
    assert read_seen(store, KEYS.seen(1)) == wanted
    assert read_seen(store, KEYS.seen(5)) == seen_in_facts(tonight, of.post_ids, 2)


def test_a_late_fact_or_a_new_store_brings_all_seen_posts(store: redis.Redis, tmp_path: Path) -> None:
    of = content()
    published(store, tmp_path)
    late = of.views.time.copy()
    late[0] -= 1000
    store.delete(KEYS.seen(5), KEYS.seen_old(5))
    published(store, tmp_path, views=replace(of.views, time=late))
    assert read_seen(store, KEYS.seen(5)) == seen_in_facts(of.views, of.post_ids, 2)

    store.flushall()
    published(store, tmp_path)
    assert read_seen(store, KEYS.seen(5)) == seen_in_facts(of.views, of.post_ids, 2)


def pairs_until(times: SeenTimes, as_of_s: int) -> SeenTimes:
    """Return the pairs not later than `as_of_s`."""
    return times.where(times.time <= as_of_s)


def test_a_run_that_fails_clears_what_it_wrote(store: redis.Redis, tmp_path: Path) -> None:
    before = published(store, tmp_path)
    served = hashes(store, before.generation)

    def broken() -> Iterator[RankedBlock]:
        yield from list(blocks(content(1), 1))[:2]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        publish(generations(store), content(1), broken(), config(tmp_path))
    short = list(blocks(content(1), 1))[:2]
    with pytest.raises(ValueError, match="cover 32 of 40"):
        publish(generations(store), content(1), short, config(tmp_path))

    assert hashes(store, before.generation) == served
    assert generations_with_keys(store) == {1}
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert published(store, tmp_path, 1).generation == 4


def test_a_server_with_other_settings_is_refused_before_anything_is_written(
    store: redis.Redis, tmp_path: Path
) -> None:
    store.config_set("zset-max-listpack-entries", 128)
    try:
        with pytest.raises(StoreUnfit, match=r"zset-max-listpack-entries 128, and .* at least 1024"):
            published(store, tmp_path)
        assert store.dbsize() == 0
    finally:
        store.config_set("zset-max-listpack-entries", 1024)


def test_a_second_publisher_is_refused_by_name_and_the_first_goes_on(
    store: redis.Redis, tmp_path: Path
) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[RankedBlock]:
        for block in blocks(content()):
            at_work.set()
            assert go_on.wait(30)
            yield block

    first = threading.Thread(
        target=lambda: publish(generations(store), content(), slowly(), config(tmp_path, now=lambda: AS_OF_S))
    )
    first.start()
    try:
        assert at_work.wait(30)
        with pytest.raises(LeaseTaken, match=r"process \d+ on .*, publishing since 2021-12-24 14:59:59 UTC"):
            published(store, tmp_path, 1)
    finally:
        go_on.set()
        first.join()

    assert store.hgetall(KEYS.states()) == {b"1": b"sealed"}
    assert hashes(store, 1) == expected(content())


def test_a_dead_holders_lease_is_waited_for(store: redis.Redis) -> None:
    dead = orjson.dumps({"token": "t", "host": "far", "pid": 7, "since_s": 0})
    store.set(KEYS.lease(), dead, px=700)
    said: list[str] = []

    with hold(store, KEYS.lease(), 0, lambda what, done, total: said.append(what)):
        assert store.get(KEYS.lease()) != dead
    assert said[0] == "waiting for the lease of process 7 on far, publishing since 1970-01-01 00:00:00 UTC"


def test_a_lease_is_renewed_while_it_is_held(store: redis.Redis) -> None:
    with hold(store, KEYS.lease(), 0, silent, ttl_s=1.0) as lease:
        threading.Event().wait(2.2)
        lease.check()
        lease.commit(lambda pipe: pipe.set("almanac:1:written", "yes"))

    assert store.get("almanac:1:written") == b"yes"


def test_whoever_lost_the_lease_can_neither_seal_nor_promote(store: redis.Redis, tmp_path: Path) -> None:
    published(store, tmp_path)
    other = orjson.dumps({"token": "other", "host": "far", "pid": 7, "since_s": 0})

    def robbed() -> Iterator[RankedBlock]:
        for block in blocks(content(1), 1):
            store.set(KEYS.lease(), other, px=60_000)
            yield block

    with pytest.raises(LeaseLost):
        publish(generations(store), content(1), robbed(), config(tmp_path))

    assert store.hget(KEYS.current("default"), "generation") == b"1"
    assert store.hgetall(KEYS.states()) == {b"1": b"sealed", b"2": b"building"}
    assert store.get(KEYS.lease()) == other

    store.delete(KEYS.lease())
    assert published(store, tmp_path, 1).generation == 3
    assert generations_with_keys(store) == {1, 3}


def test_looking_inside_shows_what_an_answer_is_made_of(store: redis.Redis, tmp_path: Path) -> None:
    of, manifest = content(), published(store, tmp_path)
    store.sadd(KEYS.takedowns(), 9, 3)
    first = next(iter(seen_in_facts(of.views, of.post_ids, 2)))
    store.zadd(KEYS.seen_live(5), {str(first): 7, "424242": AS_OF_S + 9})

    inside = look(store, KEYS, "default", user_id=5, at_s=AS_OF_S + 3600)
    found, shared = inside.found, inside.found.generation
    bucket_s = of.horizon.starts[1]
    own = expected(of)[5]
    assert (shared.manifest, found.bucket_s) == (manifest, bucket_s)
    assert list(found.own) == decode(own[str(bucket_s).encode()])
    assert found.segment == own[b"segment"].decode()
    assert shared.segments[found.segment][bucket_s] == of.post_ids[of.segments[found.segment][1]].tolist()
    assert shared.popular[bucket_s] == of.post_ids[of.popular[1]].tolist()
    assert inside.seen == seen_in_facts(of.views, of.post_ids, 2) | {first: 7, 424242: AS_OF_S + 9}
    assert list(inside.seen.values()) == sorted(inside.seen.values())
    assert found.hidden == {post for post, seen_s in inside.seen.items() if seen_s <= AS_OF_S + 3600}
    assert (inside.taken_down, len(shared.catalogue)) == ((3, 9), 30)
    assert not {3, 9} & shared.posts.keys()


def test_looking_for_a_stranger_or_into_nothing(store: redis.Redis, tmp_path: Path) -> None:
    with pytest.raises(NothingServed, match="variant 'default'"):
        look(store, KEYS, "default", 1, AS_OF_S)
    published(store, tmp_path)

    stranger = look(store, Keys(), "default", 10**9, AS_OF_S)
    assert (list(stranger.found.own), stranger.list_ttl_s, stranger.found.segment) == ([], None, None)
    assert (stranger.found.hidden, stranger.seen) == (frozenset(), {})
