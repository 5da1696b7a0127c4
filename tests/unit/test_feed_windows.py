"""Windows of posts: whatever is asked, nothing is answered outside its window, and answers are full."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.facets import Facets, Filter, work_out
from api.contract.pin import Pin
from api.contract.window import Window, Windows
from api.feed import answer
from api.found import Generation, Lookup, Pointer
from api.similar import Neighbours, choose_similar
from tests.world import AS_OF_S, PROMOTED_AT_S, World

MANIFEST = World().manifest
BUCKET_S = MANIFEST.start_s
POSTS = range(1, 21)
FACETS = {"topic=low": list(range(1, 11)), "topic=high": list(range(11, 21))}
TIMES = st.integers(AS_OF_S - 3, AS_OF_S + 3)
WINDOWS = st.dictionaries(
    st.sampled_from(POSTS), st.builds(Window, st.none() | TIMES, st.none() | TIMES), max_size=20
)
LISTS = st.permutations(POSTS) | st.lists(st.sampled_from(POSTS), unique=True)
NUMBERS = st.just(frozenset[int]()) | st.frozensets(st.sampled_from(POSTS))
LIMITS = st.integers(1, 5) | st.integers(1, 22)


def generation(windows: Windows, down: frozenset[int] = frozenset()) -> Generation:
    """Return posts 1..20 of two topics, some of them with windows, without those taken down."""
    posts = {post: b'{"id":%d,"topic":"low"}' % post for post in POSTS if post not in down}
    popular = {BUCKET_S: list(range(5, 12))}
    return Generation(MANIFEST, posts, POSTS, popular, facets=Facets(FACETS, POSTS), windows=windows)


def found(windows: Windows, own: list[int], **changes: Any) -> Lookup:
    """Return a look-up that sees all."""
    read = Lookup(
        user_id="2",
        at_s=AS_OF_S,
        bucket_s=BUCKET_S,
        pointer=Pointer(1, PROMOTED_AT_S),
        generation=generation(windows),
        own=own,
        segment=None,
        hidden=frozenset(),
        sees_all=True,
    )
    return replace(read, **changes)


def neighbours(windows: Windows, near: list[int], **changes: Any) -> Neighbours:
    """Return what is known of post 3, whose topic has the ten lowest posts."""
    shared = generation(windows)
    text = shared.posts[3]
    read = Neighbours(3, text, Pointer(1, PROMOTED_AT_S), shared, near, frozenset(), AS_OF_S)
    return replace(read, **changes)


@given(
    windows=WINDOWS,
    own=LISTS,
    at_s=TIMES,
    limit=LIMITS,
    start=st.integers(0, 22),
    hidden=NUMBERS,
    excluded=NUMBERS,
    down=NUMBERS,
    pinned=st.just({}) | st.dictionaries(st.sampled_from(POSTS), st.integers(1, 20), max_size=4),
    wish=st.sampled_from([None, *FACETS]),
    paged=st.booleans(),
)
def test_no_answer_holds_a_post_outside_its_window_and_each_is_full_if_it_can_be(
    windows: dict[int, Window],
    own: list[int],
    at_s: int,
    limit: int,
    start: int,
    hidden: frozenset[int],
    excluded: frozenset[int],
    down: frozenset[int],
    pinned: dict[int, int],
    wish: str | None,
    *,
    paged: bool,
) -> None:
    shared = generation(windows, down)
    wanted = None if wish is None else work_out(Filter((wish,)), FACETS, POSTS)
    read = found(windows, own, at_s=at_s, hidden=hidden, generation=shared)
    read = replace(read, pins=[(post, Pin(place)) for post, place in pinned.items()])
    may = {post for post in shared.posts if windows.get(post, Window()).holds_at(at_s)}
    may -= hidden | excluded
    may &= may if wanted is None else wanted.posts

    first = answer(read, limit, excluded, paged=paged, wanted=wanted)
    later = answer(read, limit, excluded, start, paged=paged, wanted=wanted, pinned_before=())

    assert {*first.posts, *later.posts} <= may
    assert len(first.posts) == len(set(first.posts)) == min(limit, len(may))
    assert (first.underfill is None) == (len(first.posts) == limit)


@given(
    windows=WINDOWS,
    near=LISTS,
    at_s=TIMES,
    limit=LIMITS,
    hidden=NUMBERS,
    down=NUMBERS,
)
def test_no_similar_post_is_outside_its_window_and_each_answer_is_full_if_it_can_be(
    windows: dict[int, Window],
    near: list[int],
    at_s: int,
    limit: int,
    hidden: frozenset[int],
    down: frozenset[int],
) -> None:
    shared = generation(windows, down)
    may = {post for post in shared.posts if windows.get(post, Window()).holds_at(at_s)} - hidden - {3}

    given = choose_similar(neighbours(windows, near, at_s=at_s, hidden=hidden, generation=shared), limit)

    assert {*given.posts} <= may
    assert len(given.posts) == len(set(given.posts)) == min(limit, len(may))


@pytest.mark.parametrize(("at_s", "posts"), [(9, (2, 3)), (10, (1, 2)), (11, (1, 2)), (12, (2, 3))])
def test_a_post_is_answered_from_its_begin_on_and_before_its_end(at_s: int, posts: tuple[int, ...]) -> None:
    assert answer(found({1: Window(10, 12)}, [1, 2, 3], at_s=at_s), 2).posts == posts


def test_pages_go_on_where_the_one_before_ended_whatever_is_closed() -> None:
    windows = {19: Window(None, AS_OF_S), 17: Window(AS_OF_S + 1, None)}
    read = found(windows, list(range(20, 10, -1)))
    first = answer(read, 2, paged=True)

    assert first.posts == (20, 18)
    assert first.next_start is not None
    assert answer(read, 2, start=first.next_start, paged=True).posts == (16, 15)


def test_an_answer_that_windows_left_short_says_so() -> None:
    windows = dict.fromkeys(range(1, 16), Window(None, AS_OF_S))
    short = answer(found(windows, [20, 19], hidden=frozenset({19})), 10)

    assert (len(short.posts), short.underfill) == (4, "closed")
    assert choose_similar(neighbours(windows, [20]), 10).underfill == "closed"


def test_posts_like_a_closed_one_are_answered() -> None:
    given = choose_similar(neighbours({3: Window(None, AS_OF_S)}, [7, 8]), 2)

    assert given.posts == (7, 8)
    assert orjson.loads(given.body)[0]["id"] == 7
