"""HitRate@5 by kinds of likes: lists by hand, and a shop whose answers are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.data.facts import Facts
from batch.data.kinds import KINDS
from batch.data.mapping import Mapping
from batch.evaluate.by_kind import Acts, drop_undone, measure_by_kind, read_acts
from batch.evaluate.results import MeasuredLists
from batch.evaluate.unseen import AskedUsers
from batch.learn.split import Split
from tests.facts import BEGIN_S, facts_of

VIEW, LIKE = 0, 1
SPLIT = Split(BEGIN_S + 100, BEGIN_S + 200)
Did = tuple[int, int, int, str]  # user, post, seconds after the begin, kind
SHOP = Mapping.from_toml({"events": {"view": ["view"], "like": ["cart", "purchase"]}})


def acts_of(*did: Did) -> Acts:
    columns = (np.array(column) for column in zip(*did, strict=True))
    user, post, time, kind = columns
    places = np.array([KINDS.index(name) for name in kind], np.int8)
    kinds = ("cart", "purchase")
    return Acts(kinds, user.astype(np.int32), post.astype(np.int32), BEGIN_S + time.astype(np.int64), places)


def asked_of(*did: Did) -> AskedUsers:
    """Ask the users who did anything, after user 0 has seen post 7 before the split."""
    events = [(0, 7, BEGIN_S, VIEW, 0), *((u, p, BEGIN_S + s, LIKE, 0) for u, p, s, _ in did)]
    return AskedUsers.of(facts_of(events, 3, 9), SPLIT, np.random.default_rng(1))


DID: tuple[Did, ...] = (
    (0, 4, 110, "cart"),  # fifth in the list: a hit
    (0, 5, 120, "purchase"),  # sixth: none
    (0, 7, 130, "purchase"),  # seen before: does not count
    (1, 0, 110, "cart"),  # first: a hit
    (1, 0, 250, "purchase"),  # after the split
    (2, 8, 199, "cart"),  # ninth: none
)


def test_a_kind_counts_over_those_who_did_so_with_something_new_among_the_first_five() -> None:
    asked = asked_of(*DID)
    lists = {"ours": np.tile(np.arange(9), (3, 1)), "random": np.tile(np.arange(9), (3, 1))}

    found = measure_by_kind(asked, lists, acts_of(*DID))

    cart, purchase = (found["ours"][f"hitrate_{kind}", 5] for kind in ("cart", "purchase"))
    assert asked.users.tolist() == [0, 1, 2]
    assert (cart.parts.tolist(), cart.wholes.tolist()) == ([1, 1, 0], [1, 1, 1])
    assert (purchase.parts.tolist(), purchase.wholes.tolist()) == ([0, 0, 0], [1, 0, 0])
    assert found["random"]["hitrate_cart", 5].parts == pytest.approx([5 / 8, 5 / 9, 5 / 9])


def test_a_kind_that_nobody_did_is_left_out_by_name() -> None:
    did = [act for act in DID if act[3] == "cart"]
    asked = asked_of(*did)
    lists = {"ours": np.tile(np.arange(9), (3, 1))}
    measured = MeasuredLists(measure_by_kind(asked, lists, acts_of(*did)), asked.users)

    kept, told = drop_undone(measured, ("cart", "purchase"))

    assert told == {"cart": 3, "purchase": 0}
    assert set(kept.models["ours"]) == {("hitrate_cart", 5)}


def test_what_is_closed_counts_for_nobody() -> None:
    asked = asked_of(*DID)
    opened = np.arange(9) != 0

    found = measure_by_kind(
        replace(asked, opened=opened), {"ours": np.tile(np.arange(9), (3, 1))}, acts_of(*DID)
    )

    assert found["ours"]["hitrate_cart", 5].wholes.tolist() == [1, 0, 1]


@pytest.fixture
def feed(tmp_path: Path) -> str:
    """Write a feed in which user 2 carts and buys post 1; user 77 is none of the facts'."""
    rows = {
        "timestamp": [BEGIN_S, BEGIN_S + 1, BEGIN_S + 2, BEGIN_S + 3],
        "user_id": ["2", "2", "2", "77"],
        "post_id": ["1", "01", "1", "1"],
        "action": ["view", "Cart", "purchase", "cart"],
    }
    pq.write_table(pa.table(rows), tmp_path / "feed_data.parquet")
    return str(tmp_path)


def shop_facts() -> Facts:
    return facts_of([(1, 0, BEGIN_S, VIEW, 0)], 2, 1)


def test_kinds_are_read_by_the_facts_own_rows(feed: str) -> None:
    acts = read_acts(feed, SHOP, shop_facts(), 10.0)

    assert acts is not None
    assert acts.kinds == ("cart", "purchase")
    assert (acts.user.tolist(), acts.post.tolist()) == ([1, 1], [0, 0])
    assert [KINDS[kind] for kind in acts.kind] == ["cart", "purchase"]
    assert acts.time.tolist() == [BEGIN_S + 1, BEGIN_S + 2]


def test_one_kind_of_like_has_nothing_further_to_tell(feed: str) -> None:
    assert read_acts(feed, Mapping(), shop_facts(), 10.0) is None
