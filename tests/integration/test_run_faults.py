"""Whole runs on bad days: what is served stays; exit code, sentence, record and notice are right."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
import sqlalchemy as sa

from batch.cli.listen import notified
from batch.jobs.watch import Watch
from batch.runs.record import Run
from batch.runs.runs import Runs
from batch.settings import Settings
from batch.store.wait import wait_until
from tests.clients import OwnStore
from tests.conftest import STORE_SETTINGS
from tests.content import KEYS
from tests.integration.test_database_faults import paused
from tests.integration.test_publish import hashes
from tests.integration.test_publish_killed import current
from tests.postgres import OwnPostgres, in_database, run_postgres
from tests.runs import Commands, await_stopped
from tests.webhook import Webhook, webhook

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
RUN = ("run", "--no-evaluate")


class Night:
    """Runs on one store and one state folder, after a first one that ended well."""

    def __init__(self, commands: Commands, store: redis.Redis, folder: Path, hook: Webhook) -> None:
        """Make the world, and publish once."""
        self.commands, self.store, self.facts, self.hook = commands, store, folder / "facts", hook
        self.state = folder / "state"
        self.runs = Runs(self.state)
        assert commands.run("simulate", "--users", "40", "--posts", "200", "--to", str(self.facts))[0] == 0
        assert commands.run(*RUN)[0] == 0
        self.served = hashes(store, current(store))

    @contextmanager
    def stopped_at(self, at: str, **how: Any) -> Iterator[int]:
        """Let a run come to a stage and wait there for the body; then it goes on."""
        self.forget_notices()
        pid = self.commands.start(*RUN, "--json", at=at, send=signal.SIGSTOP, **how)
        await_stopped(pid)
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGCONT)

    def refuse(self, **env: str) -> tuple[int, str]:
        """Run and fail; return exit code and sentence."""
        self.forget_notices()
        self.commands.start(*RUN, "--json", **env)  # type: ignore[arg-type] # none is named otherwise
        return self.end_badly()

    def end_badly(self) -> tuple[int, str]:
        """Return the exit code and sentence of a run that fails, held to what any of them must be."""
        code, said, stderr = self.commands.said(self.commands.end())
        run, (notice,) = self.last(), self.hook.of_runs()
        assert code > 0
        assert stderr.splitlines()[-1] == f"error: {said['error']}"
        assert "Traceback" not in stderr
        assert hashes(self.store, current(self.store)) == self.served
        assert (run.exit_code, run.why) == (code, said["error"])
        told = "failure" if run.outcome == "failed" else "warning"  # somebody wanted the others to end
        assert (notice["title"], notice["type"]) == (f"Almanac: full run {run.outcome}", told)
        assert notice["message"].startswith(
            f"{said['error']} (exit code {code}); what was served is served on.\n\n"
            f"Look further: almanac runs show {run.number}\n"
        )
        return code, said["error"]

    def end_well(self, title: str = "recovered: full run finished", **env: str) -> None:
        """Run, and hold what is served to what it was: the facts stand still."""
        self.hook.heard.clear()
        code, _, stderr = self.commands.run(*RUN, **env)
        assert (code, self.last().outcome) == (0, "done"), stderr
        self.was_well(title)

    def was_well(self, title: str) -> None:
        """Hold what is served, and what people were told, to what they must be."""
        assert hashes(self.store, current(self.store)) == self.served
        assert [notice["title"] for notice in self.hook.of_runs()] == [f"Almanac: {title}"]

    def forget_notices(self) -> None:
        """Let nobody know of anything: what people were told once they are not told again at once."""
        self.hook.heard.clear()
        (self.state / "notices.json").unlink(missing_ok=True)

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
        with webhook() as hook, Commands(folder, env | {"ALMANAC_NOTICES": hook.url}) as commands:
            yield Night(commands, store, folder, hook)
    finally:
        store.close()
        own.kill()


@pytest.fixture(scope="module")
def postgres(night: Night) -> Iterator[tuple[OwnPostgres, str]]:
    """Give a PostgreSQL that may be killed, with the facts in it, and its URL."""
    folder = Path(tempfile.mkdtemp(prefix="almanac-postgres-"))  # which its own user may enter
    try:
        with run_postgres(folder) as server:
            url = in_database(server, "facts")
            assert night.commands.run("import", str(night.facts), "--to", url)[0] == 0
            yield OwnPostgres(folder), url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    night.was_well("full run finished")


def test_a_run_that_is_killed_is_told_of_by_the_next(night: Night) -> None:
    night.forget_notices()
    assert night.commands.run(*RUN, at="describe:begin")[0] == -signal.SIGKILL
    assert night.hook.of_runs() == []

    assert night.commands.run(*RUN)[0] == 0

    lost, recovered = night.hook.of_runs()
    assert (lost["title"], lost["type"]) == ("Almanac: full run lost", "failure")
    assert lost["message"].startswith("its process is gone: killed, out of memory, or the machine went down;")
    assert recovered["title"] == "Almanac: recovered: full run finished"


def test_facts_without_a_new_row_give_the_same_lists_and_are_told_to_be_stale(night: Night) -> None:
    night.forget_notices()
    night.end_well("full run finished")
    before = current(night.store)
    code, refreshed, _ = night.commands.run("run", "--incremental", "--no-evaluate")

    assert (code, refreshed["generation"]) == (0, before)  # it has nothing to do
    night.was_well("full run finished")  # a refresh that ends well is no news

    settings = Settings(state_dir=night.state, stale_h=24, notices=night.hook.url)
    with notified(settings):
        Watch(settings, night.commands.env["ALMANAC_REDIS_URL"]).step()

    (stale,) = (notice for notice in night.hook.heard if "stale" in notice["title"])
    assert (stale["title"], stale["type"]) == ("Almanac: stale facts", "warning")
    assert "has its newest fact of" in stale["message"]


def test_two_hosts_at_once_do_not_run_at_once(night: Night, tmp_path: Path) -> None:
    other = {**night.commands.env, "ALMANAC_STATE_DIR": str(tmp_path / "state")}
    go_on = tmp_path / "go on"
    night.forget_notices()
    with Commands(tmp_path, other) as elsewhere:
        night.commands.start(*RUN, "--json", at="publish:middle", send=0, until=str(go_on))
        assert wait_until(lambda: b"building" in night.store.hvals(KEYS.states()), 120)
        code, said, _ = elsewhere.run(*RUN)
        go_on.touch()
    ended = night.commands.end()

    assert (code, ended) == (5, 0)
    assert "another run goes on" in said["error"]
    refused, finished = night.hook.of_runs()
    assert (refused["title"], refused["type"]) == ("Almanac: full run failed", "failure")
    assert refused["message"].startswith(f"{said['error']} (exit code 5);")
    assert finished["title"] == "Almanac: full run finished"
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


def test_a_database_that_is_locked_paused_or_killed_in_mid_read_ends_the_run(
    night: Night, postgres: tuple[OwnPostgres, str]
) -> None:
    server, url = postgres
    there = {"ALMANAC_DATABASE_URL": url}
    silent = "has sent nothing for 2 s: is it paused, locked or overloaded? ALMANAC_DATABASE_STALL_S says"
    migration = sa.create_engine(url)
    with migration.connect() as connection:  # which has forgotten to commit
        connection.exec_driver_sql("ALTER TABLE feed_data ADD COLUMN more int")
        locked = night.refuse(**there)
    migration.dispose()
    with ExitStack() as stack:
        with night.stopped_at("read:middle", **there):
            stack.enter_context(paused(url))
        stalled = night.end_badly()
    with night.stopped_at("read:middle", **there):
        server.kill()
    killed = night.end_badly()
    away = night.refuse(**there)
    server.start()

    assert [code for code, _ in (locked, stalled, killed, away)] == [3, 3, 3, 3]
    assert silent in locked[1]
    assert silent in stalled[1]
    assert "server closed the connection" in killed[1] or "terminating connection" in killed[1], killed
    assert "cannot reach postgresql" in away[1]
    assert "is it running, and are host, port, user, password and database right?" in away[1]
    night.end_well(**there)
