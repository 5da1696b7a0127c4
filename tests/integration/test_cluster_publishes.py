"""Publishing, promotion, rollback, retirement on a cluster: what stands there is what a single store has."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from api.contract.event import Event
from api.contract.keys import Keys
from api.lifespan import connect_store
from api.settings import Settings
from api.store.slots import slot_of_key
from batch.data.live.events import drain
from batch.publish.forget.store import forget_sets
from batch.publish.ledger.promotion import rollback
from batch.publish.proof.checksums import bad_checksums
from batch.publish.publish import publish
from batch.publish.retire import retire
from batch.score.ranked import RankedBlock
from batch.store.cluster import find_servers
from batch.store.cluster_wire import open_writer
from batch.store.connection import open_store
from batch.store.lease import hold
from batch.store.wire import pack
from tests.clusters import Cluster
from tests.content import AS_OF_S, blocks, config, content, expected, generations, published

pytestmark = pytest.mark.integration

KEYS = Keys(in_cluster=True)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def client(cluster: Cluster) -> Iterator[redis.Redis]:
    """Give the batch's client of an empty cluster."""
    with open_store(cluster.url) as client:
        yield client


def lists_of(store: redis.Redis, number: int) -> dict[int, dict[bytes, bytes]]:
    """Return what stands in every user's hash."""
    found = generations(store)
    manifest = found.need_manifest(number)
    return {
        int(user): dict(fields) for user, fields in found.hashes(manifest, found.user_ids(number)) if fields
    }


def every_key(client: redis.Redis) -> set[bytes]:
    """Return all keys of all primaries."""
    return {key for server in find_servers(client) for key in server.scan_iter(count=1000)}


@pytest.mark.usefixtures("layout")
def test_a_cluster_holds_what_a_single_store_holds(
    client: redis.Redis, store: redis.Redis, tmp_path: Path
) -> None:
    there, here = published(client, tmp_path / "a"), published(store, tmp_path / "b")

    assert there.root == here.root
    assert lists_of(client, 1) == lists_of(store, 1) == expected(content())
    plain = {key.replace(b"{almanac}", b"almanac", 1) for key in every_key(client)}
    # What was seen is not packed in a cluster.
    assert plain == {key.removesuffix(b":old") for key in store.scan_iter()} - {b"almanac:1:folded"}
    found = generations(client)
    assert bad_checksums(found, there, found.user_ids(1), lambda *_: None) == ([], [])


def test_rollback_and_retirement_are_as_on_a_single_store(client: redis.Redis, tmp_path: Path) -> None:
    for seed in range(3):
        published(client, tmp_path, seed)
    kept = generations(client)
    assert kept.states() == {1: "retired", 2: "sealed", 3: "sealed"}

    assert rollback(kept, "default", AS_OF_S + 90).generation == 2
    with hold(client, kept.keys.lease(), AS_OF_S, lambda *_: None) as lease:
        retire(kept, lease, tmp_path, 3, lambda *_: None)

    assert not [key for key in every_key(client) if key.endswith(b":3") or b":3:" in key]
    assert lists_of(client, 2) == expected(content(1), 1)


def test_slots_that_move_while_lists_are_written_lose_none(
    cluster: Cluster, client: redis.Redis, tmp_path: Path
) -> None:
    of = content(n_users=600)
    turn = 0

    def moving() -> Iterator[RankedBlock]:
        nonlocal turn
        for block in blocks(of, size=100):
            yield block
            cluster.move(range(turn * 10, turn * 10 + 10), cluster.primaries[(turn + 1) % 3])
            turn += 1

    publish(generations(client), of, moving(), config(tmp_path))

    assert turn == 6
    assert lists_of(client, 1) == expected(of)


def test_a_slot_that_is_on_its_way_takes_lists_and_seen_sets(
    cluster: Cluster, client: redis.Redis, tmp_path: Path
) -> None:
    of = content(n_users=200)
    slots = sorted({slot_of_key(KEYS.seen(int(user))) for user in of.user_ids[:5]})
    ends = [cluster.begin_move(slot, to) for slot in slots if (to := cluster.another_than(slot))]
    ending = threading.Timer(1.0, lambda: [end() for end in ends])

    def meanwhile() -> Iterator[RankedBlock]:
        yield from blocks(of, size=50)
        ending.start()  # what these slots refused waits for it

    publish(generations(client), of, meanwhile(), config(tmp_path))
    ending.join()

    assert lists_of(client, 1) == expected(of)


def test_a_replica_takes_over_while_lists_are_written(
    cluster: Cluster, client: redis.Redis, tmp_path: Path
) -> None:
    of = content(n_users=600)
    cluster.spread(KEYS.states(), *map(KEYS.seen, range(3)))
    home = cluster.primary_of(KEYS.states())
    victim = next(port for port in map(cluster.primary_of, map(KEYS.seen, range(100))) if port != home)

    def killing() -> Iterator[RankedBlock]:
        for place, block in enumerate(blocks(of, size=100)):
            if place == 3:
                client.wait(1, 1000, target_nodes="primaries")
                cluster.kill(victim)
            yield block

    try:
        publish(generations(client), of, killing(), config(tmp_path))
        assert lists_of(client, 1) == expected(of)
    finally:
        cluster.start(victim)
        cluster.await_whole()


def test_lists_are_copied_within_the_slot_of_their_user(client: redis.Redis) -> None:
    for user in range(20):
        client.set(KEYS.list(user, 1), user)
    copies = [(KEYS.list(user, 1).encode(), KEYS.list(user, 2).encode()) for user in range(21)]
    with open_writer(client) as wire:
        for source, target in copies:
            wire.send(pack(b"COPY", source, target) + pack(b"EXPIRE", target, b"60"), 2)
        wire.flush()
        assert wire.n_zeros == 2, "of the one that is not there"
    assert [client.get(KEYS.list(user, 2)) for user in range(20)] == [b"%d" % user for user in range(20)]
    assert all(client.ttl(KEYS.list(user, 2)) > 0 for user in range(20))


def test_a_writer_cuts_what_it_is_given_by_its_keys(client: redis.Redis) -> None:
    commands = [b"*3\r\n$3\r\nSET\r\n$1\r\n%d\r\n$2\r\n{}\r\n" % n for n in range(10)]
    moved = b"*1\r\n$5\r\nMULTI\r\n" + b"".join(commands[:1]) + commands[0] + b"*1\r\n$4\r\nEXEC\r\n"
    with open_writer(client) as wire:
        wire.send(b"".join(commands), len(commands))
        wire.send(moved, 4)
    assert [client.get(str(n)) for n in range(10)] == [b"{}"] * 10


@pytest.mark.own_rights
def test_the_two_users_of_the_access_list_have_the_rights_that_a_cluster_needs(
    cluster: Cluster, client: redis.Redis, tmp_path: Path
) -> None:
    lines = (
        (ROOT / "redis/users.acl").read_text("utf-8").replace("#@API@", ">pass").replace("#@BATCH@", ">pass")
    )
    rules = [line.split()[1:] for line in lines.splitlines() if line.startswith(("user api", "user batch"))]
    nodes = list(map(cluster.node, cluster.ports))
    for node in nodes:
        for rule in rules:
            node.execute_command("ACL SETUSER", *rule)  # type: ignore[no-untyped-call]

    async def read(url: str) -> None:
        async with connect_store(Settings(redis_url=SecretStr(url), events_wait=1), url, {}) as reader:
            served = await reader.read_current()
            await reader.warm_up()
            seen = Event("e", "1", str(served.catalogue[0]), "view", AS_OF_S, AS_OF_S)
            assert await reader.journal.accept([seen], served) == [True]
            assert (await reader.answer("1", AS_OF_S + 60, 3)).rung == "own"
            await reader.journal.take_down("17", AS_OF_S)

    try:
        with open_store(cluster.url.replace("//", "//batch:pass@")) as batch:
            for seed in range(3):
                published(batch, tmp_path, seed)
            rollback(generations(batch), "default", AS_OF_S + 90)
            assert drain(batch, KEYS, f"sqlite:///{tmp_path / 'events.db'}").n_entries == 0
            asyncio.run(read(cluster.url.replace("//", "//api:pass@")))
            forget_sets(generations(batch), ["1"])
            assert drain(batch, KEYS, f"sqlite:///{tmp_path / 'events.db'}").n_entries == 1
    finally:
        for node in nodes:
            node.acl_deluser("api", "batch")
