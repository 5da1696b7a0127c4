"""The protocol of the next like: what names it early has the higher figures, and every list is its user's."""

import numpy as np
import pytest

from batch.evaluate.next_like import measure_next_like
from batch.features import asof
from batch.learn.split import Split
from tests.facts import BEGIN_S, DAY_S, even_likes_even, facts_of


def test_neighbours_that_the_same_users_like_name_the_next_like() -> None:
    facts = even_likes_even(n_users=20, n_posts=30, days=6)
    split = Split(BEGIN_S + 2 * DAY_S, BEGIN_S + 3 * DAY_S)

    found = measure_next_like(facts, asof.describe(facts, 1).texts, split, seed=1)

    assert found is not None
    mrr = {name: columns["mrr", 10].parts.mean() for name, columns in found.models.items()}
    assert set(mrr) == {"similar", "liked_together", "text", "item_knn_cosine", "popular"}
    assert mrr["similar"] > 1.3 * mrr["popular"]
    assert mrr["similar"] > mrr["text"]
    assert len(found.user) == len(found.past)


def test_nothing_is_measured_where_no_like_follows_another() -> None:
    facts = facts_of([(0, 0, BEGIN_S, 0, 1), (1, 1, BEGIN_S + DAY_S, 0, 1)], 2, 2)
    texts = asof.describe(facts, 1).texts

    assert measure_next_like(facts, texts, Split(BEGIN_S, BEGIN_S + 2 * DAY_S), seed=1) is None


@pytest.mark.parametrize("days", [1, 3])
def test_what_lies_in_the_split_makes_no_neighbours(days: int) -> None:
    facts = even_likes_even(n_users=10, n_posts=20, days=6)
    split = Split(BEGIN_S + days * DAY_S, BEGIN_S + (days + 1) * DAY_S)
    texts = asof.describe(facts, 1).texts

    whole = measure_next_like(facts, texts, split, seed=1)
    cut = measure_next_like(facts.until(split.test_to_s - 1), texts, split, seed=1)

    assert whole is not None
    assert cut is not None
    for name in whole.models:
        np.testing.assert_array_equal(whole.models[name]["mrr", 10].parts, cut.models[name]["mrr", 10].parts)
