"""The ledger in a real store: what is served, what was, and what must never be again."""

import itertools
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from batch.progress import silent
from batch.publish.ledger.entries import entries, retire_one, show
from batch.publish.ledger.ledger import Promotion
from batch.publish.ledger.promotion import NothingBefore, NotServable, promote, quarantine, rollback
from batch.publish.publish import publish
from batch.publish.retire import StillServed
from batch.store.lease import LeaseTaken, hold
from batch.store.who import who_am_i
from tests.content import AS_OF_S, KEYS, TTL_S, blocks, config, content, generations, published
from tests.integration.test_publish import generations_with_keys

pytestmark = pytest.mark.integration
NOW_S = AS_OF_S + 60


def publish_many(store: redis.Redis, folder: Path, n: int, variant: str = "default") -> None:
    """Publish `n` generations, a hundred seconds apart, and keep all of them."""
    for seed in range(n):
        of = content(seed)
        at_s = NOW_S + 100 * seed
        lists = blocks(of, seed)
        publish(generations(store), of, lists, config(folder, now=lambda at_s=at_s: at_s, kept=9))


def served_at(store: redis.Redis, at_s: int) -> int | None:
    """Return the generation that the history says was served at a time."""
    before = [known.generation for known in generations(store).promotions("default") if known.from_s <= at_s]
    return before[-1] if before else None


def states(store: redis.Redis) -> dict[int, str]:
    """Return what the ledger says of each generation."""
    return {known.generation: known.state for known in entries(generations(store))}


def test_the_ledger_tells_where_each_generation_stands(store: redis.Redis, tmp_path: Path) -> None:
    for seed in range(4):
        published(store, tmp_path, seed)

    assert states(store) == {1: "retired", 2: "retired", 3: "previous", 4: "current"}
    assert [known.row()["users"] for known in entries(generations(store))] == [None, None, 40, 40]
    shown = show(generations(store), 4, tmp_path)
    assert shown["manifest"]["root"] == shown["root"] != ""
    assert 0 < shown["list_ttl_s"] <= TTL_S
    assert shown["disk_bytes"] > 1000
    with pytest.raises(LookupError, match="generation 9 is unknown"):
        show(generations(store), 9, tmp_path)


def test_the_history_says_what_was_served_when(store: redis.Redis, tmp_path: Path) -> None:
    publish_many(store, tmp_path, 3)
    rollback(generations(store), "default", NOW_S + 500)

    by_run = who_am_i()  # the rollback here says nobody
    assert generations(store).promotions("default") == [
        Promotion(1, 1, "promoted", NOW_S, NOW_S + 100, by_run),
        Promotion(2, 2, "promoted", NOW_S + 100, NOW_S + 200, by_run),
        Promotion(3, 3, "promoted", NOW_S + 200, NOW_S + 500, by_run),
        Promotion(4, 2, "rolled-back", NOW_S + 500, None),
    ]
    asked = [NOW_S - 1, NOW_S, NOW_S + 199, NOW_S + 200, NOW_S + 499, NOW_S + 500, NOW_S * 2]
    assert [served_at(store, at_s) for at_s in asked] == [None, 1, 2, 3, 3, 2, 2]
    assert entries(generations(store))[1].row()["served"] == [
        f"2021-12-24T15:02:39+00:00 to 2021-12-24T15:04:19+00:00 (promoted by {by_run})",
        "2021-12-24T15:09:19+00:00 to now (rolled-back)",
    ]


def test_promotions_within_one_second_keep_their_order(store: redis.Redis, tmp_path: Path) -> None:
    publish_many(store, tmp_path, 2)
    for _ in range(6):
        rollback(generations(store), "default", NOW_S + 300)
        promote(generations(store), 2, NOW_S + 300)
    promote(generations(store), 1, NOW_S)  # a clock that was set back

    assert served_at(store, NOW_S + 300) == 1
    assert [known.generation for known in generations(store).promotions("default")] == [1, 2, *[1, 2] * 6, 1]
    assert {known.from_s for known in generations(store).promotions("default")[2:]} == {NOW_S + 300}


def test_rolling_back_twice_goes_back_twice_and_then_no_further(store: redis.Redis, tmp_path: Path) -> None:
    publish_many(store, tmp_path, 3)

    assert rollback(generations(store), "default", NOW_S + 900).generation == 2
    assert generations(store).read_served("default") == (2, 1)
    assert rollback(generations(store), "default", NOW_S + 901).generation == 1
    assert generations(store).read_served("default") == (1, None)
    with pytest.raises(NothingBefore, match="nothing to roll back to from generation 1"):
        rollback(generations(store), "default", NOW_S + 902)
    promote(generations(store), 3, NOW_S + 903)
    assert generations(store).read_served("default") == (3, 1)


def test_nothing_goes_back_to_a_quarantined_generation(store: redis.Redis, tmp_path: Path) -> None:
    publish_many(store, tmp_path, 4)
    quarantine(generations(store), 3, NOW_S + 900)

    assert generations(store).read_served("default") == (4, 2)
    assert rollback(generations(store), "default", NOW_S + 901, quarantine=True).generation == 2
    assert states(store) == {1: "previous", 2: "current", 3: "quarantined", 4: "quarantined"}
    for barred in (3, 4):
        with pytest.raises(NotServable, match=f"generation {barred} is quarantined"):
            promote(generations(store), barred, NOW_S + 902)
    promote(generations(store), 4, NOW_S + 903, force=True)
    assert generations(store).read_served("default") == (4, 2)
    assert generations(store).promotions("default")[-1].why == "forced"


def test_to_quarantine_what_is_served_rolls_back_in_the_same_write(
    store: redis.Redis, tmp_path: Path
) -> None:
    publish_many(store, tmp_path, 2)

    flip = quarantine(generations(store), 2, NOW_S + 900)

    assert flip is not None
    assert (flip.generation, flip.before) == (1, 2)
    assert states(store) == {1: "current", 2: "quarantined"}
    with pytest.raises(NothingBefore):
        quarantine(generations(store), 1, NOW_S + 901)
    assert states(store) == {1: "current", 2: "quarantined"}


def test_a_quarantined_generation_is_there_to_look_at_until_the_next_run(
    store: redis.Redis, tmp_path: Path
) -> None:
    publish_many(store, tmp_path, 2)
    quarantine(generations(store), 2, NOW_S + 900)
    assert generations_with_keys(store) == {1, 2}

    published(store, tmp_path, 3)

    assert states(store) == {1: "previous", 2: "quarantined", 3: "current"}
    assert generations_with_keys(store) == {1, 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3"]
    with pytest.raises(NotServable, match="generation 2 is quarantined"):
        promote(generations(store), 2, NOW_S + 901, force=True)


def test_only_what_is_not_served_can_be_retired(store: redis.Redis, tmp_path: Path) -> None:
    publish_many(store, tmp_path, 3)

    with pytest.raises(StillServed, match="generation 3 is served"):
        retire_one(generations(store), tmp_path, 3, NOW_S, silent)
    retire_one(generations(store), tmp_path, 2, NOW_S, silent)
    with hold(store, KEYS.lease(), NOW_S, silent), pytest.raises(LeaseTaken):
        retire_one(generations(store), tmp_path, 1, NOW_S, silent)

    assert generations_with_keys(store) == {1, 3}
    assert rollback(generations(store), "default", NOW_S + 900).generation == 1


def test_a_generation_whose_lists_have_ended_needs_force(store: redis.Redis, tmp_path: Path) -> None:
    publish_many(store, tmp_path, 2)
    store.unlink(*(KEYS.list(user, 1) for user in content().user_ids.tolist()))

    with pytest.raises(NotServable, match="came to the end of their life"):
        promote(generations(store), 1, NOW_S + 900)
    promote(generations(store), 1, NOW_S + 900, force=True)
    assert generations(store).read_served("default")[0] == 1


def test_people_flip_while_a_run_holds_the_lease(store: redis.Redis, tmp_path: Path) -> None:
    publish_many(store, tmp_path, 2)

    with hold(store, KEYS.lease(), NOW_S, silent):
        assert rollback(generations(store), "default", NOW_S + 900).generation == 1


def test_flips_by_several_people_at_once_leave_one_unbroken_history(
    store: redis.Redis, tmp_path: Path
) -> None:
    publish_many(store, tmp_path, 3)

    def flip() -> None:
        for _ in range(25):
            with suppress(NothingBefore):
                rollback(generations(store), "default", NOW_S + 900)
            promote(generations(store), 3, NOW_S + 900)

    people = [threading.Thread(target=flip) for _ in range(4)]
    for person in people:
        person.start()
    for person in people:
        person.join()

    history = generations(store).promotions("default")
    assert [known.number for known in history] == list(range(1, len(history) + 1))
    assert history[-1].generation == generations(store).read_served("default")[0]
    for known, after in itertools.pairwise(history):
        if after.why == "rolled-back":
            assert after.generation == known.generation - 1
