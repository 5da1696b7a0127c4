"""Similar posts: of what is liked together and of like texts, in one order, from the past alone."""

from dataclasses import replace

import numpy as np
import pytest

from batch.data.facts import Facts
from batch.features import asof
from batch.learn.similar.blend import USUAL, WEIGHTS
from batch.learn.similar.likes import Likes, find_liked_together
from batch.learn.similar.nearest import SCALE, read_rows
from batch.learn.similar.next_like import NextLikes
from batch.learn.similar.similar import Similar, arrange, choose_weights, find_similar
from batch.learn.similar.texts import find_alike, unit
from tests.facts import BEGIN_S, DAY_S, even_likes_even, facts_of, spell, with_texts


def similar(facts: Facts, n: int = 5) -> Similar:
    """Find similar posts with the space that their texts span."""
    return find_similar(facts, asof.describe(facts, 1).texts.space, n, seed=1)


def liked(*baskets: list[int], n_posts: int) -> Facts:
    """Let each user like a basket of post rows, a minute between; posts have no text."""
    events = [
        (user, post, BEGIN_S + user * DAY_S + 60 * place, 0, 1)
        for user, basket in enumerate(baskets)
        for place, post in enumerate(basket)
    ]
    facts = facts_of(events, len(baskets), n_posts)
    return replace(facts, posts=facts.posts.assign(text=None))


def test_posts_that_the_same_users_like_are_similar() -> None:
    found = similar(even_likes_even(), n=5).posts

    assert (found >= 0).all()
    assert (found % 2 == np.arange(len(found))[:, None] % 2).all()


def test_no_post_is_similar_to_itself_and_none_comes_twice() -> None:
    found = similar(even_likes_even(), n=29).posts

    for post, row in enumerate(found.tolist()):
        real = [other for other in row if other >= 0]
        assert post not in real
        assert len(real) == len(set(real))
        assert row == real + [-1] * (len(row) - len(real))


def test_a_post_that_nobody_liked_has_the_neighbours_of_its_text() -> None:
    facts = liked([0, 1], [0, 1], n_posts=6)
    texts = ["red apple pie", "green pear tart", "red apple pie", "slow old train", "slow old train", "none"]
    facts = replace(facts, posts=facts.posts.assign(text=texts))

    found = similar(facts, n=2).posts

    assert found[0, 0] == 1  # liked together
    assert found[2, 0] == 0
    assert found[3].tolist() == [4, -1]


def test_a_post_without_likes_and_text_has_none() -> None:
    found = similar(liked([0, 1], [0, 1], n_posts=4), n=2).posts

    assert found.tolist() == [[1, -1], [0, -1], [-1, -1], [-1, -1]]


def test_what_is_equally_near_comes_in_the_order_of_ids() -> None:
    found = similar(liked([3, 1, 0, 2], n_posts=4), n=3).posts

    assert found.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_later_facts_change_nothing() -> None:
    facts = even_likes_even()
    middle_s = int(facts.time[len(facts.time) // 2])
    space = asof.describe(facts, 1).texts.space

    before = find_similar(facts.until(middle_s), space, 5, seed=1)
    spoiled = replace(facts, target=np.where(facts.time > middle_s, 1 - facts.target, facts.target))
    after = find_similar(spoiled.until(middle_s), space, 5, seed=1)

    np.testing.assert_array_equal(before.posts, after.posts)


def test_text_ids_give_what_numbers_give() -> None:
    facts = even_likes_even(n_users=12, n_posts=40)
    named = with_texts(facts)
    codes = [named.post_names.code_of(spell("post", number)) for number in facts.post_ids.tolist()]
    came = np.argsort(codes)  # of each row under texts, its row under numbers
    named = replace(named, post_came=came)

    ours, theirs = similar(facts), similar(named)

    assert theirs.weights == ours.weights
    np.testing.assert_array_equal(np.append(came, -1)[theirs.posts], ours.posts[came])


def test_the_weight_is_of_what_names_the_next_like() -> None:
    rng = np.random.default_rng(3)
    together = [[int(first), int(first) + 30] for first in rng.integers(0, 30, 2000)]
    by_likes = liked(*together, n_posts=60)
    misled = [[post, int(other)] for post, other in enumerate(rng.permutation(2000)) if post != other]
    alike = [[int(post), int(post) ^ 1] for post in rng.permutation(2000)[:300]]
    by_text = liked(*misled, *alike, n_posts=2000)
    twins = np.repeat(rng.standard_normal((1000, 50)).astype(np.float32), 2, axis=0)

    chosen = [
        choose_weights(Likes.of(facts, arrange(facts)[1]), find_alike(unit(space), 50, 1), unit(space))
        for facts, space in ((by_likes, rng.random((60, 8)).astype(np.float32)), (by_text, twins))
    ]

    assert chosen[0][0] > chosen[0][1]
    assert chosen[1][0] <= 10 * chosen[1][1]
    assert set(chosen) <= set(WEIGHTS)


def test_few_likes_in_a_row_leave_the_usual_weight() -> None:
    facts = liked([0, 1, 2], [1, 2], n_posts=3)

    assert similar(facts).weights == USUAL


def test_likes_of_whoever_likes_everything_say_less() -> None:
    facts = liked([0, 1], [0, *range(2, 40)], n_posts=40)

    found = find_liked_together(Likes.of(facts, arrange(facts)[1]), 40)

    assert read_rows(found.keys, 40)[0, :3].tolist() == [1, 2, 3]
    likeness = found.keys[0, :2] // 40
    assert SCALE > likeness[0] > 3 * likeness[1] > 0


def test_next_likes_are_those_after_a_moment_and_never_liked_before() -> None:
    facts = liked([0, 1, 0, 2], [1], n_posts=3)
    likes = Likes.of(facts, arrange(facts)[1])

    held = NextLikes.of(likes, BEGIN_S + 60)

    assert list(zip(held.previous.tolist(), held.next.tolist(), strict=True)) == [(0, 1), (1, 2)]
    lists = np.array([[2, 1], [0, 2]])
    assert held.pass_over(lists, likes).tolist() == [[2, 1], [2, -1]]


@pytest.mark.parametrize("n_posts", [2, 3000])
def test_like_texts_are_found_in_leaves(n_posts: int) -> None:
    rng = np.random.default_rng(0)
    pairs = np.repeat(rng.standard_normal((n_posts // 2, 16)).astype(np.float32), 2, axis=0)

    found = find_alike(unit(pairs), 3, seed=1)

    partner = np.arange(n_posts) ^ 1
    assert (found[:, 0] == partner).all()
    assert (found != np.arange(n_posts)[:, None]).all()


def test_texts_that_are_all_the_same_cost_no_pairs_of_all_of_them() -> None:
    same = unit(np.ones((5000, 4), np.float32))

    found = find_alike(same, 3, seed=1)

    assert (found >= 0).all()
    assert (found != np.arange(5000)[:, None]).all()
