"""The small world of `tests/world.py` in the tests' store, and a client of an API that serves it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient

from tests.clients import serving
from tests.world import Names, World


@pytest.fixture
def world(store: redis.Redis, names: Names, some_layout: None) -> World:
    """Publish the world, laid out one way or the other, and make it current."""
    return World(names=names).publish(store).promote(store)


@pytest.fixture
def client(valkey_url: str, tmp_path: Path) -> Iterator[TestClient]:
    """Give a client of an app that serves the test's store; its clock stands still."""
    with serving(valkey_url, tmp_path) as opened:
        yield opened
