"""Pins: posts at places of the first page, and nothing else of the answer moves but for them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.facets import Filter, work_out
from api.contract.pin import Pin, read_pins
from api.feed import answer
from api.found import Generation, Lookup, Pointer
from api.schemas.value import read_cursor
from tests.world import AS_OF_S, PROMOTED_AT_S, World

MANIFEST = World().manifest
BUCKET_S = MANIFEST.start_s
POST_IDS = st.integers(1, 20)


def found(*pins: tuple[int, Pin], own: list[int] | None = None, **changes: Any) -> Lookup:
    """Return a look-up that sees all: posts 1..20, the list from 20 down to 11, some of it pinned."""
    generation = Generation(MANIFEST, dict.fromkeys(range(1, 21), b"{}"), range(1, 21))
    read = Lookup(
        user_id="2",
        at_s=AS_OF_S,
        bucket_s=BUCKET_S,
        pointer=Pointer(1, PROMOTED_AT_S),
        generation=generation,
        own=list(range(20, 10, -1)) if own is None else own,
        segment="even",
        hidden=frozenset(),
        sees_all=True,
        pins=generation.number_pins({str(post): pin for post, pin in pins}),
    )
    return replace(read, **changes)


def test_a_pinned_post_stands_at_its_place_and_nowhere_else() -> None:
    given = answer(found((3, Pin(1)), (18, Pin(3))), 5)

    assert given.posts == (3, 20, 18, 19, 17)
    assert given.pinned == (3, 18)
    assert given.rung == "own"


def test_of_two_pins_of_one_place_the_lower_id_comes_first() -> None:
    assert answer(found((10, Pin(2)), (9, Pin(2)), (8, Pin(3))), 5).posts == (20, 9, 10, 8, 19)


def test_a_pin_beyond_the_page_is_none() -> None:
    given = answer(found((19, Pin(3)), (1, Pin(2)), (2, Pin(2))), 2)

    assert (given.posts, given.pinned) == ((20, 1), (1,))
    assert answer(found((20, Pin(2)), (1, Pin(2))), 2).posts == (20, 1)  # its own place is still its own


def test_a_page_may_be_of_pins_alone() -> None:
    read = found((3, Pin(1)), own=[])
    first = answer(read, 1, paged=True)

    assert (first.posts, first.rung, first.next_start) == ((3,), "own", 0)
    assert answer(read, 3, start=0, pinned_before=first.pinned).posts == (1, 2, 4)
    assert answer(read, 1).next_start is None


@pytest.mark.parametrize(
    ("pin", "changes"),
    [
        (Pin(1, from_s=AS_OF_S + 1), {}),
        (Pin(1, to_s=AS_OF_S), {}),
        (Pin(1, topic="even"), {}),
        (Pin(1, segment="odd"), {}),
        (Pin(1), {"hidden": frozenset({3})}),
        (Pin(1), {"generation": Generation(MANIFEST, dict.fromkeys(range(4, 21), b"{}"), range(1, 21))}),
    ],
)
def test_a_pin_that_does_not_hold_or_may_not_be_shown_changes_nothing(
    pin: Pin, changes: dict[str, Any]
) -> None:
    given = answer(found((3, pin), **changes), 2, excluded={5})

    assert (given.posts, given.pinned) == ((20, 19), ())
    assert answer(found((3, Pin(1))), 2, excluded={3}).pinned == ()


def test_a_pin_holds_from_its_begin_and_until_before_its_end_for_its_segment() -> None:
    pin = Pin(1, from_s=AS_OF_S, to_s=AS_OF_S + 1, segment="even")

    assert answer(found((3, pin)), 2).pinned == (3,)


def test_under_a_filter_a_pin_of_that_topic_holds_too_if_its_post_is_wanted() -> None:
    facets = {"topic=even": range(20, 0, -2), "topic=odd": range(19, 0, -2), "topic=none": ()}
    read = found((2, Pin(1, topic="even")), (3, Pin(1)), (5, Pin(2, topic="odd")), (4, Pin(3)))

    def asked(*topics: str) -> tuple[int, ...]:
        wish = Filter.of(f"topic={topic}" for topic in topics)
        assert wish is not None
        return answer(read, 4, wanted=work_out(wish, facets, range(1, 21))).posts

    assert asked("even") == (2, 20, 4, 18)
    assert asked("odd") == (3, 5, 19, 17)
    assert asked("even", "odd") == (3, 20, 4, 19)
    assert asked("none") == ()


def test_as_long_as_not_all_that_was_seen_is_known_an_answer_with_pins_is_not_final() -> None:
    assert answer(found(sees_all=False), 2).is_final
    assert not answer(found((3, Pin(1)), sees_all=False), 2).is_final
    assert not answer(found((3, Pin(1, segment="odd")), sees_all=False), 2).is_final
    assert answer(found((3, Pin(1, to_s=AS_OF_S)), sees_all=False), 2).is_final
    assert answer(found((3, Pin(1))), 2).is_final


def test_pins_that_cannot_be_read_are_left_out() -> None:
    stored = {
        b"1": b'{"place":1,"hue":"red"}',
        b"2": b"{}",
        b"3": b'{"place":"1"}',
        b"4": b'{"place":0}',
        b"5": b"[1]",
        b"6": b"\xff",
        b"\xff": b'{"place":1}',
        b"7": b'{"place":2,"from_s":5,"to_s":5}',
        b"8": b'{"place":2,"topic":""}',
        b"9": b'{"place":true}',
    }

    assert read_pins(stored.items()) == {"1": Pin(1)}


PINS = st.lists(st.tuples(POST_IDS, st.builds(Pin, st.integers(1, 8))), max_size=20, unique_by=lambda p: p[0])


@given(
    pins=st.lists(PINS, min_size=1, max_size=4),
    own=st.lists(POST_IDS, max_size=12),
    hidden=st.frozensets(POST_IDS, max_size=12),
    limit=st.integers(1, 7),
)
def test_pages_repeat_nothing_and_leave_nothing_out_whatever_is_pinned_meanwhile(
    pins: list[list[tuple[int, Pin]]], own: list[int], hidden: frozenset[int], limit: int
) -> None:
    read = found(*pins[0], own=own, hidden=hidden)
    one = answer(read, limit, paged=True)
    shown = list(one.posts)
    turn = 0
    while one.cursor is not None:
        page, turn = read_cursor(str(one.cursor)), turn + 1
        read = found(*pins[turn % len(pins)], own=own, hidden=hidden)
        one = answer(read, limit, start=page.start, paged=True, pinned_before=page.pinned)
        assert one.pinned == ()
        shown += one.posts

    assert len(shown) == len(set(shown))
    assert set(shown) == set(range(1, 21)) - hidden


@given(
    pins=PINS, own=st.lists(POST_IDS, max_size=12), hidden=st.frozensets(POST_IDS), limit=st.integers(1, 20)
)
def test_without_its_pins_an_answer_is_the_one_without_pins(
    pins: list[tuple[int, Pin]], own: list[int], hidden: frozenset[int], limit: int
) -> None:
    given = answer(found(*pins, own=own, hidden=hidden), limit)
    plain = answer(found(own=own, hidden=hidden), limit)

    others = [post for post in given.posts if post not in given.pinned]
    assert others == [post for post in plain.posts if post not in given.pinned][: len(others)]
    assert len(given.posts) == len(plain.posts)
    assert not hidden & {*given.posts}
