"""`almanac redis` beside the real `redis-cli`: the same bytes for the same command, on the same store."""

import json
import os
import shutil
import subprocess

import pytest
import redis

from batch.cli.draw.reply import as_bytes, as_text
from batch.store.reply import call
from tests.forked import program

pytestmark = [pytest.mark.integration, pytest.mark.own_rights]

COMMANDS = [
    ["PING"],
    ["SET", "k", "v"],
    ["GET", "text"],
    ["GET", "bytes"],
    ["GET", "none"],
    ["TYPE", "scores"],
    ["STRLEN", "text"],
    ["HGETALL", "hash"],
    ["HGETALL", "none"],
    ["HMGET", "hash", "f1", "none", "f2"],
    ["ZRANGE", "scores", "0", "-1", "WITHSCORES"],
    ["ZRANGE", "scores", "+inf", "-inf", "BYSCORE", "REV", "LIMIT", "0", "3"],
    ["EVAL", "return {1, {2, {'a', {}, false}, 'b'}, redis.status_reply('FINE')}", "0"],
    ["EVAL", "return {redis.error_reply('ERR of ours'), 'b'}", "0"],
    ["GET"],
    ["NO-SUCH", "--json"],
    ["HGET", "text", "f"],
]


@pytest.fixture(scope="module", autouse=True)
def _written(valkey_url: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        client.set("text", 'a "word", a \\ and\ta line\n')
        client.set("bytes", bytes(range(256)))
        client.hset("hash", mapping={"f1": "1", "f2": "2"})
        client.zadd("scores", {f"post-{k}": k for k in range(12)})


def almanac(url: str, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """Run `almanac redis` with these words."""
    command = [*program(), "redis", *words]
    return subprocess.run(
        command, env={**os.environ, "ALMANAC_REDIS_URL": url}, capture_output=True, check=False
    )


@pytest.mark.parametrize("form", ["--raw", "--no-raw"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_reply_is_printed_as_redis_cli_prints_it(valkey_url: str, command: list[str], form: str) -> None:
    redis_cli = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if redis_cli is None:
        pytest.skip("no redis-cli and no valkey-cli is installed to compare with")
    theirs = subprocess.run([redis_cli, "-u", valkey_url, form, *command], capture_output=True, check=False)

    with redis.Redis.from_url(valkey_url) as client:
        reply = call(client, *map(str.encode, command))
    ours = as_bytes(reply) if form == "--raw" else as_text(reply)

    assert ours.rstrip(b"\n") == theirs.stdout.rstrip(b"\n")


def test_options_of_the_command_are_the_commands_own(valkey_url: str) -> None:
    by_score = almanac(valkey_url, "--no-raw", "ZRANGE", "scores", "0", "-10", "WITHSCORES")

    assert by_score.stdout == b'1) "post-0"\n2) "0"\n3) "post-1"\n4) "1"\n5) "post-2"\n6) "2"\n'


def test_what_the_server_refuses_is_printed_and_ends_with_1(valkey_url: str) -> None:
    refused = almanac(valkey_url, "--no-raw", "HGET", "text", "f")

    assert refused.returncode == 1
    assert refused.stdout.startswith(b"(error) WRONGTYPE ")
    assert almanac(valkey_url, "PING").returncode == 0


def test_json_holds_the_reply_or_the_error(valkey_url: str) -> None:
    read = almanac(valkey_url, "--json", "HMGET", "hash", "f1", "none")
    refused = almanac(valkey_url, "--json", "HGET", "text", "f")

    assert json.loads(read.stdout) == {"reply": ["1", None]}
    assert json.loads(refused.stdout)["error"].startswith("WRONGTYPE ")
    assert refused.returncode == 1


def test_a_store_named_by_its_url_stands_over_the_setting(valkey_url: str) -> None:
    elsewhere = almanac("redis://127.0.0.1:1/0", "-u", valkey_url, "STRLEN", "bytes")
    nowhere = almanac("redis://127.0.0.1:1/0", "STRLEN", "bytes")

    assert elsewhere.stdout == b"256\n"
    assert nowhere.returncode == 4
