"""Caps on topics: the greedy choice on its own, against one written down in the plainest way."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.score.caps import Caps


def choose_plainly(ranked: list[int], topic: list[int], most: int, window: int, depth: int) -> list[int]:
    """Take, place by place, the first post left that fits, else the first one left."""
    left, chosen = list(ranked), list[int]()
    while left and len(chosen) < depth:
        recent = [topic[post] for post in chosen[max(0, len(chosen) - window + 1) :]]
        fits = (post for post in left if topic[post] < 0 or recent.count(topic[post]) < most)
        post = next(fits, left[0])
        left.remove(post)
        chosen.append(post)
    return chosen


def caps(most: int, window: int, *topic: int) -> Caps:
    return Caps(most, window, np.array(topic, np.int32))


@given(
    topic=st.lists(st.integers(-1, 4), max_size=40),
    most=st.integers(1, 5),
    beside=st.integers(1, 12),
    depth=st.integers(1, 30),
    rng=st.randoms(use_true_random=False),
)
def test_the_choice_is_the_plain_one(
    topic: list[int], most: int, beside: int, depth: int, rng: Random
) -> None:
    ranked = list(range(len(topic)))
    rng.shuffle(ranked)
    cap = caps(most, most + beside, *topic)

    chosen = cap.choose(np.array(ranked, np.int64), depth)

    assert chosen.tolist() == choose_plainly(ranked, topic, most, most + beside, depth)


def test_the_best_fitting_post_is_taken_and_what_it_passes_over_comes_later() -> None:
    chosen = caps(1, 2, 0, 0, 1, 0, 1).choose(np.arange(5), 5)

    assert chosen.tolist() == [0, 2, 1, 4, 3]


def test_where_none_fits_the_best_one_left_is_taken_and_counted() -> None:
    cap = caps(1, 3, 0, 0, 0, 1)

    chosen = cap.choose(np.arange(4), 4)

    assert chosen.tolist() == [0, 3, 1, 2]
    assert cap.count_over(chosen[None, :]) == 2


def test_posts_without_a_topic_are_never_too_many() -> None:
    cap = caps(1, 10, -1, -1, -1, 0, 0)

    assert cap.choose(np.arange(5), 5).tolist() == [0, 1, 2, 3, 4]
    assert cap.count_over(np.array([[0, 1, 2, 3, -1]], np.int32)) == 0


def test_missing_and_empty_topics_are_no_topic() -> None:
    cap = Caps.of("3/10", ["b", None, "", float("nan"), "a", "b"])

    assert cap is not None
    assert (cap.most, cap.window, cap.text) == (3, 10, "3/10")
    assert cap.topic.tolist() == [1, -1, -1, -1, 0, 1]
    assert Caps.of("", ["a"]) is None


def test_a_ranking_of_everybody_is_capped_row_by_row_with_ties_to_the_lower_post() -> None:
    cap = caps(1, 2, 0, 0, 1)

    top = cap.top(np.array([[2.0, 1.0, 0.0], [1.0, 1.0, 1.0]]), 3)

    assert top.tolist() == [[0, 2, 1], [0, 2, 1]]
    assert cap.top(np.empty((0, 3)), 3).shape == (0, 3)


@pytest.mark.parametrize(("depth", "bound"), [(5, 3), (10, 3), (12, 5), (50, 15), (2, 2)])
def test_a_capped_list_has_so_many_of_a_topic_at_most(depth: int, bound: int) -> None:
    assert caps(3, 10).bound(depth) == bound
