"""Filters: which posts a wish leaves, and that the ladder answers it in full wherever that is possible."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.facets import Facets, Filter, NotFiltered, Wanted, spell, work_out
from api.feed import Rung, answer
from api.found import Generation, Lookup, Pointer
from tests.world import AS_OF_S, PROMOTED_AT_S, World

MANIFEST = replace(World().manifest, counts={"facets topic": 4, "facets brand": 2})
BUCKET_S = MANIFEST.start_s
POSTS = range(1, 31)
POST_IDS = st.integers(1, 30)
LISTS = st.lists(POST_IDS, max_size=12)
TOPICS, BRANDS = ("even", "odd", "both", "none"), ("acme", "b=c")
VALUES: dict[int, set[str]] = {
    post: {
        spell("topic", TOPICS[post % 2]),
        *([spell("topic", "both")] if post % 5 == 0 else []),  # a post of several values
        *([spell("brand", BRANDS[post % 3 - 1])] if post % 3 else []),  # and one of none
    }
    for post in POSTS
}
NAMES = [*(spell("topic", topic) for topic in TOPICS), *(spell("brand", brand) for brand in BRANDS)]
WISHES = st.builds(
    Filter.of, st.lists(st.sampled_from(NAMES), max_size=3), st.lists(st.sampled_from(NAMES), max_size=2)
)


def matches(post: int, wish: Filter | None) -> bool:
    """Say by a post's own values whether a wish is for it."""
    if wish is None:
        return True
    by_column = [
        [facet for facet in wish.any_of if facet.startswith(f"{name}=")] for name in ("topic", "brand")
    ]
    return all(not asked or VALUES[post] & {*asked} for asked in by_column) and not VALUES[post] & {
        *wish.none_of
    }


def generation(
    catalogue: list[int], popular: list[int], segment: list[int], gone: frozenset[int] = frozenset()
) -> Generation:
    """Return one with the facets of its catalogue and without the posts taken down."""
    lists = {name: [post for post in catalogue if name in VALUES[post]] for name in NAMES}
    return Generation(
        manifest=MANIFEST,
        posts={post: b"" for post in catalogue if post not in gone},
        catalogue=catalogue,
        popular={BUCKET_S: popular},
        segments={"s": {BUCKET_S: segment}},
        facets=Facets(lists, catalogue),
    )


def found(shared: Generation, own: list[int], **changes: object) -> Lookup:
    """Return a look-up that sees all, changed."""
    read = Lookup(
        user_id="2",
        at_s=AS_OF_S,
        bucket_s=BUCKET_S,
        pointer=Pointer(1, PROMOTED_AT_S),
        generation=shared,
        own=own,
        segment="s",
        hidden=frozenset(),
        sees_all=True,
    )
    return replace(read, **changes)  # type: ignore[arg-type]  # as the test says


def wanted(shared: Generation, *any_of: str, without: tuple[str, ...] = ()) -> Wanted | None:
    """Return what a filter leaves."""
    wish = Filter.of(any_of, without)
    return None if wish is None else shared.find_wanted(wish)


EVERYTHING = generation(list(POSTS), popular=[7, 8, 9], segment=[20, 19, 18])


def test_each_rung_answers_with_what_is_wanted_and_the_lowest_one_is_named() -> None:
    read = found(EVERYTHING, own=[30, 29, 28, 27], topics=[26, 24], profile=[11, 22])
    even = wanted(EVERYTHING, "topic=even")

    given = [answer(read, limit, wanted=even) for limit in (1, 2, 3, 4, 5, 6, 7, 8, 9)]

    assert given[-1].posts == (30, 28, 26, 24, 22, 20, 18, 8, 2)
    assert [one.rung for one in given] == [
        *("own", "own", "topic", "topic", "profile", "segment", "segment", "popular", "catalogue")
    ]


def test_values_of_one_column_are_alternatives_and_columns_narrow() -> None:
    read = found(EVERYTHING, own=[])

    def posts(*any_of: str, without: tuple[str, ...] = ()) -> tuple[int, ...]:
        return tuple(sorted(answer(read, 30, wanted=wanted(EVERYTHING, *any_of, without=without)).posts))

    assert posts("topic=even", "topic=odd") == tuple(POSTS)
    assert posts("topic=both", "brand=b=c") == (5, 20)
    assert posts(without=("topic=odd", "topic=both")) == tuple(p for p in POSTS if p % 2 == 0 and p % 5)
    assert posts("topic=both", without=("topic=even",)) == (5, 15, 25)


def test_a_value_that_no_post_has_is_an_empty_answer_with_a_reason() -> None:
    given = answer(found(EVERYTHING, own=[30]), 5, wanted=wanted(EVERYTHING, "topic=gardening"))

    assert (given.posts, given.rung, given.underfill) == ((), "catalogue", "filter")


def test_an_underfilled_answer_under_a_filter_names_what_left_out_most_of_what_is_wanted() -> None:
    both = wanted(EVERYTHING, "topic=both")  # 5, 10, 15, 20, 25, 30
    gone = generation(list(POSTS), [], [], gone=frozenset({5, 10}))

    assert answer(found(EVERYTHING, own=[]), 6, wanted=both).underfill is None
    assert answer(found(EVERYTHING, own=[]), 7, wanted=both).underfill == "filter"
    seen = found(EVERYTHING, own=[], hidden=frozenset({5, *range(6, 10)}))
    assert answer(seen, 6, {10, 15}, wanted=both).underfill == "excluded"
    assert answer(seen, 6, wanted=both).underfill == "seen"
    assert answer(found(gone, own=[]), 6, {15}, wanted=both).underfill == "taken_down"


def test_a_column_that_the_generation_does_not_filter_by_is_refused_in_one_sentence() -> None:
    with pytest.raises(
        NotFiltered, match=r"^'colour' is no column that generation 1 filters by: it has brand, topic"
    ):
        wanted(EVERYTHING, "topic=even", "colour=red")


def test_an_answer_from_the_own_list_under_a_filter_is_final_and_one_from_below_only_where_all_was_seen() -> (
    None
):
    narrow = found(EVERYTHING, own=[30, 29, 28], sees_all=False)
    even = wanted(EVERYTHING, "topic=even")

    assert answer(narrow, 2, wanted=even).is_final
    assert not answer(narrow, 3, wanted=even).is_final


def test_a_cursor_carries_the_filter() -> None:
    wish = Filter.of(["topic=even"])
    assert wish is not None
    read = found(EVERYTHING, own=[])

    paged = answer(read, 2, paged=True, wanted=EVERYTHING.find_wanted(wish)).cursor
    plain = answer(read, 2, paged=True).cursor

    assert paged is not None
    assert plain is not None
    assert (paged.wish, plain.wish) == (wish.digest, "")
    assert str(paged).endswith(f".f{wish.digest}")


def test_filters_worked_out_are_kept_while_they_are_few() -> None:
    facets = EVERYTHING.facets
    first = facets.find(Filter(("topic=even",)))
    assert facets.find(Filter(("topic=even",))) is first

    for number in range(1000):
        facets.find(Filter((f"topic={number}",)))
    again = facets.find(Filter(("topic=even",)))

    assert again is not first
    assert again == first


@given(wishes=st.lists(WISHES, min_size=1, max_size=30))
def test_a_filter_is_the_same_whatever_was_asked_before(wishes: list[Filter | None]) -> None:
    shared = generation([3, 10, 5, 15, 8], [], [])

    for wish in wishes:
        if wish is not None:
            assert shared.find_wanted(wish) == work_out(wish, shared.facets.lists, shared.catalogue)


@given(
    rungs=st.lists(LISTS, min_size=5, max_size=5),
    catalogue=st.lists(POST_IDS, unique=True),
    hidden=st.frozensets(POST_IDS),
    gone=st.frozensets(POST_IDS, max_size=5),
    excluded=st.frozensets(POST_IDS, max_size=5),
    wish=WISHES,
    limit=st.integers(1, 20),
)
def test_an_answer_holds_nothing_unwanted_and_is_full_whenever_the_catalogue_can_fill_it(
    rungs: list[list[int]],
    catalogue: list[int],
    hidden: frozenset[int],
    gone: frozenset[int],
    excluded: frozenset[int],
    wish: Filter | None,
    limit: int,
) -> None:
    own, topics, profile, segment, popular = ([p for p in rung if p in catalogue] for rung in rungs)
    shared = generation(catalogue, popular, segment, gone)
    read = found(shared, own, topics=topics, profile=profile, hidden=hidden)
    left = None if wish is None else shared.find_wanted(wish)

    given = answer(read, limit, excluded, wanted=left)

    free = [p for p in catalogue if p not in hidden | gone | excluded and matches(p, wish)]
    assert set(given.posts) <= set(free)
    assert len(set(given.posts)) == len(given.posts) == min(limit, len(free))
    names: list[Rung] = ["own", "topic", "profile", "segment", "popular", "catalogue"]
    order = [*own, *topics, *profile, *segment, *popular, *catalogue]
    assert list(given.posts) == [p for p in dict.fromkeys(order) if p in free][:limit]
    whole = [own, topics, profile, segment, popular, catalogue]
    enough = [
        n for k, n in enumerate(names) if len({*free}.intersection(*[set().union(*whole[: k + 1])])) >= limit
    ]
    assert ("own" if given.rung == "rest" else given.rung) == (enough[0] if enough else "catalogue")


@given(
    own=LISTS,
    topics=LISTS,
    catalogue=st.lists(POST_IDS, unique=True),
    hidden=st.lists(st.frozensets(POST_IDS, max_size=8), min_size=1, max_size=8),
    wish=WISHES,
    limit=st.integers(1, 7),
)
def test_pages_under_a_filter_neither_repeat_a_post_nor_leave_one_out(
    own: list[int],
    topics: list[int],
    catalogue: list[int],
    hidden: list[frozenset[int]],
    wish: Filter | None,
    limit: int,
) -> None:
    shared = generation(catalogue, [], [])
    left = None if wish is None else shared.find_wanted(wish)
    shown: list[int] = []
    ever_hidden: set[int] = set()
    start: int | None = 0
    turn = 0
    while start is not None:
        now = hidden[turn % len(hidden)]
        ever_hidden |= now
        read = found(shared, own, topics=topics, hidden=now)
        one = answer(read, limit, start=start, paged=True, wanted=left)
        assert one.next_start is None or len(one.posts) == limit
        shown += one.posts
        start, turn = one.next_start, turn + 1

    free = {post for post in catalogue if matches(post, wish)}
    assert len(shown) == len(set(shown))
    assert free - ever_hidden <= set(shown) <= free
