"""A user's lists as one packed value: what it takes, and that reading it gives back what was written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.contract.packed import PackedList, bits_for, pack, read_segment, unpack, unpack_all
from batch.publish.packed_lists import pack_lists

NUMBER = st.one_of(st.integers(0, 300), st.integers(0, 2**31 - 1))
LISTS = st.lists(st.lists(NUMBER, max_size=70), min_size=1, max_size=30)


@given(LISTS, st.one_of(st.none(), st.text(min_size=1, max_size=300)), st.integers(0, 3), st.integers(0, 2))
def test_unpacking_gives_back_what_was_packed(
    lists: list[list[int]], segment: str | None, n_repeats: int, n_wider: int
) -> None:
    lists = [ranked for ranked in lists for _ in range(n_repeats + 1)]
    depth = max(1, *map(len, lists))
    bits = min(bits_for(max((post for ranked in lists for post in ranked), default=0)) + n_wider, 32)
    if segment is not None:
        segment = segment.encode(errors="replace").decode()

    value = pack(lists, depth, bits, segment)

    wanted = list(map(tuple, lists))
    assert unpack_all(value) == wanted
    assert [tuple(unpack(value, bucket)) for bucket in range(len(lists))] == wanted
    assert read_segment(value) == segment
    assert unpack(value, len(lists)) == unpack(value, -1) == ()


@given(LISTS, st.integers(1, 80))
def test_the_first_posts_of_a_list_are_those_that_all_of_it_begins_with(
    lists: list[list[int]], n: int
) -> None:
    depth = max(1, *map(len, lists))
    value = pack(lists, depth, bits_for(max((post for ranked in lists for post in ranked), default=0)))

    for bucket, ranked in enumerate(lists):
        found = unpack(value, bucket)
        assert isinstance(found, PackedList)
        assert [*found.read_first(n)][:n] == ranked[:n] == list(found[:n])
        assert (bool(found), len(found)) == (bool(ranked), len(ranked))


@settings(deadline=None)  # the first example compiles
@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=3, max_size=3), min_size=1, max_size=40
    ),
    st.sets(st.integers(0, 2**31 - 1), min_size=4, max_size=4),
    st.lists(st.sampled_from([None, "m", "gender=1,exp_group=3"]), min_size=40, max_size=40),
)
def test_many_users_lists_are_packed_as_the_contract_packs_them(
    users: list[list[list[int]]], posts: set[int], segments: list[str | None]
) -> None:
    numbers, segments = np.array(sorted(posts), np.int64), segments[: len(users)]
    rows = np.array([[[*row, *[-1] * (4 - len(row))] for row in lists] for lists in users], np.int32)

    found = list(pack_lists(rows, numbers, segments))

    lists = [[[int(numbers[row]) for row in ranked] for ranked in own] for own in users]
    bits = bits_for(max(posts))
    assert found == [pack(own, 4, bits, segment) for own, segment in zip(lists, segments, strict=True)]


def test_more_buckets_than_a_byte_counts_are_packed_too() -> None:
    lists = [[bucket, bucket + 1] for bucket in range(300)]

    value = pack(lists, 2, bits_for(300))

    found = [tuple(unpack(value, bucket)) for bucket in range(300)]
    assert unpack_all(value) == found == list(map(tuple, lists))


def test_numbers_take_as_many_bits_as_the_largest_needs() -> None:
    lists = [[bucket + 24 * place for place in range(50)] for bucket in range(24)]

    value = pack(lists, 50, bits_for(7_320), "gender=1")

    assert len(value) == 9 + 24 + len("gender=1") + 24 * 82  # 50 × 13 bits are 82 bytes


def test_equal_neighbouring_buckets_are_stored_once() -> None:
    one, other = list(range(50)), list(range(50, 100))

    value = pack([one] * 12 + [other] * 11 + [one], 50, 13)

    assert len(value) == 9 + 24 + 3 * 82
    assert unpack_all(value) == [tuple(one)] * 12 + [tuple(other)] * 11 + [tuple(one)]


VALUE = pack([[1, 2, 3], [3]], 3, 4, "m")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"17 2331 45",
        VALUE[:8],
        VALUE[:-1],
        VALUE + b"\0",
        b"\x00" + VALUE[1:],  # no bits
        b"\x21" + VALUE[1:],  # too many
        VALUE[:1] + b"\0\0" + VALUE[3:],  # no cells
        VALUE[:3] + b"\0\0" + VALUE[5:],  # no buckets
        VALUE[:9] + b"\2" + VALUE[10:],  # the first bucket's list is not there
        VALUE[:-3] + b"\xff" + VALUE[-2:],  # bits behind the last cell
    ],
)
def test_what_is_no_packed_value_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="holds no packed lists"):
        unpack_all(value)
    with pytest.raises(ValueError, match="holds no packed lists"):
        unpack(value, 0)
