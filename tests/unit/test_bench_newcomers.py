"""What `tests.bench newcomers` hides, keeps and judges."""

from dataclasses import replace

import numpy as np

from tests.bench.newcomers.chosen import _score
from tests.bench.newcomers.follow import NO_POST, K, hide_seen, keep_posts, rank_scores
from tests.bench.newcomers.made import _worth
from tests.facts import BEGIN_S, facts_of

FACTS = facts_of([(0, 1, BEGIN_S, 0, 1), (1, 2, BEGIN_S + 5, 0, 0), (0, 3, BEGIN_S + 9, 0, 0)], 2, 4)


def test_posts_that_have_not_come_take_their_events_with_them() -> None:
    kept = keep_posts(replace(FACTS, post_came=np.arange(4)), np.array([True, False, True, True]))

    assert kept.post_ids.tolist() == FACTS.post_ids[[0, 2, 3]].tolist()
    assert (kept.user.tolist(), kept.post.tolist()) == ([1, 0], [1, 2])
    assert kept.post_came is not None
    assert len(kept.post_came) == 3


def test_what_was_seen_or_is_no_candidate_is_in_no_list() -> None:
    open_to = hide_seen(FACTS, np.array([0, 1]), np.array([True, True, True, False]))

    lists = rank_scores(np.tile(np.arange(4.0), (2, 1)), open_to)

    assert lists[:, :3].tolist() == [[2, 0, NO_POST], [1, 0, NO_POST]]


def test_a_list_is_judged_in_its_order() -> None:
    lists = np.full((1, K), NO_POST)
    lists[0, :2] = [3, 1]

    assert np.argsort(-_score(lists, 5)[0]).tolist() == [3, 1, 0, 2, 4]
    assert np.isclose(_worth(lists, np.array([[0.0, 0.3, 0.0, 0.5, 0.9]])), 0.5 + 0.3 / np.log2(3))
