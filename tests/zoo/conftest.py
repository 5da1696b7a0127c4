"""What peers of all kinds learn from in tests: even users like even posts, odd ones odd posts."""

import pytest

from batch.features import asof
from batch.learn.baselines.interactions import Interactions
from tests.facts import even_likes_even


@pytest.fixture(scope="session")
def interactions() -> Interactions:
    """Give a feed's eight days of sixty users and a hundred posts."""
    facts = even_likes_even(60, 100, days=8)
    return Interactions(facts, asof.describe(facts, 1), seed=1, threads=1)
