"""What was seen, packed by the batch: nothing is lost, late facts and events join, the forgotten are gone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import DAY_S, moment
from api.contract.keys import Keys
from api.contract.manifest import FOLDED, Manifest
from api.contract.seen import unpack_seen
from api.main import create_app
from api.settings import Settings
from batch.data.seen import SeenTimes
from batch.publish import fold
from batch.publish.forget.store import forget_sets
from batch.publish.functions import load
from batch.publish.generation import GenerationContent
from batch.publish.ledger.ledger import Ledger
from batch.publish.publish import publish
from batch.publish.replay.seen import read_numbers
from batch.store import read
from tests.content import AS_OF_S, blocks, config, content, generations
from tests.world import AS_OF_S as NOON_S
from tests.world import World

pytestmark = pytest.mark.integration

KEYS = Keys()
SETS = ((KEYS.seen, KEYS.seen_old), (KEYS.likes, KEYS.likes_old))


def publish_packed(store: redis.Redis, folder: Path, of: GenerationContent, days: int = 0) -> Manifest:
    later = replace(of, as_of_s=of.as_of_s + days * DAY_S)
    return publish(generations(store), later, blocks(later), config(folder, layout="packed", kept=1))


def of_facts(times: SeenTimes, of: GenerationContent, row: int) -> dict[int, int]:
    low, high = times.start[row], times.start[row + 1]
    return dict(zip(of.post_ids[times.post[low:high]].tolist(), times.time[low:high].tolist(), strict=True))


def test_what_was_seen_and_liked_is_packed_and_what_comes_later_joins_it(
    store: redis.Redis, tmp_path: Path
) -> None:
    of, ledger = content(), Ledger(store, KEYS)
    publish_packed(store, tmp_path, of)
    wanted = [of_facts(of.views, of, row) for row in range(len(of.user_ids))]

    assert not store.exists(*(key(int(user)) for user in of.user_ids for key in (KEYS.seen, KEYS.likes)))
    for user, row in zip(of.user_ids.tolist(), range(len(of.user_ids)), strict=True):
        assert read_numbers(ledger, KEYS.seen(user), KEYS.seen_old(user)) == wanted[row]
        assert read_numbers(ledger, KEYS.likes(user), KEYS.likes_old(user)) == of_facts(of.likes, of, row)

    (one, first_s), (two, _), *_ = wanted[0].items()
    late, soon = AS_OF_S + 2 * DAY_S, AS_OF_S + 9
    store.zadd(KEYS.seen(1), {str(one): first_s - 5, str(two): soon, "424242": soon, "434343": late})
    store.zadd(KEYS.seen(5), {"7": -(2.0**61), "9": soon})
    publish_packed(store, tmp_path, of, days=1)

    assert unpack_seen(read.value(store, KEYS.seen_old(1)) or b"") == sorted(
        {**wanted[0], one: first_s - 5, 424242: soon}.items(), key=lambda pair: pair[::-1]
    )
    assert store.zrange(KEYS.seen(1), 0, -1) == [b"434343"]
    assert store.zrange(KEYS.seen(5), 0, -1) == [b"7"]  # before the times that can be packed
    assert (9, soon) in unpack_seen(read.value(store, KEYS.seen_old(5)) or b"")

    assert forget_sets(ledger, ["1"]) == 3
    assert not store.exists(KEYS.seen(1), KEYS.seen_old(1), KEYS.likes(1), KEYS.likes_old(1))


def test_a_set_that_changes_meanwhile_stays_as_it_is(
    store: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, merge = content(), fold._merge

    def accept(text: bytes, old: bytes) -> bytes | None:
        store.zadd(KEYS.seen(1), {"424242": AS_OF_S - 3})
        store.unlink(KEYS.seen(5))  # as whoever forgets the user
        return merge(text, old)

    monkeypatch.setattr(fold, "_merge", accept)
    publish_packed(store, tmp_path, of)

    assert store.zcard(KEYS.seen(1)) == 13
    assert not store.exists(KEYS.seen_old(1), KEYS.seen_old(5), KEYS.seen(5))
    assert store.exists(KEYS.seen_old(9))


def test_nothing_is_packed_while_a_generation_is_kept_whose_readers_would_not_look_there(
    store: redis.Redis, tmp_path: Path
) -> None:
    of, folders = content(), generations(store)
    text = publish(folders, of, blocks(of), config(tmp_path, layout="text", kept=2))
    publish(folders, of, blocks(of), config(tmp_path, layout="packed", kept=2))

    assert not store.exists(KEYS.folded(), KEYS.seen_old(1))
    assert FOLDED not in text.needs
    publish_packed(store, tmp_path, of)
    assert store.exists(KEYS.folded(), KEYS.seen_old(1)) == 2
    back = publish(folders, of, blocks(of), config(tmp_path, layout="text", kept=2))
    before = replace(of, as_of_s=AS_OF_S - 60, variant="before")
    behind = publish(folders, before, blocks(before), config(tmp_path, layout="text", kept=2))
    assert (back.needs, back.sees_all) == ((FOLDED,), False)
    assert (behind.needs, behind.sees_all) == ((FOLDED,), True)


def test_both_layouts_answer_alike_at_any_time_with_events_pins_and_what_was_seen_since(
    store: redis.Redis, valkey_url: str
) -> None:
    rng, bodies = np.random.default_rng(0), []
    lots = rng.integers(-4_500, 4_000, 12).tolist()
    for layout in ("text", "packed"):
        store.flushall()
        world = World(layout="packed" if layout == "packed" else "text").publish(store).promote(store)
        for user, post, after_s in ((2, 38, 60), (2, 3, -700), (3, 1, -50), (3, 39, 3000)):
            world.see(store, user, post, NOON_S + after_s)
            world.see_live(store, user, post, NOON_S + after_s)
        world.pin(store, 2)
        with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
            paths = [f"/users/{user}/feed?limit={limit}" for user in (2, 3, 99) for limit in (5, 40)]
            paths += [f"/posts/4/similar?user_id={user}" for user in (2, 3)]
            asked = [
                client.get(path, params={"at": moment(NOON_S + lot).isoformat()})
                for path in paths
                for lot in lots
            ]
        assert {reply.status_code for reply in asked} == {200}
        bodies.append([reply.json() | {"took_ms": 0, "request_id": ""} for reply in asked])
    assert bodies[0] == bodies[1]


def test_the_function_seen_reads_both_places_the_latest_of_them(store: redis.Redis) -> None:
    assert load(store)
    world = World(layout="packed").publish(store)
    world.see(store, 2, 1, NOON_S - 5_000)
    world.see(store, 2, 30, NOON_S + 7)

    def call(until_s: int, limit: int) -> list[tuple[int, int]]:
        reply = store.fcall_ro("seen", 2, KEYS.seen(2), KEYS.seen_old(2), str(until_s), str(limit))
        numbers = [int(part) for part in reply]
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    assert call(NOON_S + 7, 9) == [
        (1, NOON_S - 5_000), (4, NOON_S - 400), (3, NOON_S - 300), (2, NOON_S - 200), (30, NOON_S + 7)
    ]  # fmt: skip
    assert call(NOON_S, 2) == [(3, NOON_S - 300), (2, NOON_S - 200)]
