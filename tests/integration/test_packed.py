"""Packed lists beside text: the same lists, proofs and answers, in a third of the memory, side by side."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.manifest import FOLDED, PACKED
from api.main import create_app
from api.settings import Settings
from batch.jobs.demo import _commands
from batch.jobs.inspect import inspect
from batch.progress import silent
from batch.publish.functions import load
from batch.publish.ledger.promotion import rollback
from batch.publish.proof.diff import diff
from batch.publish.proof.verify import verify
from batch.publish.publish import publish
from batch.settings import Settings as BatchSettings
from tests.content import AS_OF_S, TTL_S, blocks, config, content, generations
from tests.own_lists import read_own, write_own
from tests.world import World

pytestmark = pytest.mark.integration

KEYS = Keys()


def test_both_layouts_have_the_same_lists_and_checksums(store: redis.Redis, tmp_path: Path) -> None:
    of, folders = content(), generations(store)
    text, packed = (
        publish(folders, of, blocks(of), config(tmp_path, layout=layout)) for layout in ("text", "packed")
    )

    assert (text.layout, packed.layout) == ("text", "packed")
    assert (text.needs, packed.needs) == ((), (PACKED, FOLDED))
    assert (text.checksums, text.root) == (packed.checksums, packed.root)
    users = folders.user_ids(1)
    assert list(folders.hashes(text, users)) == list(folders.hashes(packed, users))
    assert list(folders.segments(text, users)) == list(folders.segments(packed, users))
    np.testing.assert_array_equal(
        folders.read_lists(text, users, of.horizon.starts),
        folders.read_lists(packed, users, of.horizon.starts),
    )
    assert all(0 < int(store.ttl(KEYS.list(user, 2))) <= TTL_S for user in users)
    found = diff(folders, 1, 2, user_id=None, sample=40, rng=np.random.default_rng(0))
    assert (found.overlap, found.added, found.dropped, found.moved) == (1.0, 0.0, 0.0, 0.0)


def test_a_list_that_was_changed_is_found_and_so_is_a_value_that_is_none(
    store: redis.Redis, tmp_path: Path
) -> None:
    of = content()
    publish(generations(store), of, blocks(of), config(tmp_path, layout="packed"))

    def bad() -> tuple[int, int]:
        rng = np.random.default_rng(0)
        verdict = verify(generations(store), 1, tmp_path, sample=1, rng=rng, progress=silent)
        return len(verdict.bad_shards), verdict.n_missing

    assert bad() == (0, 0)
    start = of.horizon.starts[1]
    ranked = decode(read_own(store, 1, 5)[b"%d" % start])
    write_own(store, 1, 5, start, ranked[::-1])
    assert bad() == (1, 0)
    write_own(store, 1, 5, start, ranked)
    assert bad() == (0, 0)
    store.set(KEYS.list(5, 1), b"17 2331 45")
    assert bad() == (1, 1)


@pytest.mark.parametrize("first", ["text", "packed"])
def test_one_layout_is_served_while_the_other_was_before_it_and_both_ways_back(
    store: redis.Redis, valkey_url: str, first: Literal["text", "packed"]
) -> None:
    second: Literal["text", "packed"] = "packed" if first == "text" else "text"
    old = replace(World(), layout=first).publish(store).promote(store)
    new = replace(old.successor(), layout=second).publish(store)

    def answers(client: TestClient) -> list[list[int]]:
        asked = [client.get("/post/recommendations/", params={"id": user}) for user in old.users]
        return [[post["id"] for post in reply.json()] for reply in asked]

    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        before = answers(client)
        page = client.get("/users/2/feed", params={"limit": 2}).json()
        store.hset(KEYS.current("default"), mapping={"generation": 2, "previous": 1})
        after = answers(client)
        more = client.get("/users/2/feed", params={"limit": 2, "cursor": page["next"]}).json()
        rollback(generations(store), "default", AS_OF_S + 4000)
        again = answers(client)

    assert before == again
    assert before != after
    assert more["generation"] == page["generation"] == 1
    assert new.manifest.layout == second


def test_the_function_list_reads_either_layout_as_a_field_of_text(store: redis.Redis) -> None:
    assert load(store)
    text, packed = World(layout="text").publish(store), World(2, layout="packed").publish(store)

    def call(world: World, user: int, asked: object) -> object:
        number = world.generation
        return store.fcall_ro("list", 2, KEYS.manifest(number), KEYS.list(user, number), str(asked))

    for at_s in (*text.manifest.horizon.starts, AS_OF_S + 10**7, 0):
        assert call(packed, 3, at_s) == call(text, 3, at_s)
        wanted = text.own(3, text.manifest.horizon.bucket_for(at_s))
        assert call(packed, 3, at_s) == " ".join(map(str, wanted)).encode()
    assert call(packed, 3, "segment") == call(text, 3, "segment") == b"parity=odd"
    assert call(packed, 99, AS_OF_S) is call(text, 99, AS_OF_S) is call(packed, 99, "segment") is None
    with pytest.raises(redis.ResponseError, match="want a time in epoch seconds, or `segment`"):
        call(packed, 3, "soon")
    store.set(KEYS.list(3, 2), b"17 2331 45")
    with pytest.raises(redis.ResponseError, match="these are no packed lists"):
        call(packed, 3, AS_OF_S)


@pytest.mark.parametrize("value", [b"17 2331 45", None])
def test_a_value_that_is_no_packed_list_degrades_the_answer_as_a_bad_text_does(
    store: redis.Redis, valkey_url: str, value: bytes | None
) -> None:
    World(layout="packed").publish(store).promote(store)
    store.delete(KEYS.list(2, 1))
    if value is None:
        store.hset(KEYS.list(2, 1), "0", "1")
    else:
        store.set(KEYS.list(2, 1), value)

    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        body = client.get("/users/2/feed").json()
        other = client.get("/users/4/feed").json()

    assert (body["degraded"], other["degraded"]) == ("value", "")
    assert len(body["posts"]) == 10


@pytest.mark.parametrize("layout", ["text", "packed"])
def test_what_the_demo_says_to_type_reads_the_list_in_either_layout(
    store: redis.Redis, layout: Literal["text", "packed"]
) -> None:
    world, start = World(layout=layout).publish(store), World().manifest.start_s
    assert load(store)

    typed = _commands(BatchSettings(), "redis://here", world.manifest, "3", start)["the list in the store"]

    words = shlex.split(typed.partition("redis://here ")[2])
    assert decode(store.execute_command(*words)) == world.own(3, start)  # type: ignore[no-untyped-call]


def test_inspect_reads_packed_lists(store: redis.Redis) -> None:
    world = World(layout="packed").publish(store).promote(store)

    found = inspect(store, BatchSettings(), 2, AS_OF_S + 1)

    assert found["list"] == world.own(2, world.manifest.horizon.bucket_for(AS_OF_S + 1))
    assert found["segment"] == "parity=even"
