"""The overlay: what was just liked and passed over moves posts of the own list, a few places at most."""

from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from api.contract.explore import EVERYBODY, Exploration, Weights
from api.contract.pin import Pin
from api.feed import answer
from api.found import Generation, Lookup, Pointer
from api.routes.answer import headers
from api.schemas.value import read_cursor
from api.session import HALF_LIFE_S, Session, read_counts, reorder
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


@given(topics=st.lists(st.sampled_from("abcde"), max_size=60), session=SESSIONS)
def test_nothing_is_lost_and_nothing_moves_more_than_it_may(topics: list[str], session: Session) -> None:
    order = reorder(topics, session)

    assert sorted(order) == list(range(len(topics)))
    assert all(abs(place - k) <= session.n_places for place, k in enumerate(order))


@given(topics=st.lists(st.sampled_from("abcde"), max_size=60), session=SESSIONS, n=st.integers(0, 60))
def test_the_first_places_depend_on_so_many_further_ones_alone(
    topics: list[str], session: Session, n: int
) -> None:
    assert reorder(topics[: n + session.n_places], session)[:n] == reorder(topics, session)[:n]


@given(topics=st.lists(st.sampled_from("abcde"), max_size=60), session=SESSIONS)
def test_posts_of_one_topic_keep_their_order(topics: list[str], session: Session) -> None:
    order = reorder(topics, session)

    for topic in "abcde":
        of_topic = [k for k in order if topics[k] == topic]
        assert of_topic == sorted(of_topic)


@given(topics=st.lists(st.sampled_from("abcde"), max_size=60), session=SESSIONS)
def test_a_session_that_is_idle_moves_no_list(topics: list[str], session: Session) -> None:
    if session.is_idle:
        assert reorder(topics, session) == list(range(len(topics)))


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
    idle = answer(found(Session({}, 5), own, hidden=hidden), limit, excluded, paged=True)

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


def test_events_fade_and_later_ones_do_not_count() -> None:
    told = [(b"tech", b"2 4 1000"), (b"sport", b"1 1 1001"), (b"odd", b"text")]

    assert read_counts(told, 1000) == {"tech": (2.0, 4.0)}
    faded = read_counts(told, 1001 + HALF_LIFE_S)
    assert faded["sport"] == (0.5, 0.5)
    assert 0.99 < faded["tech"][0] < 1
    assert read_counts(told, 999) == {}
