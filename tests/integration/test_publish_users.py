"""redis.conf and users.acl in a real server: each user can do its job and nothing else."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio as aioredis

from api.contract.event import Event
from api.store.events import Journal
from batch.data.live.events import drain
from batch.jobs.inspect import look
from tests.conftest import await_store, free_port
from tests.content import AS_OF_S, KEYS, content, expected, published
from tests.integration.test_publish import hashes
from tests.least_rights import PASSWORDS, start, url_of

pytestmark = pytest.mark.integration
Connect = Callable[[str], redis.Redis]


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    """Run a server with redis.conf and users.acl; give clients by the user's name."""
    folder, port = tmp_path_factory.mktemp("acl"), free_port()
    server = start(folder, port)
    clients: list[redis.Redis] = []

    def client(user: str) -> redis.Redis:
        clients.append(redis.Redis.from_url(url_of(user, port)))
        return clients[-1]

    try:
        await_store(url_of("api", port))
        yield client
    finally:
        for opened in clients:
            opened.close()
        server.terminate()
        server.communicate(timeout=20)
        shutil.rmtree(folder, ignore_errors=True)


def test_the_batch_publishes_retires_and_looks_and_the_api_reads_it(connect: Connect, tmp_path: Path) -> None:
    batch, api = connect("batch"), connect("api")
    for seed in range(3):
        made = published(batch, tmp_path, seed)

    assert hashes(api, made.generation) == expected(content(2), 2)
    assert batch.hget(KEYS.states(), "1") == b"retired"
    assert look(batch, KEYS, "default", 5, AS_OF_S).found.generation.manifest == made
    assert api.hget(KEYS.current("default"), "generation") == str(made.generation).encode()
    assert api.zrangebyscore(KEYS.seen(1), "-inf", "+inf")
    assert api.smembers(KEYS.takedowns()) == set()
    posts = dict(api.hscan_iter(KEYS.posts(made.generation), count=7))
    assert len(posts) == 30


def test_the_api_records_events_and_takedowns_and_the_batch_drains_them(
    connect: Connect, tmp_path: Path
) -> None:
    url = "redis://{username}:{password}@{host}:{port}/0".format(**connect("api").get_connection_kwargs())

    async def write() -> list[bool | None]:
        async with aioredis.Redis.from_url(url) as client:
            journal = Journal(client, KEYS)
            taken = [await journal.take_down("1", 0.0), await journal.put_back("1", 0.0)]
            return [*taken, *await journal.accept([Event("e1", "1", "2", "like", AS_OF_S, AS_OF_S)])]

    assert asyncio.run(write()) == [True] * 3
    assert drain(connect("batch"), KEYS, f"sqlite:///{tmp_path}/events.db") == (1, 1, 0)


@pytest.mark.parametrize(
    "command",
    [
        ["SET", "almanac:1:counter", "7"],
        ["HSET", "almanac:1:current:default", "generation", "1"],
        ["HSET", "almanac:1:list:{1}:1", "0", "1"],
        ["DEL", "almanac:1:counter"],
        ["GET", "elsewhere"],
        ["KEYS", "*"],
        ["SCAN", "0"],
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["EVAL", "return 1", "0"],
        ["ACL", "LIST"],
    ],
)
def test_the_api_can_write_nothing_and_read_nothing_else(connect: Connect, command: list[str]) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        connect("api").execute_command(*command)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "command",
    [
        ["SET", "elsewhere", "7"],
        ["KEYS", "*"],
        ["FLUSHDB"],
        ["CONFIG", "SET", "maxmemory", "1"],
        ["SHUTDOWN"],
        ["ACL", "SETUSER", "x"],
        ["EVAL", "return 1", "0"],
    ],
)
def test_the_batch_touches_almanacs_keys_only_and_not_the_server(
    connect: Connect, command: list[str]
) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        connect("batch").execute_command(*command)  # type: ignore[no-untyped-call]


def test_nobody_comes_in_without_a_password(connect: Connect) -> None:
    port = connect("api").get_connection_kwargs()["port"]
    for url in (f"redis://127.0.0.1:{port}", f"redis://api:wrong@127.0.0.1:{port}"):
        with redis.Redis.from_url(url) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_the_server_is_set_up_as_the_file_says(connect: Connect) -> None:
    config = connect("batch").config_get("hash-max-listpack-value", "maxmemory*", "append*", "save")

    assert config["hash-max-listpack-value"] == "512"
    assert (config["maxmemory"], config["maxmemory-policy"]) == (str(5 * 2**30), "noeviction")
    assert (config["appendonly"], config["appendfsync"], config["save"]) == ("yes", "everysec", "")


def test_a_short_password_is_refused_before_the_server_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PASSWORDS, "batch", "changeme")
    server = start(tmp_path, free_port())

    _, said = server.communicate(timeout=20)
    assert server.returncode == 1
    assert "shorter than 16 characters" in said
