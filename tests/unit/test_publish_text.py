"""Lists and commands as bytes, checksums, and what a generation refuses: nothing here opens a store."""

from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.connection import Connection

from api.contract import codec
from batch.data.ids import IdNames
from batch.data.seen import SeenTimes
from batch.publish import seen, shard
from batch.publish.generation import choose_left_out, post_json
from batch.publish.retire import surplus
from batch.score.ranked import RankedBlock
from batch.store.server import Needs, unfit
from batch.store.wire import n_digits, pack, put_bulk, put_number
from tests.content import AS_OF_S, blocks, content

FIT = {"hash-max-listpack-value": 512, "hash-max-listpack-entries": 512, "zset-max-listpack-entries": 1024}
VALKEY = {"redis_version": "7.2.4", "valkey_version": "9.1.2"}


@settings(deadline=None)  # the first example compiles
@given(st.integers(-(2**62), 2**62))
def test_a_number_is_written_as_python_writes_it(value: int) -> None:
    out = np.zeros(64, np.uint8)

    end = put_number(out, 3, value)
    assert bytes(out[3:end]) == str(value).encode()
    assert n_digits(value) == len(str(value))
    assert bytes(out[: put_bulk(out, 0, value)]) == b"$%d\r\n%d\r\n" % (len(str(value)), value)


@given(st.lists(st.binary(max_size=20), min_size=1))
def test_commands_are_packed_as_the_client_packs_them(arguments: list[bytes]) -> None:
    by_client = Connection().pack_command(b"SET", *arguments)  # type: ignore[no-untyped-call]
    assert pack(b"SET", *arguments) == b"".join(by_client)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1),
    st.sets(st.integers(0), min_size=4, max_size=4),
)
def test_lists_are_written_as_the_contract_writes_them(lists: list[list[int]], ids: set[int]) -> None:
    post_ids = np.array([post_id % 2**62 + i for i, post_id in enumerate(sorted(ids))], np.int64)
    rows = np.array([[*row, *[-1] * (4 - len(row))] for row in lists], np.int32)

    texts = shard.encode(rows, post_ids)
    written = [codec.encode(int(post_ids[row]) for row in one) for one in lists]
    assert [bytes(texts[i]) for i in range(len(lists))] == written
    assert bytes(texts.lines(0, len(lists))) == b"".join(text + b"\n" for text in written)


def test_a_checksum_notices_two_users_whose_lists_were_swapped() -> None:
    right = [("1", "a", [b"17 45\n"]), ("2", "a", [b"45 17\n"])]
    swapped = [("1", "a", [b"45 17\n"]), ("2", "a", [b"17 45\n"])]
    moved = [("1", "b", [b"17 45\n"]), ("2", "a", [b"45 17\n"])]

    digests = [b"".join(shard.digest(*user) for user in users) for users in (right, swapped, moved)]
    assert len({shard.checksum(some) for some in digests}) == 3
    said = [blake2b(text, digest_size=16).digest() for text in (b"1 a\n17 45\n", b"2 a\n45 17\n")]
    assert digests[0] == b"".join(said)
    assert shard.checksum(digests[0]) == blake2b(b"".join(said), digest_size=16).hexdigest()


def test_blocks_are_cut_where_shards_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard, "USERS", 10)
    of = content()

    cut = list(shard.cut_at_shards(blocks(of, size=16)))

    assert [(piece.first, len(piece.posts)) for piece in cut] == [
        (0, 10), (10, 6), (16, 4), (20, 10), (30, 2), (32, 8)
    ]  # fmt: skip
    whole = np.concatenate([block.posts for block in blocks(of)])
    np.testing.assert_array_equal(np.concatenate([piece.posts for piece in cut]), whole)


def test_the_root_does_not_depend_on_the_order_in_which_shards_were_written() -> None:
    assert shard.root({"a": "1", "b": "2"}) == shard.root({"b": "2", "a": "1"})
    assert shard.root({"a": "1"}) != shard.root({"a": "2"})


def test_a_shard_on_disk_holds_the_lists_in_order_with_their_scores(tmp_path: Path) -> None:
    of = content()
    (block,) = blocks(of, size=40)
    with shard.open_parquet(tmp_path / "lists.parquet") as file:
        file.write_table(shard.table(of, shard.rows_of(block), block.posts, block.scores))

    rows = pq.read_table(tmp_path / "lists.parquet").to_pylist()
    user, start = 6, 1
    row = rows[user * len(of.horizon.starts) + start]
    kept = block.posts[user, start] >= 0
    assert (row["user_id"], row["bucket"]) == (of.user_ids[user], of.horizon.starts[start])
    assert row["posts"] == of.post_ids[block.posts[user, start][kept]].tolist()
    assert row["scores"] == block.scores[user, start][kept].tolist()
    schema = pq.read_schema(tmp_path / "lists.parquet")
    assert [str(schema.field(name).type) for name in ("posts", "scores")] == [
        "list<element: int64>",
        "list<element: double>",
    ]


def test_blocks_must_cover_all_users_once_and_in_order() -> None:
    of = content()
    parts = list(blocks(of))
    deep = [replace(parts[0], posts=np.zeros((16, 3, 6), np.int32)), *parts[1:]]

    assert list(shard.check_cover(parts, of)) == parts
    for wrong, why in (
        (parts[1:], "from user row 16"),
        (parts[:-1], "cover 32 of 40"),
        ([*parts, parts[-1]], "expected row 40"),
        (deep, "depth up to 5"),
    ):
        with pytest.raises(ValueError, match=why):
            list(shard.check_cover(wrong, of))


def test_the_seen_mark_knows_late_facts_and_no_row_numbers() -> None:
    of = content()
    before = AS_OF_S - 40_000
    mark = seen.mark(of, of.views, before).digest
    later = of.views.time > before
    late = replace(of.views, time=np.where(later & (np.cumsum(later) == 1), before, of.views.time))
    moved_on = replace(of.views, time=np.where(later, AS_OF_S + 5, of.views.time))

    assert mark != seen.mark(of, of.views, AS_OF_S).digest
    assert mark != seen.mark(of, late, before).digest
    assert mark == seen.mark(of, moved_on, before).digest

    newcomer = replace(
        of,
        user_ids=np.concatenate([[-7], of.user_ids]),
        segment_of=[None, *of.segment_of],
        views=SeenTimes(np.concatenate([[0], of.views.start]), of.views.post, of.views.time),
        likes=SeenTimes(np.concatenate([[0], of.likes.start]), of.likes.post, of.likes.time),
    )
    assert mark == seen.mark(newcomer, newcomer.views, before).digest


def test_the_policy_says_what_lists_leave_out() -> None:
    of = content()

    assert choose_left_out("views", of.views, of.likes).post is of.views.post
    assert choose_left_out("likes", of.views, of.likes).of(0).tolist() == of.likes.post[:3].tolist()
    assert [len(choose_left_out("none", of.views, of.likes).of(user)) for user in range(40)] == [0] * 40


def test_a_post_without_text_or_topic_is_answered_with_empty_ones() -> None:
    posts = pd.DataFrame({"post_id": [1, 2], "text": ["Ünï", np.nan], "topic": ["tech", None]})

    assert post_json(posts, IdNames()) == [
        '{"id":1,"text":"Ünï","topic":"tech"}'.encode(),
        b'{"id":2,"text":"","topic":""}',
    ]


def test_an_edition_whose_parts_do_not_fit_is_refused() -> None:
    of = content()

    with pytest.raises(ValueError, match="posts has 29 rows, expected 30"):
        replace(of, posts=of.posts[1:])
    with pytest.raises(ValueError, match="segments without lists: \\['9'\\]"):
        replace(of, segment_of=["9", *of.segment_of[1:]])
    with pytest.raises(ValueError, match="user_ids must be ascending"):
        replace(of, user_ids=of.user_ids[::-1])


@pytest.mark.parametrize("name", FIT)
def test_a_server_with_the_defaults_of_redis_is_refused_with_the_setting(name: str) -> None:
    needs = Needs.of(list(range(1, 7024)), depth=50, n_buckets=24, longest_segment=3)
    small = 64 if name.endswith("value") else 16

    reason = unfit(VALKEY, FIT | {name: small}, needs)
    assert reason is not None
    assert f"{name} {small}" in reason
    assert f"CONFIG SET {name}" in reason
    assert unfit(VALKEY, FIT, needs) is None


def test_lists_too_long_for_the_servers_setting_name_the_bytes_they_need() -> None:
    needs = Needs.of(list(range(1_000_000, 1_000_200)), depth=100, n_buckets=24, longest_segment=0)

    assert needs.value_bytes == 100 * 7 + 99
    assert "at least 799" in (unfit(VALKEY, FIT, needs) or "")


@pytest.mark.parametrize(
    ("info", "fits"),
    [
        ({"redis_version": "7.0.15"}, True),
        ({"redis_version": "6.2.14"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.8"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, True),
    ],
)
def test_old_servers_are_refused(info: dict[str, object], fits: bool) -> None:
    assert (unfit(info, FIT, Needs(249, 25)) is None) is fits


@given(st.sets(st.integers(1, 40)), st.integers(1, 40), st.integers(1, 40), st.integers(1, 4))
def test_the_current_generation_is_never_surplus(
    others: set[int], current: int, previous: int, kept: int
) -> None:
    sealed = others | {current, previous}
    gone = surplus(sealed, current, previous, kept)

    assert current not in gone
    assert len(sealed) - len(gone) == min(kept, len(sealed))
    assert kept == 1 or previous not in gone


def test_no_generation_current_keeps_the_newest() -> None:
    assert surplus([1, 2, 3], None, None, 2) == [1]


def test_a_block_is_what_its_name_says() -> None:
    block = RankedBlock(4096, np.zeros((10, 3, 5), np.int32), np.zeros((10, 3, 5)))

    assert shard.shard_name(block.first, len(block.posts)) == "lists-0004096-0004105"
