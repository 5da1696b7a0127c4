"""The bench of the overlay on sessions whose taste is plain: the rest is ordered by what was liked so far."""

import numpy as np

from batch.evaluate.sessions import AUC, Sessions
from tests.bench.overlay import WITH, WITHOUT, measure


def session(liked: list[bool]) -> Sessions:
    """Return one session of a post a minute."""
    n = np.arange(len(liked))
    nothing = np.zeros(len(liked), np.int64)
    return Sessions(n, nothing, n, 60 * n, nothing, n, np.array(liked), np.zeros(1, np.int64))


def test_who_likes_one_topic_has_it_further_up_in_the_rest() -> None:
    topics = ["a", "b"] * 10
    what = session([topic == "b" for topic in topics])
    lists = measure(what, -np.arange(20.0), topics, 5)

    before, after = (lists.models[name][AUC].parts.sum() for name in (WITHOUT, WITH))
    assert before < after
    assert len(lists.user) == 2  # after five posts and after ten; the rest after fifteen is too short


def test_where_all_topics_are_liked_alike_nothing_moves() -> None:
    topics = ["a"] * 20
    lists = measure(session([place % 2 == 0 for place in range(20)]), np.zeros(20), topics, 20)

    assert [*lists.models[WITH][AUC].parts] == [*lists.models[WITHOUT][AUC].parts]
