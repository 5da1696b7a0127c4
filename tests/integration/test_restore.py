"""Keys that go in whole are what the server's own ZADD or HSET makes, byte for byte and in every read."""

import shutil
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batch.data.ragged import starts
from batch.data.seen import SeenTimes
from batch.publish import seen_sets, shard
from batch.publish.seen_order import Order
from batch.store import restore
from batch.store.rdb import LARGEST, entry
from batch.store.restore import Parts
from batch.store.wire import PipelinedWriter
from tests.conftest import STORE_SETTINGS, await_store, free_port

pytestmark = pytest.mark.integration
NO_SERVER = (
    "no redis-server: install Redis 7 (on Debian 12 `apt install redis-server`) to run this against it"
)
CHECK = 10  # version and CRC: Valkey writes a later version than it reads
ALL = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

members = st.integers(0, 2**31 - 1) | st.integers(0, 130) | st.integers(-5000, 70_000)
scores = (
    st.integers(1 - LARGEST, LARGEST - 1) | st.integers(-3, 3) | st.integers(1_640_000_000, 1_640_000_009)
)


@pytest.fixture(scope="module", params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """Give a client of Valkey, or of Redis 7 that checks payloads; both dump without compressing."""
    if request.param == "valkey":
        with redis.Redis.from_url(request.getfixturevalue("valkey_url")) as client:
            client.config_set("rdbcompression", "no")
            yield client
        return
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip(NO_SERVER)
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    own = ["--hash-max-listpack-entries", "512", "--sanitize-dump-payload", "yes", "--rdbcompression", "no"]
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    process = subprocess.Popen([*command, *STORE_SETTINGS, *own], stdout=subprocess.DEVNULL)
    try:
        await_store(f"redis://127.0.0.1:{port}/0")
        with redis.Redis.from_url(f"redis://127.0.0.1:{port}/0") as client:
            yield client
    finally:
        process.terminate()
        process.wait(10)


def drawn(n: int) -> dict[int, int]:
    """Draw a set of `n` pairs, many of them of one score."""
    rng = np.random.default_rng(n)
    posts = rng.choice(5 * n, n, replace=False).tolist()
    return dict(zip(posts, rng.integers(1_640_000_000, 1_640_000_000 + n // 3 + 1, n).tolist(), strict=True))


def as_times(sets: list[dict[int, int]]) -> tuple[np.ndarray, SeenTimes]:
    """Return the numbers of all posts, and the pairs as the publisher has them."""
    numbers = np.array(sorted({post for pairs in sets for post in pairs}), np.int64)
    pairs = [sorted(one.items()) for one in sets]
    posts = np.searchsorted(numbers, [post for one in pairs for post, _ in one]).astype(np.int32)
    times = np.array([time for one in pairs for _, time in one], np.int64)
    return numbers, SeenTimes(starts([len(one) for one in sets]), posts, times)


def send(client: redis.Redis, commands: np.ndarray, n_keys: int) -> list[int]:
    """Send commands, and return the places of the keys that are there."""
    there: list[int] = []
    with PipelinedWriter(client) as wire:
        wire.send(commands.data, n_keys, there.append)
    return there


def agree(client: redis.Redis, ours: str, servers: str, command: bytes) -> None:
    """Assert that two keys hold one value in one encoding, and that we wrote it as the server does."""
    mine, own = client.dump(ours), client.dump(servers)
    encoding = client.object("encoding", servers)
    assert mine is not None
    assert own is not None
    assert client.object("encoding", ours) == encoding
    if client.type(ours) == b"zset" or encoding == b"listpack":  # a table's order is a matter of chance
        assert mine == own
    if encoding == b"listpack":
        assert own[:-CHECK] in command
    weights = [int(client.memory_usage(key, samples=0) or 0) for key in (ours, servers)]
    more = (
        16 if encoding == b"listpack" else weights[1] // 10
    )  # an allocation's step; a skip list's drawn levels
    assert weights[0] <= weights[1] + more


@ALL
@example([{9: 5, 10: 5, 100: 5, 11: 4, -1: 5}])
@example([drawn(1024), drawn(1025), {1: 1}])
@example([drawn(3000)])
@example([{7: 1 - LARGEST, 8: LARGEST - 1}])
@given(st.lists(st.dictionaries(members, scores, min_size=1, max_size=40), min_size=1, max_size=5))
def test_a_restored_set_is_what_zadd_makes(server: redis.Redis, sets: list[dict[int, int]]) -> None:
    server.flushall()
    numbers, times = as_times(sets)
    order = Order.of(numbers, times)
    if order is None:  # times so far apart that they do not fit beside so many posts
        return
    time, member = order.sort(times)
    keys = [f"ours:{i}" for i in range(len(sets))]
    commands = restore.sorted_sets(Parts.of(map(restore.head, keys)), times.start, time, member)

    assert send(server, commands, len(sets)) == []
    for ours, pairs in zip(keys, sets, strict=True):
        server.delete("servers")
        server.zadd("servers", {str(post): score for post, score in pairs.items()})
        agree(server, ours, "servers", commands.tobytes())
        both = (ours, "servers")
        assert {server.pttl(key) for key in both} == {-1}
        for post in list(pairs)[:20]:
            found = [server.zscore(key, str(post)) for key in both]
            assert found == [float(pairs[post])] * 2
        for bound in sorted({score + k for score in list(pairs.values())[:20] for k in (-1, 0, 1)}):
            up = [server.zrangebyscore(key, bound, "+inf", withscores=True) for key in both]
            down = [server.zrange(key, bound, "-inf", desc=True, byscore=True) for key in both]
            assert up[0] == up[1]
            assert down[0] == down[1]
            assert len(down[0]) == sum(score <= bound for score in pairs.values())


numbers_of_lists = st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 150), max_size=60, unique=True)
segments = st.none() | st.sampled_from(
    ["1-0", "1", "01", "-0", "-7", str(2**63 - 1), str(2**63), str(-(2**63))]
)


@ALL
@example([([[7], [], list(range(900))], "a" * 63), ([[1], [2], [3]], "a" * 4096)])
@given(
    st.lists(
        st.tuples(
            st.lists(numbers_of_lists, min_size=3, max_size=3), segments | st.text(min_size=1, max_size=70)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_restored_hash_is_what_hset_makes(
    server: redis.Redis, users: list[tuple[list[list[int]], str | None]]
) -> None:
    server.flushall()
    fields = [b"1640390400", b"1640394000", b"-3600"]
    lists = [one for own, _ in users for one in own]
    ids = np.array(sorted({post for one in lists for post in one} | {0}), np.int64)
    rows = np.full((len(lists), max(map(len, lists)) + 1), -1, np.int32)
    for row, one in zip(rows, lists, strict=True):
        row[: len(one)] = np.searchsorted(ids, one)
    texts = shard.encode(rows, ids)
    tails = [b"" if name is None else entry(b"segment") + entry(name.encode()) for _, name in users]
    keys = [f"ours:{i}" for i in range(len(users))]
    heads = Parts.of(restore.head(key, 7_200_000) for key in keys)

    commands = restore.hashes(
        heads, Parts.of(map(entry, fields)), Parts(texts.text, texts.end), Parts.of(tails)
    )
    assert send(server, commands, len(users)) == []
    for ours, (own, name) in zip(keys, users, strict=True):
        values = {
            field: b" ".join(b"%d" % post for post in one) for field, one in zip(fields, own, strict=True)
        }
        values |= {} if name is None else {b"segment": name.encode()}
        server.delete("servers")
        server.hset("servers", mapping=values)  # type: ignore[arg-type] # it takes bytes
        server.pexpire("servers", 7_200_000)
        assert server.hgetall(ours) == values
        assert list(server.hgetall(ours)) == list(values)
        assert 7_100_000 < int(server.pttl(ours)) <= 7_200_000
        assert server.hget(ours, "1640394000") == values[b"1640394000"]
        if max(map(len, values.values())) <= 512:  # a longer one makes a table of the server's own
            agree(server, ours, "servers", commands.tobytes())


def test_a_hash_of_more_fields_than_a_small_one_may_have_is_taken_too(server: redis.Redis) -> None:
    server.flushall()
    fields = [b"%d" % (3600 * k) for k in range(600)]
    values = np.array([[k, k + 1] for k in range(600)], np.int32)
    texts = shard.encode(values, np.arange(700))

    commands = restore.hashes(
        Parts.of([restore.head("ours")]),
        Parts.of(map(entry, fields)),
        Parts(texts.text, texts.end),
        Parts.of([b""]),
    )
    assert send(server, commands, 1) == []
    wanted = {field: b"%d %d" % (k, k + 1) for k, field in enumerate(fields)}
    server.hset("servers", mapping=wanted)  # type: ignore[arg-type] # it takes bytes
    assert server.hgetall("ours") == wanted
    agree(server, "ours", "servers", b"")


def test_keys_that_are_there_are_named_and_left_alone(server: redis.Redis) -> None:
    server.flushall()
    server.set("b", "mine")
    one = np.ones(3, np.int64)
    heads = Parts.of(map(restore.head, ("a", "b", "c")))

    assert send(server, restore.sorted_sets(heads, np.arange(4), one, one), 3) == [1]
    assert server.get("b") == b"mine"
    assert [server.zscore(key, "1") for key in ("a", "c")] == [1.0, 1.0]


def test_asking_whether_a_store_takes_payloads_leaves_nothing(
    server: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server.flushall()
    assert restore.is_taken(server, "a")
    assert server.dbsize() == 0
    assert not caplog.records

    written = restore.sorted_sets

    def another_version(*parts: object) -> np.ndarray:
        out = written(*parts)  # type: ignore[arg-type]
        out[-2 - CHECK] = 12
        return out

    monkeypatch.setattr(restore, "sorted_sets", another_version)
    assert not restore.is_taken(server, "a")
    (warning,) = caplog.records
    assert warning.message == "restore.refused"
    assert "version or checksum" in vars(warning)["why"]


@pytest.mark.parametrize(
    ("first_s", "last_s", "n_posts", "fits"),
    [(0, 2**32, 2**20, True), (0, 2**40, 2**20, False), (-5, 2**51, 8, True), (0, LARGEST, 8, False)],
)
def test_pairs_are_ordered_as_one_word_where_they_fit_in_it(
    first_s: int, last_s: int, n_posts: int, fits: bool
) -> None:
    times = SeenTimes(np.array([0, 2]), np.zeros(2, np.int32), np.array([first_s, last_s]))

    assert (Order.of(np.arange(n_posts), times) is not None) is fits
    assert seen_sets.LONGEST < 32_768  # pairs of a listpack that still says how many entries it has


def test_entries_are_written_as_short_as_they_go() -> None:
    assert entry(b"") == b"\x80\x01"
    assert entry(b"127") == b"\x7f\x01"
    assert entry(b"-4096") == b"\xd0\x00\x02"
    assert entry(b"x" * 64) == b"\xe0\x40" + b"x" * 64 + b"\x42"
