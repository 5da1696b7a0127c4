"""Pages of the whole order, and why an answer may not be full."""

from hypothesis import given
from hypothesis import strategies as st

from api.feed import answer
from api.found import Generation, Lookup, Pointer
from tests.world import AS_OF_S, PROMOTED_AT_S, World

WORLD = World()
BUCKET_S = WORLD.manifest.start_s
POST_IDS = st.integers(1, 30)
LISTS = st.lists(POST_IDS, max_size=12)


def found(
    own: list[int], popular: list[int], catalogue: list[int], hidden: frozenset[int], gone: set[int]
) -> Lookup:
    """Return a look-up that sees all."""
    return Lookup(
        user_id="2",
        at_s=AS_OF_S,
        bucket_s=BUCKET_S,
        pointer=Pointer(1, PROMOTED_AT_S),
        generation=Generation(
            WORLD.manifest,
            {post: b"" for post in catalogue if post not in gone},
            catalogue,
            popular={BUCKET_S: popular},
        ),
        own=own,
        segment=None,
        hidden=hidden,
        sees_all=True,
    )


@given(
    own=LISTS,
    popular=LISTS,
    catalogue=st.lists(POST_IDS, unique=True),
    hidden=st.lists(st.frozensets(POST_IDS, max_size=8), min_size=1, max_size=8),
    limit=st.integers(1, 7),
)
def test_pages_repeat_nothing_and_leave_out_only_what_was_hidden_when_its_page_came(
    own: list[int], popular: list[int], catalogue: list[int], hidden: list[frozenset[int]], limit: int
) -> None:
    shown: list[int] = []
    ever_hidden: set[int] = set()
    start: int | None = 0
    turn = 0
    while start is not None:
        now = hidden[turn % len(hidden)]
        ever_hidden |= now
        one = answer(found(own, popular, catalogue, now, set()), limit, start=start, paged=True)
        assert not now & set(one.posts)
        assert one.next_start is None or len(one.post_ids) == limit
        shown += one.posts
        start, turn = one.next_start, turn + 1

    assert len(shown) == len(set(shown))
    assert set(catalogue) - ever_hidden <= set(shown) <= set(catalogue)


@given(
    own=LISTS,
    popular=LISTS,
    catalogue=st.lists(POST_IDS, unique=True),
    hidden=st.frozensets(POST_IDS),
    limit=st.integers(1, 20),
)
def test_the_first_page_is_the_answer_without_paging(
    own: list[int], popular: list[int], catalogue: list[int], hidden: frozenset[int], limit: int
) -> None:
    read = found(own, popular, catalogue, hidden, set())

    first, whole = answer(read, limit, paged=True), answer(read, limit)
    assert (first.post_ids, first.rung) == (whole.post_ids, whole.rung)


def test_nothing_follows_the_last_page() -> None:
    read = found([3, 1], [], [1, 2, 3], frozenset(), set())

    pages = [answer(read, 2, start=start, paged=True) for start in (0, 1, 2, 3, 99)]
    assert [page.next_start for page in pages] == [2, None, None, None, None]
    assert [None if page.cursor is None else page.cursor.start for page in pages[:2]] == [2, None]
    assert answer(read, 3, paged=True).next_start is None


def test_an_underfilled_answer_names_what_left_out_most() -> None:
    def reason(limit: int, hidden: set[int], gone: set[int], excluded: set[int]) -> str | None:
        read = found([], [], list(range(1, 11)), frozenset(hidden), gone)
        return answer(read, limit, excluded, paged=True).underfill

    assert reason(10, set(), set(), set()) is None
    assert reason(11, set(), set(), set()) == "catalogue"
    assert reason(5, {1, 2, 3, 4}, {5, 6}, {7}) == "seen"
    assert reason(5, {1, 2}, {3, 4, 5, 6}, {7}) == "taken_down"
    assert reason(5, {1}, {2}, {3, 4, 5, 6}) == "excluded"
