"""What a user saw, packed: what comes out is what went in, for any time."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.seen import NUMBERS, TIMES, pack_seen, read_seen_by, unpack_seen

SEEN = st.dictionaries(
    st.integers(0, 9000) | st.integers(0, NUMBERS.stop - 1),
    st.integers(1_640_000_000, 1_640_009_000) | st.integers(0, TIMES.stop - 1),
    max_size=70,
)


@given(seen=SEEN, at_s=st.integers(-1, TIMES.stop))
def test_what_is_packed_comes_back_and_is_seen_by_its_very_second(seen: dict[int, int], at_s: int) -> None:
    value = pack_seen(seen.items())

    assert unpack_seen(value) == sorted(seen.items(), key=lambda pair: pair[::-1])
    for until_s in (at_s, *list(seen.values())[:3]):
        by_then = read_seen_by(value, until_s)
        assert sorted(by_then) == sorted(post for post, first_s in seen.items() if first_s <= until_s)


def test_visits_of_seconds_days_apart_take_less_than_three_bytes_a_post() -> None:
    seen = {post * 16: 1_640_000_000 + post // 20 * 400_000 + post % 20 * 100 for post in range(420)}

    assert len(pack_seen(seen.items())) < 3 * len(seen)


@pytest.mark.parametrize("pair", [(-1, 5), (NUMBERS.stop, 5), (7, -1), (7, TIMES.stop)])
def test_what_does_not_fit_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be packed"):
        pack_seen([(1, 1), pair])


@pytest.mark.parametrize("damage", [b"17 2331", b"\0" * 19, pack_seen([(1, 1), (2, 9)])[:-1]])
def test_another_value_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError, match="is not what a user saw"):
        read_seen_by(damage, 5)


def test_more_marks_of_long_steps_than_there_are_is_refused() -> None:
    value = bytearray(pack_seen([(17, 1000), (45, 1007), (2331, 90_000)]))
    value[24] = 0xFF  # two of three steps are long ones now

    with pytest.raises(ValueError, match="is not what a user saw"):
        read_seen_by(bytes(value), 1001)


@given(seen=SEEN.filter(bool), at=st.integers(0), byte=st.integers(1, 255), at_s=st.integers(0, TIMES.stop))
def test_a_value_with_another_byte_is_read_or_refused(
    seen: dict[int, int], at: int, byte: int, at_s: int
) -> None:
    value = bytearray(pack_seen(seen.items()))
    value[at % len(value)] ^= byte

    with suppress(ValueError):
        assert len(read_seen_by(bytes(value), at_s)) <= 8 * len(value)
        assert len(unpack_seen(bytes(value))) <= 8 * len(value)
