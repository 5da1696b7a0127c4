"""The fallback ladder: which posts answer, and what the answer says of itself."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from api.feed import Answer, Rung, answer
from api.found import Generation, Lookup, Pointer
from tests.world import AS_OF_S, HOUR_S, PROMOTED_AT_S, World

WORLD = World()
BUCKET_S = WORLD.manifest.start_s
EVERYTHING = Generation(
    manifest=WORLD.manifest,
    posts={post: b"%d" % post for post in WORLD.posts},
    catalogue=list(WORLD.posts),
    popular={BUCKET_S: WORLD.popular(BUCKET_S)},
    segments={"even": {BUCKET_S: WORLD.segment("parity=even", BUCKET_S)}},
)
POST_IDS = st.integers(1, 30)
LISTS = st.lists(POST_IDS, max_size=12)


def found(**changes: object) -> Lookup:
    """Return what is read for user 2 just after as_of, changed."""
    read = Lookup(
        user_id="2",
        at_s=AS_OF_S,
        bucket_s=BUCKET_S,
        pointer=Pointer(1, PROMOTED_AT_S),
        generation=EVERYTHING,
        own=tuple(WORLD.own(2, BUCKET_S)),
        segment="even",
        hidden=frozenset(),
        sees_all=False,
    )
    return replace(read, **changes)  # type: ignore[arg-type]  # as the test says


def chosen(given: Answer) -> tuple[tuple[int, ...], Rung]:
    """Return what is said of an answer in these tests."""
    return given.posts, given.rung


def test_the_own_list_answers_in_its_order() -> None:
    given = answer(found(), limit=5)

    assert chosen(given) == ((40, 38, 36, 34, 32), "own")


def test_a_seen_post_is_replaced_from_the_rest_of_the_own_list() -> None:
    given = answer(found(hidden=frozenset({38})), limit=5)

    assert chosen(given) == ((40, 36, 34, 32, 30), "rest")


def test_rungs_follow_in_order_and_the_lowest_one_used_is_named() -> None:
    named: list[Rung] = [answer(found(sees_all=True), limit).rung for limit in (10, 11, 20, 21, 26)]

    assert named == ["own", "segment", "segment", "popular", "catalogue"]


def test_an_unknown_user_gets_what_is_popular() -> None:
    given = answer(found(own=(), segment=None, sees_all=True), limit=10)

    assert chosen(given) == (tuple(range(1, 11)), "popular")


def test_an_unknown_bucket_or_segment_falls_through_to_the_catalogue() -> None:
    given = answer(found(own=(), segment="purple", bucket_s=BUCKET_S + HOUR_S, sees_all=True), limit=3)

    assert chosen(given) == ((1, 2, 3), "catalogue")


def test_a_user_with_a_segment_but_no_list_gets_the_segments_list() -> None:
    given = answer(found(own=(), sees_all=True), limit=2)

    assert chosen(given) == ((40, 38), "segment")


def test_fewer_posts_come_back_only_when_the_catalogue_is_exhausted() -> None:
    given = answer(found(hidden=frozenset(range(1, 39)), sees_all=True), limit=5)

    assert chosen(given) == ((40, 39), "catalogue")


def test_a_post_that_the_generation_does_not_know_is_never_chosen() -> None:
    given = answer(found(own=(999, 40)), limit=1)

    assert chosen(given) == ((40,), "rest")


def test_an_answer_from_below_the_own_list_is_final_only_when_all_seen_posts_were_looked_up() -> None:
    assert answer(found(), 5).is_final
    assert not answer(found(own=()), 5).is_final
    assert answer(found(own=(), sees_all=True), 5).is_final


def test_the_body_is_the_posts_own_bytes() -> None:
    nothing = Generation(WORLD.manifest, posts={}, catalogue=[])

    assert answer(found(generation=nothing), 2).body == b"[]"
    assert answer(found(own=(5, 3)), 2).body == b"[5,3]"


@given(
    own=LISTS,
    segment=LISTS,
    popular=LISTS,
    catalogue=st.lists(POST_IDS, unique=True),
    hidden=st.frozensets(POST_IDS),
    limit=st.integers(1, 20),
)
def test_never_hidden_never_twice_and_full_while_the_catalogue_lasts(
    own: list[int],
    segment: list[int],
    popular: list[int],
    catalogue: list[int],
    hidden: frozenset[int],
    limit: int,
) -> None:
    shared = Generation(
        manifest=WORLD.manifest,
        posts=dict.fromkeys(catalogue, b""),
        catalogue=catalogue,
        popular={BUCKET_S: popular},
        segments={"s": {BUCKET_S: segment}},
    )
    read = found(generation=shared, own=tuple(own), segment="s", hidden=hidden, sees_all=True)

    given = answer(read, limit)

    available = set(catalogue) - hidden
    assert hidden.isdisjoint(given.posts)
    assert len(set(given.posts)) == len(given.posts) == min(limit, len(available))
    unseen_own = [post for post in dict.fromkeys(own) if post in available][:limit]
    assert list(given.posts[: len(unseen_own)]) == unseen_own


@given(
    rungs=st.lists(LISTS, min_size=5, max_size=5), hidden=st.frozensets(POST_IDS), limit=st.integers(1, 20)
)
def test_the_named_rung_is_the_highest_that_suffices(
    rungs: list[list[int]], hidden: frozenset[int], limit: int
) -> None:
    own, profile, segment, popular, catalogue = rungs
    shared = Generation(
        manifest=WORLD.manifest,
        posts=dict.fromkeys(range(1, 31), b""),
        catalogue=catalogue,
        popular={BUCKET_S: popular},
        segments={"s": {BUCKET_S: segment}},
    )
    names: list[Rung] = ["own", "rest", "profile", "segment", "popular", "catalogue"]
    whole = [own[:limit], own[limit:], profile, segment, popular, catalogue]

    given = answer(
        found(generation=shared, own=own, profile=profile, segment="s", hidden=hidden, sees_all=True), limit
    )

    enough = [
        name for depth, name in enumerate(names) if len(set().union(*whole[: depth + 1]) - hidden) >= limit
    ]
    assert given.rung == (enough[0] if enough else "catalogue")
