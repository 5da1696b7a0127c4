"""Terminals for the pages, and the servers that a page names by a URL."""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import redis
import sqlalchemy

from tests.docs.terminal import Terminal

Servers = Mapping[str, str]


@pytest.fixture(scope="module")  # what one file's pages leave there is no fact of another's
def servers(valkey_url: str, postgres_server: str) -> Servers:
    """Give the URLs of an empty store and an empty database, by the patterns of those that a page names."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    name = f"t{uuid.uuid4().hex[:12]}"
    url = sqlalchemy.make_url(postgres_server).set(drivername="postgresql+psycopg")
    admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    admin.dispose()
    database = url.set(database=name).render_as_string(hide_password=False)
    return {r"postgresql\+psycopg://[^\s'\"]+": database, r"redis://(127\.0\.0\.1:6379/0|…)": valkey_url}


@pytest.fixture
def terminal(tmp_path: Path, servers: Servers) -> Iterator[Terminal]:
    """Give a terminal in an empty folder."""
    with Terminal(tmp_path / "folder", servers) as opened:
        yield opened
