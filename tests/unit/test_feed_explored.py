"""Exploration places: one of each block, for posts that few have seen, drawn by weight; chances are told."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.explore import (
    EVERYBODY,
    UNKNOWN,
    Drawn,
    Exploration,
    Weights,
    decode_weights,
    draw,
    encode_weights,
    read_places,
    spell_salt,
)
from api.contract.facets import Filter, work_out
from api.contract.pin import Pin
from api.contract.window import Window
from api.feed import Answer, answer
from api.found import Generation, Lookup, Pointer
from api.schemas.value import read_cursor
from tests.world import AS_OF_S, PROMOTED_AT_S, World

MANIFEST = World(explore=4).manifest
POSTS = range(1, 31)
NEW = {25: 4.0, 26: 3.0, 27: 2.0, 28: 1.0}
POST_IDS = st.integers(1, 30)


def found(user: str = "2", weights: Mapping[int, float] = NEW, n_places: int = 4, **changes: Any) -> Lookup:
    """Return a look-up that sees all: a list from 20 down to 11, and new posts that no list holds."""
    drawn = Weights(tuple(weights), tuple(weights.values()))
    generation = Generation(
        MANIFEST,
        dict.fromkeys(POSTS, b"{}"),
        POSTS,
        exploration=Exploration(n_places, {EVERYBODY: drawn}) if weights else None,
    )
    read = Lookup(
        user_id=user,
        at_s=AS_OF_S,
        bucket_s=MANIFEST.start_s,
        pointer=Pointer(1, PROMOTED_AT_S),
        generation=generation,
        own=list(range(20, 10, -1)),
        segment="even",
        hidden=frozenset(),
        sees_all=True,
    )
    return replace(read, **changes)


def posts_of(drawn: Sequence[Drawn]) -> list[int]:
    """Return the posts that were drawn."""
    return [post for _, post, _ in drawn]


def test_each_block_of_places_has_one_that_a_new_post_stands_at() -> None:
    for user in range(50):
        given = answer(found(str(user)), 12)

        assert [(place - 1) // 4 for place, _, _ in given.drawn] == [0, 1, 2]
        assert all(given.posts[place - 1] == post for place, post, _ in given.drawn)
        assert len({*posts_of(given.drawn)}) == 3
        assert {*posts_of(given.drawn)} <= NEW.keys()
        assert [post for post in given.posts if post not in NEW] == list(range(20, 11, -1))
        assert given.rung == "own"


def test_a_short_page_has_its_share_of_exploration_places() -> None:
    n = sum(len(answer(found(str(user), n_places=10), 5).drawn) for user in range(400))

    assert abs(n / 400 - 0.5) < 4 * sqrt(0.25 / 400)


def test_the_same_request_draws_the_same_and_another_bucket_or_variant_something_else() -> None:
    def places(**changes: Any) -> list[tuple[Drawn, ...]]:
        return [answer(found(str(user), **changes), 8).drawn for user in range(20)]

    other = Generation(replace(MANIFEST, variant="b"), dict.fromkeys(POSTS, b"{}"), POSTS)
    other = replace(other, exploration=found().generation.exploration)
    assert places() == places()
    assert places() != places(bucket_s=MANIFEST.start_s + 3600)
    assert places() != places(generation=other)


def test_the_propensities_that_are_told_are_those_of_100_000_draws() -> None:
    """Over users, of the first place's post and of the second's given the first's: chi-square on each."""
    n, weights = 50_000, Weights(tuple(NEW), tuple(NEW.values()))
    first, second, told = Counter[int](), Counter[tuple[int, int]](), dict[tuple[int, ...], float]()
    for user in range(n):
        one, two = draw(weights, 10, spell_salt("default", 1640390400, str(user)), 20)
        first[one.post] += 1
        second[one.post, two.post] += 1
        told[one.post,] = one.propensity
        told[one.post, two.post] = two.propensity

    for post, weight in NEW.items():
        assert told[post,] == weight / 10
        for other in NEW.keys() - {post}:
            assert told[post, other] == NEW[other] / (10 - weight)
    square = sum((first[post] - n * told[post,]) ** 2 / (n * told[post,]) for post in NEW)
    assert square < 16.27  # 3 degrees of freedom, one in a thousand
    square = 0.0
    for pair, times in second.items():
        expected = first[pair[0]] * told[pair]
        square += (times - expected) ** 2 / expected
    assert len(second) == 12
    assert square < 26.12  # 8 degrees of freedom


def test_exploration_places_are_spread_evenly_over_their_block() -> None:
    n, one = 20_000, Weights((7,), (1.0,))
    places = Counter(next(draw(one, 10, f"default 0 {user}", 10)).place for user in range(n))

    assert {*places} == {*range(1, 11)}
    assert sum((times - n / 10) ** 2 / (n / 10) for times in places.values()) < 27.88  # 9 degrees


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": frozenset({25, 26, 27})},
        {"generation": replace(found().generation, posts=dict.fromkeys({*POSTS} - {25, 26, 27}, b"{}"))},
        {"generation": replace(found().generation, windows=dict.fromkeys((25, 26, 27), Window(AS_OF_S + 1)))},
    ],
)
def test_what_may_not_be_shown_is_not_drawn_and_what_is_left_has_its_chance(changes: dict[str, Any]) -> None:
    given = answer(found(**changes), 8)

    assert [(post, chance) for _, post, chance in given.drawn] == [(28, 1.0)]
    assert len(given.posts) == 8
    assert answer(found(**changes), 8, excluded={28}).drawn == ()


def test_under_a_filter_only_what_it_leaves_is_drawn() -> None:
    facets = {"topic=even": list(range(30, 0, -2)), "topic=none": [1]}
    even, none = (Filter.of([facet]) for facet in facets)
    assert even is not None
    assert none is not None

    given = answer(found(), 8, wanted=work_out(even, facets, POSTS))
    assert {*posts_of(given.drawn)} == {26, 28}
    assert all(post % 2 == 0 for post in given.posts)
    assert answer(found(), 8, wanted=work_out(none, facets, POSTS)).drawn == ()


def test_nothing_is_drawn_for_the_place_of_a_pinned_post_nor_is_the_post() -> None:
    for user in map(str, range(30)):
        free = answer(found(user), 4).drawn[0]
        there, else_where = found(user), found(user)
        there.pins = there.generation.number_pins({"15": Pin(free.place)})
        else_where.pins = else_where.generation.number_pins({str(free.post): Pin(free.place % 4 + 1)})

        assert answer(there, 4).drawn == ()
        assert answer(there, 4).posts[free.place - 1] == 15
        again = answer(else_where, 4)
        assert again.pinned == (free.post,)
        assert free.post not in posts_of(again.drawn)
        assert len(again.drawn) == 1


def test_an_answer_that_does_not_know_all_that_was_seen_is_not_final_and_none_is_drawn_from_memory() -> None:
    part = answer(found(sees_all=False), 4)

    assert (part.drawn, part.is_final) == ((), False)
    assert answer(found(degraded="store"), 4).drawn == ()


def test_what_knows_of_new_posts_alone_draws_the_same_and_is_final_as_long_as_the_own_list_lasts() -> None:
    seen = frozenset({19, 26})
    whole = answer(found(hidden=seen | {1, 2}), 8)
    part = answer(found(hidden=seen, sees_all=False, sees_new=True), 8)

    assert (part.posts, part.drawn, part.is_final) == (whole.posts, whole.drawn, True)
    assert {19, 26}.isdisjoint(part.posts)
    assert not answer(found(hidden=seen, sees_all=False, sees_new=True), 20).is_final


def test_a_segment_has_its_own_weights_and_who_is_unknown_those_of_the_unknown() -> None:
    def drawn(**changes: Any) -> int:
        read = found(**changes)
        fields = {name: Weights((k,), (1.0,)) for k, name in enumerate((EVERYBODY, UNKNOWN, "even"), 1)}
        read.generation = replace(read.generation, exploration=Exploration(4, fields))
        return answer(read, 4).drawn[0].post

    assert [drawn(), drawn(segment="odd"), drawn(segment=None)] == [3, 1, 1]
    assert [drawn(own=[]), drawn(own=[], segment=None)] == [3, 2]


def test_a_place_has_the_chance_of_its_post_and_what_is_not_drawn_is_certain() -> None:
    given = answer(found(), 4)
    (place, _, chance) = given.drawn[0]

    assert given.propensities == tuple(chance if at == place else 1.0 for at in range(1, 5))
    assert answer(found(weights={}), 4).propensities == ()


def test_weights_are_text_and_come_back() -> None:
    assert decode_weights(encode_weights(NEW, NEW.values())) == Weights(tuple(NEW), tuple(NEW.values()))
    for wrong in (b"1", b"1:0", b"1:-1", b"1:nan", b"1:inf", b"a:1", b"1:2:3"):
        with pytest.raises(ValueError, match=r"is no posts with weights|not above 0"):
            decode_weights(wrong)


@pytest.mark.parametrize("text", ["2/10", "1/1", "1/101", "0.1", "1/", "1/0"])
def test_what_is_no_share_of_places_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"{text!r} is no share of places"):
        read_places(text)


WEIGHTS = st.dictionaries(POST_IDS, st.floats(1e-6, 1.0), max_size=12)


@given(
    weights=WEIGHTS,
    own=st.lists(POST_IDS, max_size=12, unique=True),
    hidden=st.frozensets(POST_IDS, max_size=12),
    pins=st.dictionaries(POST_IDS, st.builds(Pin, st.integers(1, 8)), max_size=4),
    limit=st.integers(1, 12),
    n_places=st.integers(2, 6),
    user=st.text(max_size=5),
)
def test_pages_repeat_nothing_and_leave_nothing_out(
    weights: dict[int, float],
    own: list[int],
    hidden: frozenset[int],
    pins: dict[int, Pin],
    limit: int,
    n_places: int,
    user: str,
) -> None:
    read = found(user, weights, n_places, own=own, hidden=hidden)
    read.pins = read.generation.number_pins({str(post): pin for post, pin in pins.items()})
    one = answer(read, limit, paged=True)
    first, shown = one, list(one.posts)
    while one.cursor is not None:
        page = read_cursor(str(replace(one, found=replace(read, user_id="2")).cursor))
        one = answer(read, limit, start=page.start, paged=True, pinned_before=page.pinned)
        assert (one.drawn, one.pinned) == ((), ())
        shown += one.posts

    assert len(shown) == len({*shown})
    assert {*shown} == {*POSTS} - hidden
    assert len(first.posts) == min(limit, len({*POSTS} - hidden))


@given(
    own=st.lists(POST_IDS, max_size=12),
    hidden=st.frozensets(POST_IDS, max_size=30),
    excluded=st.frozensets(POST_IDS, max_size=3),
    limit=st.integers(1, 12),
    start=st.integers(0, 3),
    paged=st.booleans(),
)
def test_where_no_place_is_for_exploration_answers_are_what_they_were(
    own: list[int], hidden: frozenset[int], excluded: frozenset[int], limit: int, start: int, paged: bool
) -> None:
    """Without exploration, with it and nothing to draw, and what is left of it without what was drawn."""

    def ask(weights: Mapping[int, float], *nothing: str) -> Answer:
        read = found(weights=weights, own=own, hidden=hidden)
        if nothing:
            read.generation = replace(read.generation, exploration=Exploration(4, {}))
        return answer(read, limit, excluded, start, paged=paged)

    plain, empty, some = ask({}), ask({}, "nothing"), ask(NEW)
    assert (plain.drawn, empty.drawn) == ((), ())
    for one in (empty, *([] if some.drawn else [some])):
        assert (one.posts, one.rung, one.next_start, str(one.cursor), one.body) == (
            plain.posts,
            plain.rung,
            plain.next_start,
            str(plain.cursor),
            plain.body,
        )
    drawn = {*posts_of(some.drawn)}
    others = [post for post in some.posts if post not in drawn]
    assert others == [post for post in plain.posts if post not in drawn][: len(others)] or start
