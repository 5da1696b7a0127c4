"""Whole runs on bad days: what is served stays, sentence, exit code and record are right."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
import sqlalchemy as sa

from batch.runs.record import Run
from batch.runs.runs import Runs
from batch.store.wait import wait_until
from tests.clients import OwnStore
from tests.conftest import STORE_SETTINGS
from tests.content import KEYS
from tests.integration.test_publish import hashes
from tests.integration.test_publish_killed import current
from tests.runs import Commands, await_stopped

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
RUN = ("run", "--no-evaluate")


class Night:
    """Runs on one store and one state folder, after a first one that ended well."""

    def __init__(self, commands: Commands, store: redis.Redis, folder: Path) -> None:
        """Make the world, and publish once."""
        self.commands, self.store, self.facts = commands, store, folder / "facts"
        self.runs = Runs(folder / "state")
        assert commands.run("simulate", "--users", "40", "--posts", "200", "--to", str(self.facts))[0] == 0
        assert commands.run(*RUN)[0] == 0
        self.served = hashes(store, current(store))

    @contextmanager
    def stopped_at(self, at: str, **how: Any) -> Iterator[int]:
        """Let a run come to a stage and wait there for the body; then it goes on."""
        pid = self.commands.start(*RUN, "--json", at=at, send=signal.SIGSTOP, **how)
        await_stopped(pid)
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGCONT)

    def refuse(self, **env: str) -> tuple[int, str]:
        """Run and fail; return exit code and sentence."""
        self.commands.start(*RUN, "--json", **env)  # type: ignore[arg-type] # none is named otherwise
        return self.end_badly()

    def end_badly(self) -> tuple[int, str]:
        """Return the exit code and sentence of a run that fails, held to what any of them must be."""
        code, said, stderr = self.commands.said(self.commands.end())
        assert code > 0
        assert stderr.splitlines()[-1] == f"error: {said['error']}"
        assert "Traceback" not in stderr
        assert hashes(self.store, current(self.store)) == self.served
        assert (self.last().exit_code, self.last().why) == (code, said["error"])
        return code, said["error"]

    def end_well(self, *arguments: str) -> None:
        """Run, and hold what is served to what it was: the facts stand still."""
        code, _, stderr = self.commands.run(*(arguments or RUN))
        assert (code, self.last().outcome) == (0, "done"), stderr
        assert hashes(self.store, current(self.store)) == self.served

    def last(self) -> Run:
        """Return the newest run of the record."""
        return self.runs.newest()


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """Give runs on a store of their own, one after the other."""
    folder = tmp_path_factory.mktemp("night")
    (folder / "store").mkdir()
    own = OwnStore(folder / "store")
    store = own.start(*STORE_SETTINGS)
    env = {
        "ALMANAC_STATE_DIR": str(folder / "state"),
        "ALMANAC_REDIS_URL": own.url,
        "ALMANAC_DATABASE_URL": str(folder / "facts"),
        "ALMANAC_DATABASE_STALL_S": "2",
    }
    try:
        with Commands(folder, env) as commands:
            yield Night(commands, store, folder)
    finally:
        store.close()
        own.kill()


def test_a_store_that_gets_full_or_read_only_ends_the_run_and_the_next_goes_on(night: Night) -> None:
    with night.stopped_at("publish:middle"):
        night.store.config_set("maxmemory", "1")
    full = night.end_badly()
    night.store.config_set("maxmemory", "0")
    with night.stopped_at("publish:middle"):
        night.store.replicaof("127.0.0.1", "1")  # as after a failover
    read_only = night.end_badly()
    night.store.replicaof("NO", "ONE")

    assert (full[0], read_only[0]) == (4, 4)
    assert "it is full: raise its maxmemory" in full[1]
    assert "it takes no writes: ALMANAC_REDIS_URL should name the primary" in read_only[1]
    night.end_well()
    assert night.last().resumed_from is not None  # the store was to blame: what was read and learnt counts
    assert "train" not in {stage.name for stage in night.last().stages}


def test_cancel_and_sigterm_end_a_run_cleanly_and_the_next_goes_on(night: Night) -> None:
    with night.stopped_at("features:begin"):
        night.runs.ask_stop(night.last().number, "cancelled", "`almanac runs cancel` asked for it")
    code, said = night.end_badly()

    assert (code, night.last().outcome) == (130, "cancelled")
    assert said == "the run was cancelled: `almanac runs cancel` asked for it; what was served is served on"

    with night.stopped_at("publish:middle") as pid:
        os.kill(pid, signal.SIGTERM)
    code, said = night.end_badly()

    assert (code, night.last().outcome) == (130, "stopped")
    assert "SIGTERM came" in said
    assert b"building" not in night.store.hvals(KEYS.states())  # it has cleared what it had begun


def test_a_clock_that_jumps_in_mid_run_changes_nothing(night: Night) -> None:
    with night.stopped_at("features:begin", clock_s=-3 * 86_400):
        pass
    assert night.commands.end() == 0

    assert night.last().outcome == "done"
    assert hashes(night.store, current(night.store)) == night.served


def test_two_hosts_at_once_do_not_run_at_once(night: Night, tmp_path: Path) -> None:
    other = {**night.commands.env, "ALMANAC_STATE_DIR": str(tmp_path / "state")}
    go_on = tmp_path / "go on"
    with Commands(tmp_path, other) as elsewhere:
        night.commands.start(*RUN, "--json", at="publish:middle", send=0, until=str(go_on))
        assert wait_until(lambda: b"building" in night.store.hvals(KEYS.states()), 120)
        code, said, _ = elsewhere.run(*RUN)
        go_on.touch()
    ended = night.commands.end()

    assert (code, ended) == (5, 0)
    assert "another run goes on" in said["error"]
    assert hashes(night.store, current(night.store)) == night.served  # nor do lists change without new rows


def test_facts_that_are_bad_end_the_run_and_are_read_anew_after_it(night: Night) -> None:
    (shard,) = night.facts.glob("feed_data*.parquet")
    feed = pq.read_table(shard)
    names = ["moment" if name == "timestamp" else name for name in feed.column_names]

    pq.write_table(feed.rename_columns(names), shard)
    code, said = night.refuse()
    assert code == 3
    assert "has no column 'timestamp'" in said

    views = feed.filter(pa.compute.equal(feed["action"], "view"))
    at = views.schema.get_field_index("target")
    nothing = pa.array([0] * len(views), views.schema.field(at).type)
    pq.write_table(views.set_column(at, "target", nothing), shard)
    code, said = night.refuse()
    assert code == 2
    assert "with 0 likes before as_of cannot train a ranker" in said

    pq.write_table(feed, shard)
    night.end_well()
    assert night.last().resumed_from is None  # the facts were to blame


def test_a_database_that_is_locked_or_killed_in_mid_read_ends_the_run(
    night: Night, postgres_url: str
) -> None:
    assert night.commands.run("import", str(night.facts), "--to", postgres_url)[0] == 0
    libpq = sa.make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(libpq) as migration:  # which has forgotten to commit
        migration.execute("ALTER TABLE feed_data ADD COLUMN more int")
        code, said = night.refuse(ALMANAC_DATABASE_URL=postgres_url)
        migration.rollback()

    assert code == 3
    assert "has sent nothing for 2 s: is it paused, locked or overloaded?" in said

    with psycopg.connect(libpq, autocommit=True) as admin:
        with night.stopped_at("read:middle", ALMANAC_DATABASE_URL=postgres_url):
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        code, said = night.end_badly()

    assert code == 3
    assert "terminating connection" in said or "server closed the connection" in said, said
