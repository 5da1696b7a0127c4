"""No part of a password or token is printed, in no spelling, by no command and no route, well or ill."""

import hashlib
import logging
import os
import subprocess
import sys
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
import sqlalchemy as sa

from api.tokens import add_token
from batch.__main__ import run_command
from batch.errors import exit_code_of
from tests.clients import OwnStore, running
from tests.world import World

pytestmark = pytest.mark.integration

# Each part of it has `zqzq`, and each sign stands for another in a URL.
PASSWORD = "zqzq1@zqzq2/zqzq3:zqzq4?zqzq5#zqzq6%zqzq7 zqzq8"
QUOTED = quote(PASSWORD, safe="")
RAW = "zqzq1@zqzq2/zqzq3"
SMALL = {"ALMANAC_N_TREES": "5", "ALMANAC_N_BUCKETS": "2", "ALMANAC_DEPTH": "5", "ALMANAC_TRAIN_DAYS": "5"}
Say = Callable[..., str]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Say:
    """Give what runs a command in this process and returns all that it says, raises and keeps."""
    for name in [name for name in os.environ if name.startswith("ALMANAC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ALMANAC_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(logging, "raiseExceptions", False)  # its handlers outlive captured files

    chains: list[str] = []

    def note(exc: Exception) -> int:
        chains.append(traceback.format_exc())
        return exit_code_of(exc)

    monkeypatch.setattr("batch.__main__.exit_code_of", note)

    def run(*arguments: str, code: int | None = None, **env: str) -> str:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        ended = run_command(list(arguments))
        assert code is None or ended == code, capfd.readouterr()
        kept = [path.read_text() for path in (tmp_path / "state").glob("last-error.txt")]
        return "\n".join((*capfd.readouterr(), *chains, *kept))

    return run


@pytest.fixture
def guarded(own_store: OwnStore) -> OwnStore:
    """Give a store that wants the password."""
    with own_store.start("--zset-max-listpack-entries", "1024", "--hash-max-listpack-value", "512") as client:
        client.acl_setuser("ann", enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], categories=["+@all"])
        client.acl_setuser("default", enabled=False)
    return own_store


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ann:{QUOTED}@127.0.0.1:9/facts",
        f"postgres://ann:{QUOTED}@nowhere.invalid/facts",
        f"postgresql+asyncpg://ann:{RAW}@127.0.0.1:9/facts",
        f"postgresql://ann@127.0.0.1:9/facts?password={QUOTED}",
        f"postgresql://ann:{QUOTED}@127.0.0.1:9/facts?zqzq9=1",
        f"postgresql://ann:{QUOTED}@127.0.0.1:port/facts",
        f"mysql://ann:{QUOTED}@127.0.0.1:9/facts",
        f"nothing+like://ann:{QUOTED}@127.0.0.1:9/facts",
        f"postgresql:/ann:{QUOTED}@127.0.0.1:9/facts",
        f"ann:{RAW}@127.0.0.1:9/facts",
    ],
)
def test_a_database_that_cannot_be_read_is_named_without_its_password(
    say: Say, tmp_path: Path, url: str
) -> None:
    (tmp_path / "there").mkdir()
    said = [
        say("run", "--data", url),
        say("run", url),
        say("import", url, "--to", str(tmp_path / "there")),
        say("simulate", "--users", "3", "--posts", "3", "--to", url),
        say("evaluate", ALMANAC_DATABASE_URL=url),
        say("run", "--json"),
    ]

    assert all(said)
    assert "zqzq" not in "".join(said).replace("zqzq9", "")


@pytest.mark.parametrize(
    "url",
    [
        f"redis://ann:{QUOTED}@127.0.0.1:9/0",
        f"rediss://ann:{QUOTED}@127.0.0.1:9/0?ssl_password={QUOTED}",
        f"redis://127.0.0.1:9/0?username=ann&password={QUOTED}",
        f"redis://ann:{RAW}@127.0.0.1:9/0",
        f"redis://ann:{PASSWORD}@127.0.0.1:9/0",
        f"unix://ann:{QUOTED}@/nowhere/s.sock",
        f"redis://ann:{QUOTED}@127.0.0.1:9/0?ssl_ca_certs=/nowhere",
        f"ann:{RAW}@127.0.0.1:9",
    ],
)
def test_a_store_that_cannot_be_had_is_named_without_its_password(
    say: Say, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr("batch.store.connection._RETRIES", 0)
    monkeypatch.setenv("ALMANAC_REDIS_URL", url)

    said = [
        say("redis", "PING"),
        say("redis", "--url", url, "PING"),
        say("plan", "--users", "3", "--json"),
        say("generations", "list"),
        say("inspect", "1"),
        say("generations", url),
    ]

    assert all(said)
    assert "zqzq" not in "".join(said)


def test_a_wrong_password_is_refused_and_not_shown(say: Say, guarded: OwnStore) -> None:
    url = f"redis://ann:{QUOTED}wrong@127.0.0.1:{guarded.port}/0"

    said = say("redis", "PING", code=4, ALMANAC_REDIS_URL=url)

    assert "WRONGPASS" in said or "invalid username-password" in said
    assert "zqzq" not in said


@pytest.mark.parametrize("text", ["zqzq", "write:zqzq", f"read:{'0' * 64},zqzq"])
def test_a_token_that_was_given_for_its_hash_is_not_shown(text: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "api.main"],
        env={"PATH": os.environ["PATH"], "ALMANAC_TOKENS": text, "ALMANAC_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 2
    assert "ALMANAC_TOKENS=*** must be scope:sha256" in ran.stderr
    assert "zqzq" not in ran.stdout + ran.stderr


@pytest.mark.slow
def test_what_goes_well_shows_no_password_either(
    say: Say, guarded: OwnStore, postgres_url: str, tmp_path: Path
) -> None:
    facts = sa.make_url(postgres_url).set(password=PASSWORD).render_as_string(hide_password=False)
    env = {
        **SMALL,
        "ALMANAC_REDIS_URL": f"redis://ann:{QUOTED}@127.0.0.1:{guarded.port}/0",
        "ALMANAC_DATABASE_URL": facts.replace("+psycopg", "+psycopg2"),
        "ALMANAC_EVENTS_URL": facts,
    }
    said = [
        say("simulate", "--users", "40", "--posts", "120", code=0, **env),
        say("simulate", "--users", "40", "--posts", "120", code=3),
        say("run", "--json", code=0),
        say("generations", "list", "--json", code=0),
        say("generations", "show", "1", "--json", code=0),
        say("plan", "--users", "10", "--json", code=0),
        say("inspect", "1", "--json"),
        say("redis", "--json", "GET", "almanac:1:manifest:1", code=0),
        *(say(name, "--help", code=0) for name in ("run", "serve", "redis", "schedule", "import")),
    ]

    assert len("".join(said)) > 3000
    assert "zqzq" not in "".join(said)
    texts = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert texts
    assert not [text for text in texts if b"zqzq" in text]


@pytest.mark.parametrize("is_up", [True, False])
def test_the_api_shows_no_password_and_no_token(guarded: OwnStore, tmp_path: Path, *, is_up: bool) -> None:
    url = f"redis://ann:{QUOTED}@127.0.0.1:{guarded.port}/0?client_name=api"
    with redis.Redis.from_url(url) as client:
        World().publish(client).promote(client)
    _, own = add_token(tmp_path / "tokens.json", "write", "ours")
    digest = hashlib.sha256(b"zqzq-token").hexdigest()
    if not is_up:
        guarded.kill()
    asked = [
        ("GET", path, b"")
        for path in (
            "/health",
            "/ready",
            "/metrics",
            "/docs",
            "/openapi.json",
            "/post/recommendations/?id=2",
            "/no",
        )
    ]
    asked += [("POST", "/events", b"{}"), ("GET", "/users/x/feed?cursor=1", b"")]

    answers = []
    with running(url, tmp_path, ALMANAC_TOKENS=f"read:{digest}") as address:
        for token in ("zqzq-token", own, "zqzq-wrong"):
            for method, path, body in asked:
                request = urllib.request.Request(address + path, body or None, method=method)
                request.add_header("Authorization", f"Bearer {token}")
                try:
                    with urllib.request.urlopen(request, timeout=10) as reply:
                        answers.append(f"{reply.headers}{reply.read().decode()}")
                except urllib.error.HTTPError as exc:
                    answers.append(f"{exc.headers}{exc.read().decode()}")
    logged = (tmp_path / "api.log").read_text()

    assert len(answers) == 3 * len(asked)
    assert "api.started" in logged
    said = "".join((*answers, logged))
    assert "zqzq" not in said
    assert own not in said
