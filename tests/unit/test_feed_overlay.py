"""The overlay: what was just liked and passed over moves posts of the own list, a few places at most."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.explore import EVERYBODY, Exploration, Weights
from api.contract.pin import Pin
from api.feed import answer
from api.found import Generation, Lookup, Pointer
from api.routes.answer import headers
from api.schemas.value import read_cursor
from api.session import HALF_LIFE_S, Session, read_session, reorder
from tests.world import AS_OF_S, PROMOTED_AT_S, World

MANIFEST = World().manifest
POSTS = range(1, 31)
TOPICS = {post: "abc"[post % 3] for post in POSTS}
TEXTS = {post: orjson.dumps({"id": post, "topic": TOPICS[post]}) for post in POSTS}
POST_IDS = st.integers(1, 30)
COUNTS = st.dictionaries(
    st.sampled_from("abcd"), st.floats(0, 50).flatmap(lambda n: st.tuples(st.floats(0, n), st.just(n)))
)
SESSIONS = st.builds(Session.of, COUNTS, st.integers(1, 20))


def found(session: Session | None, own: list[int], **changes: Any) -> Lookup:
    """Return a look-up of a user who just did something."""
    read = Lookup(
        user_id="2",
        at_s=AS_OF_S,
        bucket_s=MANIFEST.start_s,
        pointer=Pointer(1, PROMOTED_AT_S),
        generation=Generation(MANIFEST, TEXTS, POSTS),
        own=own,
        segment=None,
        hidden=frozenset(),
        sees_all=True,
        session=session,
    )
    return replace(read, **changes)


TOPIC_LISTS = st.lists(st.sampled_from("abcde"), max_size=60)


@given(topics=TOPIC_LISTS, session=SESSIONS)
def test_nothing_is_lost_and_nothing_moves_more_than_it_may(topics: list[str], session: Session) -> None:
    moved = reorder(topics, session)

    assert sorted(moved) == list(range(len(topics)))
    assert all(abs(place - k) <= session.n_places for place, k in enumerate(moved))


@given(topics=TOPIC_LISTS, session=SESSIONS, n=st.integers(0, 60))
def test_the_first_places_depend_on_so_many_further_ones_alone(
    topics: list[str], session: Session, n: int
) -> None:
    assert reorder(topics[: n + session.n_places], session)[:n] == reorder(topics, session)[:n]


@given(topics=TOPIC_LISTS, session=SESSIONS)
def test_posts_of_one_topic_keep_their_order(topics: list[str], session: Session) -> None:
    moved = reorder(topics, session)

    for topic in "abcde":
        of_topic = [k for k in moved if topics[k] == topic]
        assert of_topic == sorted(of_topic)


@given(topics=TOPIC_LISTS, counts=COUNTS, n_places=st.integers(1, 20), age_s=st.integers(-5, 20_000))
def test_what_is_not_read_would_move_no_list_and_what_is_moves_less_with_time(
    topics: list[str], counts: dict[str, tuple[float, float]], n_places: int, age_s: int
) -> None:
    fresh = Session.of(counts, n_places)
    read = read_session(orjson.dumps((1000, fresh.weights)), 1000 + age_s, n_places)

    faded = fresh._replace(way=n_places / 2 * 0.5 ** (age_s / HALF_LIFE_S))
    if read is not None:
        assert age_s >= 0
        assert read == faded._replace(n_places=read.n_places)
        assert read.n_places <= n_places
        assert reorder(topics[: 5 + read.n_places], read)[:5] == reorder(topics, faded)[:5]
    elif age_s >= 0:
        assert reorder(topics, faded) == list(range(len(topics)))


@pytest.mark.parametrize(
    "text", ["", "5 5 1000", "[1000]", "[1000,[1]]", '[1000,{"a":"1"}]', '["1",{"a":1}]', '[1000,{"a":9}]']
)
def test_a_foreign_text_moves_nothing(text: str) -> None:
    assert read_session(text.encode(), 2000, 5) is None


def test_what_was_liked_goes_up_and_what_was_passed_over_goes_down() -> None:
    session = Session.of({"a": (0.0, 6.0), "b": (4.0, 5.0)}, 4)
    given = answer(found(session, [3, 6, 9, 1, 2, 4]), 4)  # a a a b c b

    assert given.posts == (1, 3, 6, 4)
    assert (given.raised, given.rung) == (((1, 3), (4, 2)), "own")
    assert dict(headers(given, AS_OF_S))[b"x-almanac-overlay"] == b"1:+3,4:+2"


@given(
    own=st.lists(POST_IDS, max_size=15),
    hidden=st.frozensets(POST_IDS, max_size=15),
    excluded=st.frozensets(POST_IDS, max_size=3),
    limit=st.integers(1, 12),
)
def test_a_session_without_events_changes_nothing(
    own: list[int], hidden: frozenset[int], excluded: frozenset[int], limit: int
) -> None:
    off = answer(found(None, own, hidden=hidden), limit, excluded, paged=True)
    idle = answer(found(Session({}, 2.5, 5), own, hidden=hidden), limit, excluded, paged=True)

    assert headers(off, AS_OF_S) == headers(idle, AS_OF_S)
    assert (off.posts, off.cursor) == (idle.posts, idle.cursor)


@given(
    session=SESSIONS,
    own=st.lists(POST_IDS, max_size=15),
    hidden=st.frozensets(POST_IDS, max_size=12),
    excluded=st.frozensets(POST_IDS, max_size=3),
    pins=st.dictionaries(POST_IDS, st.builds(Pin, st.integers(1, 8)), max_size=4),
    new=st.dictionaries(POST_IDS, st.floats(1e-6, 1.0), max_size=5),
    limit=st.integers(1, 12),
)
def test_pages_repeat_nothing_and_leave_nothing_out(
    session: Session,
    own: list[int],
    hidden: frozenset[int],
    excluded: frozenset[int],
    pins: dict[int, Pin],
    new: dict[int, float],
    limit: int,
) -> None:
    """With pinned and drawn posts, which keep their places; the answer without pages is the first page."""
    weights = {EVERYBODY: Weights(tuple(new), tuple(new.values()))}
    generation = replace(found(None, []).generation, exploration=Exploration(4, weights) if new else None)
    read = found(session, own, hidden=hidden, generation=generation)
    read.pins = generation.number_pins({str(post): pin for post, pin in pins.items()})
    off = answer(replace(read, session=None), limit, excluded, paged=True)
    one = answer(read, limit, excluded, paged=True)

    assert (one.pinned, one.drawn, one.rung) == (off.pinned, off.drawn, off.rung)
    assert one.posts == answer(read, limit, excluded).posts
    assert len(one.pulled) <= session.n_places
    shown = list(one.posts)
    while one.cursor is not None:
        page = read_cursor(str(one.cursor))
        one = answer(read, limit, excluded, page.start, paged=True, pinned_before=page.pinned)
        assert one.raised == ()
        shown += one.posts
    assert len(shown) == len({*shown})
    assert {*shown} == {*POSTS} - hidden - excluded


@given(
    session=SESSIONS,
    own=st.lists(POST_IDS, max_size=15, unique=True),
    hidden=st.frozensets(POST_IDS, max_size=12),
    limit=st.integers(1, 12),
)
def test_posts_move_from_where_they_would_stand_and_those_below_the_own_list_stay(
    session: Session, own: list[int], hidden: frozenset[int], limit: int
) -> None:
    read = found(session, own, hidden=hidden)
    plain = answer(replace(read, session=None), len(POSTS)).posts
    n_own = len({*own} - hidden)
    given = answer(read, limit)

    for place, post in enumerate(given.posts):
        assert abs(plain.index(post) - place) <= (session.n_places if place < n_own else 0)
    assert [post for post, _ in given.raised] == [
        post for place, post in enumerate(given.posts) if plain.index(post) > place
    ]
