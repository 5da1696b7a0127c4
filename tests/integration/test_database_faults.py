"""PostgreSQL on its bad days: paused in mid-read, silent from the start, slow, locked, without encoding."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict

from batch.__main__ import run_command
from batch.data.live.events import read_live
from batch.data.source import open_tables
from batch.data.tables.connections import conninfo
from batch.data.tables.database import Database
from batch.data.tables.database_writer import DatabaseWriter
from batch.data.tables.location import SourceError
from batch.data.tables.stall import DatabaseStalled
from batch.errors import exit_code_of
from tests.forked import program
from tests.webhook import webhook

pytestmark = pytest.mark.integration
N_ROWS = 400_000  # 50 MB: far more than any buffer on the way
STALL_S = 1.5


def execute(url: str, *statements: str) -> None:
    """Carry out statements, each for itself."""
    libpq = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(libpq, autocommit=True, client_encoding="utf8") as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def big(postgres_url: str) -> str:
    """Give a database with a feed that is long on the way."""
    feed = "SELECT i AS user_id, i AS post_id, repeat('x', 100) AS action, now()::timestamp AS timestamp"
    execute(postgres_url, f"CREATE TABLE feed_data AS {feed} FROM generate_series(1, {N_ROWS}) i")
    return postgres_url


def start(stack: ExitStack, work: Callable[..., None], *arguments: socket.socket) -> None:
    """Run a thread that has ended when the stack closes what it came after."""
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    stack.callback(thread.join, 10)


def pass_on(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until either end closes."""
    with suppress(OSError):
        while some := source.recv(1 << 16):
            target.sendall(some)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def big_by_tcp(big: str) -> Iterator[str]:
    """Give the same database by TCP: the tests' server listens on a Unix socket only."""
    url = sa.make_url(big)
    place = f"{url.query['host']}/.s.PGSQL.{url.query.get('port', 5432)}"
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:

        def relay() -> None:
            with suppress(OSError):
                while True:
                    client = stack.enter_context(server.accept()[0])
                    inner = stack.enter_context(socket.socket(socket.AF_UNIX))
                    inner.connect(place)
                    for ends in ((client, inner), (inner, client)):
                        start(stack, pass_on, *ends)

        start(stack, relay)
        own = url.set(host="127.0.0.1", port=server.getsockname()[1], query={})
        yield own.render_as_string(hide_password=False)
        server.shutdown(socket.SHUT_RDWR)


@contextmanager
def paused(url: str) -> Iterator[None]:
    """Pause every server process that serves a client of the database, as a frozen machine would."""
    name = sa.make_url(url).database
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        )
        pids = [row[0] for row in found]
    engine.dispose()
    assert pids
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def silent() -> Iterator[int]:
    """Listen, accept and never say a word; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def accept() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for connection in kept:
            connection.close()


@pytest.mark.parametrize("adbc", [True, False])
@pytest.mark.parametrize("way", ["big", "big_by_tcp"])
def test_a_read_that_is_paused_in_the_middle_ends_with_its_sentence(
    request: pytest.FixtureRequest, way: str, adbc: bool
) -> None:
    big = request.getfixturevalue(way)
    database = Database(big, stall_s=STALL_S, adbc=adbc)
    batches = database.batches("feed_data", ["user_id", "action"])
    assert next(batches).num_rows

    with paused(big), pytest.raises(DatabaseStalled) as stalled:
        list(batches)
    database.close()

    assert exit_code_of(stalled.value) == 3
    assert str(stalled.value) == (
        f"{sa.make_url(big).render_as_string()} has sent nothing for 1.5 s: is it paused, locked or "
        "overloaded? ALMANAC_DATABASE_STALL_S says how long to wait"
    )


def test_a_read_that_takes_longer_than_the_silence_allowed_goes_on_while_rows_come(big_by_tcp: str) -> None:
    execute(
        big_by_tcp,
        "CREATE VIEW slow AS SELECT user_id, repeat('x', 8000) AS text, "
        "CASE WHEN user_id % 100 = 0 THEN pg_sleep(0.3)::text END AS pause "
        "FROM feed_data WHERE user_id <= 1200",
    )

    with open_tables(big_by_tcp, STALL_S) as tables:  # 3.6 s in all, a few rows at a time
        rows = sum(batch.num_rows for batch in tables.batches("slow", ["user_id", "text", "pause"]))

    assert rows == 1200


def test_a_command_whose_database_falls_silent_ends_with_exit_code_3(
    big: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    locked = sa.create_engine(big)
    monkeypatch.setenv("ALMANAC_DATABASE_STALL_S", str(STALL_S))

    with locked.connect() as connection:  # a lock that a migration forgot: the server waits with us
        connection.exec_driver_sql("LOCK TABLE feed_data IN ACCESS EXCLUSIVE MODE")
        assert run_command(["import", big, "--to", str(tmp_path / "facts")]) == 3
    locked.dispose()

    said = capsys.readouterr().err
    assert said.startswith("error: postgresql")
    assert "has sent nothing for 1.5 s" in said
    assert said.count("\n") == 1


def test_a_write_that_is_paused_ends_with_its_sentence(big: str) -> None:
    writer = DatabaseWriter(big, [], STALL_S)
    chunk = pa.table({"id": range(500_000), "text": ["x" * 100] * 500_000})
    writer.append("more", chunk.slice(0, 1_000))

    with paused(big), pytest.raises(DatabaseStalled, match=r"has sent nothing for 1\.5 s"):
        writer.append("more", chunk)
    writer.close()


def test_live_events_behind_a_lock_end_with_their_sentence(postgres_url: str) -> None:
    assert len(read_live(postgres_url).user) == 0
    locked = sa.create_engine(postgres_url)

    with locked.connect() as connection:
        connection.exec_driver_sql("LOCK TABLE live_events IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseStalled):
            read_live(postgres_url, STALL_S)
    locked.dispose()


def test_a_server_that_accepts_and_says_nothing_is_unreachable_and_a_run_tells_people(
    silent: int, tmp_path: Path
) -> None:
    url = f"postgresql://ann:hush@127.0.0.1:{silent}/facts?connect_timeout=2"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}

    write = ["simulate", "--users", "9", "--posts", "100", "--to", url]

    with webhook() as hook:
        for arguments in (["run", "--data", url], write):
            done = subprocess.run(
                [*program(), *arguments],
                env={**clean, "ALMANAC_NOTICES": hook.url, "ALMANAC_STATE_DIR": str(tmp_path)},
                capture_output=True,
                text=True,
                check=False,
            )

            assert done.returncode == 3
            assert done.stderr.startswith("error: cannot reach postgresql+psycopg://ann:***@127.0.0.1:")
            assert "timeout" in done.stderr
            assert done.stderr.count("\n") == 1

    (notice,) = hook.heard
    assert notice["title"] == "Almanac: full run failed"
    assert notice["message"].startswith("cannot reach postgresql+psycopg://ann:***@127.0.0.1:")
    assert "(exit code 3)" in notice["message"]


def test_every_way_to_postgresql_has_bounded_waits_and_what_the_url_says_stands() -> None:
    asked = ["postgresql+psycopg://ann:h%20u%27s%40h@db/facts", "postgresql+psycopg://db?connect_timeout=3"]
    plain, own = (conninfo_to_dict(conninfo(sa.make_url(url))) for url in asked)

    assert [plain[name] for name in ("user", "password", "host", "dbname")] == [
        "ann",
        "h u's@h",
        "db",
        "facts",
    ]
    assert plain["connect_timeout"] == "10"
    assert plain["keepalives_idle"] == "30"
    assert plain["tcp_user_timeout"] == "60000"
    assert own["connect_timeout"] == "3"


@pytest.mark.parametrize("adbc", [True, False])
def test_a_time_out_of_statements_does_not_end_the_read(big: str, adbc: bool) -> None:
    execute(
        big,
        "CREATE VIEW slow AS "
        "SELECT user_id, pg_sleep(0.01)::text AS pause FROM feed_data WHERE user_id <= 60",
        f"ALTER DATABASE {sa.make_url(big).database} SET statement_timeout = 200",
    )
    database = Database(big, adbc=adbc)

    assert sum(batch.num_rows for batch in database.batches("slow", ["user_id", "pause"])) == 60

    database.close()


@pytest.fixture
def without_encoding(postgres_url: str) -> Iterator[str]:
    """Give a database of bytes without an encoding, as initdb makes it under the locale C."""
    name = f"{sa.make_url(postgres_url).database}_ascii"
    execute(postgres_url, f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    yield sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("adbc", [True, False])
def test_a_database_without_an_encoding_is_read_as_utf8_and_other_bytes_are_refused(
    without_encoding: str, adbc: bool
) -> None:
    execute(
        without_encoding,
        "CREATE TABLE post_text_df (post_id int, text text)",
        "INSERT INTO post_text_df VALUES (1, 'déjà vu')",
        r"CREATE VIEW latin AS SELECT post_id, convert_from('\xe9', 'SQL_ASCII') AS text FROM post_text_df",
    )
    database = Database(without_encoding, adbc=adbc)

    (batch,) = database.batches("post_text_df", ["post_id", "text"])
    with pytest.raises(SourceError, match='invalid byte sequence for encoding "UTF8": 0xe9'):
        list(database.batches("latin", ["text"]))
    database.close()

    assert batch.to_pylist() == [{"post_id": 1, "text": "déjà vu"}]
