"""A database or store that is there and refuses: tried once, said with its remedy, without the password."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from batch.__main__ import run_command
from batch.data.live.events import read_live
from batch.data.source import open_tables
from batch.data.tables.database_writer import DatabaseWriter
from batch.data.tables.location import SourceError
from batch.errors import exit_code_of, is_away
from batch.jobs import attempts
from batch.jobs.attempts import try_until
from batch.runs.runs import Runs
from batch.store.connection import StoreFailed, open_store
from batch.store.wait import wait_until
from tests.clients import OwnStore
from tests.webhook import webhook

pytestmark = pytest.mark.integration
RIGHT, WRONG = "hush", "zqzq"
KNOWN = "put a user, a password and a database that it knows into its URL"
Refused = Callable[..., str]
GRANT = "grant that right to the user of its URL"


def execute(url: sa.URL, *statements: str) -> None:
    """Carry out statements, each for itself."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def is_let_in(url: sa.URL) -> bool:
    """Say whether a database takes name and password of a URL."""
    try:
        execute(url)
    except sa.exc.OperationalError:
        return False
    return True


@pytest.fixture
def guarded(postgres_url: str) -> Iterator[sa.URL]:
    """Give a database with a table, by a user who needs the right password and may do nothing there."""
    admin = sa.make_url(postgres_url)
    name = f"ann_{admin.database}"
    ann = admin.set(username=name, password=RIGHT)
    execute(admin, "CREATE TABLE feed_data (user_id int)", f"CREATE ROLE {name} LOGIN PASSWORD '{RIGHT}'")
    rules = Path(str(admin.query["host"])) / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all {name} scram-sha-256\n{before}")
    execute(admin, "SELECT pg_reload_conf()")
    assert wait_until(lambda: not is_let_in(ann.set(password=WRONG)), 30)
    yield ann
    rules.write_text(before)
    execute(admin, "SELECT pg_reload_conf()", f"DROP ROLE {name}")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Give what tries work as the schedule does, holds it to be refused at once, and returns the sentence."""
    monkeypatch.setattr(attempts, "FIRST_WAIT_S", 0.01)

    def refused(work: Callable[[], object], code: int = 3) -> str:
        failed: list[Exception] = []

        def attempt() -> None:
            try:
                work()
            except (SourceError, StoreFailed) as exc:
                failed.append(exc)
                raise

        try_until(attempt, "full", 0.5, threading.Event())
        assert [(is_away(exc), exit_code_of(exc)) for exc in failed] == [(False, code)]
        assert WRONG not in str(failed[0])
        assert RIGHT not in str(failed[0])
        return str(failed[0])

    return refused


def read(url: str) -> None:
    """Read the table of a database."""
    with open_tables(url) as tables:
        list(tables.batches("feed_data", ["user_id"]))


def write(url: str) -> None:
    """Write a table into a database."""
    with closing(DatabaseWriter(url, [])) as writer:
        writer.append("more", pa.table({"id": [1]}))


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"password": WRONG}, "password authentication failed for user"),
        ({"password": None}, "no password supplied"),
        ({"username": "nobody"}, 'role "nobody" does not exist'),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
    ],
)
def test_a_database_that_does_not_let_us_in_is_not_waited_for(
    guarded: sa.URL,
    refused: Refused,
    other: dict[str, str | None],
    why: str,
) -> None:
    url = sa.URL.create(**{**guarded._asdict(), **other}).render_as_string(hide_password=False)

    for work in (read, write, read_live):
        said = refused(lambda work=work: work(url))

        assert why in said
        assert said.endswith(f"; {KNOWN}")


def test_a_right_that_is_missing_in_a_database_is_not_waited_for(guarded: sa.URL, refused: Refused) -> None:
    url = guarded.render_as_string(hide_password=False)

    said = [refused(lambda work=work: work(url)) for work in (read, write, read_live)]

    assert [one.rpartition(":")[2].strip() for one in said] == [
        f"permission denied for table feed_data; {GRANT}",
        f"permission denied for schema public; {GRANT}",
        f"permission denied for schema public; {GRANT}",
    ]
    assert said[2].startswith("ALMANAC_EVENTS_URL=")


def test_a_run_that_a_database_does_not_let_in_tells_people_what_to_mend(
    guarded: sa.URL,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = guarded.set(password=WRONG).render_as_string(hide_password=False)
    monkeypatch.setenv("ALMANAC_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("ALMANAC_DATABASE_URL", url)
    with webhook() as hook:
        monkeypatch.setenv("ALMANAC_NOTICES", hook.url)
        code = run_command(["run"])

    said = capsys.readouterr()
    (run,), (notice,) = Runs(tmp_path).recent(), hook.heard
    assert (code, run.exit_code, run.resumes) == (3, 3, False)
    assert said.err == f"error: {run.why}\n"
    assert run.why.endswith(f"; {KNOWN}")
    assert notice["message"].startswith(f"{run.why} (exit code 3)")
    assert WRONG not in f"{said} {notice}"


@pytest.mark.parametrize(
    ("user", "why"),
    [
        (f"ann:{WRONG}@", "invalid username-password pair or user is disabled"),
        ("", "HELLO must be called with the client already authenticated"),
    ],
)
def test_a_store_that_does_not_let_us_in_is_not_waited_for(
    own_store: OwnStore, refused: Refused, user: str, why: str
) -> None:
    with own_store.start() as admin:
        admin.acl_setuser("ann", enabled=True, passwords=[f"+{RIGHT}"], keys=["*"], categories=["+@all"])
        admin.acl_setuser("default", enabled=False)

    def ask() -> None:
        with open_store(f"redis://{user}127.0.0.1:{own_store.port}/0"):
            pytest.fail("it let us in")

    said = refused(ask, 4)

    assert why in said
    assert said.endswith("; put the name and the password of one of its users into ALMANAC_REDIS_URL")


def test_a_right_that_is_missing_in_the_store_is_not_waited_for(
    own_store: OwnStore, refused: Refused
) -> None:
    with own_store.start() as admin:
        admin.acl_setuser(
            "ann", enabled=True, passwords=[f"+{RIGHT}"], keys=["a*"], commands=["+ping", "+get"]
        )

    def write_it(url: str) -> None:
        with open_store(url) as client:
            client.set("a", "1")

    said = refused(lambda: write_it(f"redis://ann:{RIGHT}@127.0.0.1:{own_store.port}/0"), 4)

    assert "has no permissions to run the 'set' command" in said
    assert said.endswith("; give that user the rights that redis/users.acl gives to `batch`")
