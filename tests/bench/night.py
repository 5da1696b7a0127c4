"""A whole night as a user has it: facts in PostgreSQL, `almanac run` in a process of its own, embedded store.

Three runs: yesterday's, on the facts but for the last day; a warm one after it, in the same state folder; and
a cold one, from nothing. The warm one comes twice: again in a folder that holds the estimates that yesterday
kept and nothing else; both must publish the same, root for root.
"""

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import sqlalchemy as sa

from batch.jobs.warm import FOLDER
from batch.learn.train import AGE
from batch.publish.folder import GenerationFolder
from batch.store.embedded.files import Files
from batch.store.wait import wait_until
from tests.bench.watch import Watched, watch
from tests.clients import ROOT
from tests.postgres import in_database, run_postgres

USERS = 163_205
DAYS = 90  # of the original
STORE_ENDS_S = 120.0
_LAST_DAY = "WHERE timestamp < (SELECT max(timestamp) - interval '1 day' FROM feed_rows)"


@dataclass(frozen=True, slots=True)
class Night:
    """What one run was and took."""

    said: dict[str, Any]
    root: str
    seconds: float
    cpu_s: dict[str, float]
    stages: dict[str, dict[str, float]]
    batch: Watched
    store: Watched
    bytes_taken: int = 0

    def figures(self) -> dict[str, object]:
        """Return what is printed of it."""
        return {
            "total_seconds": round(self.seconds, 1),
            "seconds": self.said["seconds"],
            "cpu_s": {**self.cpu_s, "all": round(sum(self.cpu_s.values()), 1)},
            "stages": self.stages,
            "peak_rss_mb": round(self.batch.peak_mb),
            "store_peak_mb": round(self.store.peak_held_mb),
            "store_peak_rss_mb": round(self.store.peak_mb),
            "rows": self.said["rows_read"],
            "rows_rejected": self.said["rows_rejected"],
            "lists": self.said["lists_written"],
            "estimates_age_days": round(self.said["metrics"][AGE], 3),
            "root": self.root,
        }


def run(
    scale: float, facts: Path | None, posts: int = 7_023, *, warm: bool = True, days: int = DAYS
) -> dict[str, object]:
    """Measure a cold night, and a warm one, and return the figures.

    Args:
        scale: Share of the original's 163,205 users.
        facts: Folder that keeps the made facts for the next time; None: they are made and dropped.
        posts: Posts of the made world.
        warm: Also run yesterday's night and a warm one after it.
        days: Days of the made feed.

    Raises:
        AssertionError: No night after yesterday's was warm, or two warm ones publish different lists.
    """
    users = max(1, round(USERS * scale))
    with TemporaryDirectory(prefix="almanac-night-") as name:
        folder = facts or Path(name, "facts")
        folder.mkdir(parents=True, exist_ok=True)
        Path(name).chmod(0o755)
        with run_postgres(folder) as server:
            url = in_database(server, f"night_{users}_{posts}" + (f"_{days}" if days != DAYS else ""))
            simulate_s = _simulate(url, Path(name), users, posts, days)
            nights: dict[str, Night] = {}
            if warm:
                _show(url, _LAST_DAY)
                nights["yesterday"] = _night(url, Path(name, "warm"), folder)
                shutil.copytree(Path(name, "warm", FOLDER), Path(name, "again", FOLDER))
                _show(url)
                nights["warm"] = _night(url, Path(name, "warm"), folder)
                assert nights["warm"].said["metrics"][AGE] > 0, "the night after yesterday's was not warm"
                nights["again"] = _night(url, Path(name, "again"), folder)
                assert nights["again"].root == nights["warm"].root, "two warm nights publish different lists"
            nights["cold"] = _night(url, Path(name, "cold"), folder)
    return {
        **{of: night.figures() for of, night in nights.items()},
        "users": users,
        "simulate_seconds": round(simulate_s, 1),
        "load": os.getloadavg(),
        "machine": f"{os.cpu_count()} × {platform.machine()}, Python {platform.python_version()}",
    }


def _simulate(url: str, folder: Path, users: int, posts: int, days: int) -> float:
    """Make the facts, where they are not there yet; return the seconds that it took."""
    engine = sa.create_engine(url)
    begin = time.perf_counter()
    if not sa.inspect(engine).has_table("feed_rows"):
        sizes = ["--users", f"{users}", "--posts", f"{posts}", "--days", f"{days}"]
        words = ["simulate", *sizes, "--to", url, "--replace"]
        subprocess.run(command(*words), env=environment(url, folder), check=True, stdout=subprocess.DEVNULL)
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE feed_data RENAME TO feed_rows"))
            connection.execute(sa.text("CREATE VIEW feed_data AS SELECT * FROM feed_rows"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE feed_rows"))  # else it would begin in mid-read
    engine.dispose()
    return time.perf_counter() - begin


def _show(url: str, where: str = "") -> None:
    """Let runs read all of the feed, or some of it."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE OR REPLACE VIEW feed_data AS SELECT * FROM feed_rows {where}"))
    engine.dispose()


def _night(url: str, state: Path, database: Path) -> Night:
    """Run once on facts in PostgreSQL, and watch."""
    pid = database / "data" / "postmaster.pid"
    return run_once(url, state, {}, {"database": lambda: int(pid.read_text().split()[0])})


def run_once(
    url: str, state: Path, settings: dict[str, str], others: dict[str, Callable[[], int | None]] | None = None
) -> Night:
    """Run once, and watch.

    Args:
        url: The facts.
        state: Folder of the run and its store, made where it is missing.
        settings: Variables of the run, beside those of `environment`.
        others: Name to what finds further processes whose CPU seconds count, as `watch` takes them.
    """
    state.mkdir(exist_ok=True)
    out, pid = state / "said", [0]
    roots: dict[str, Callable[[], int | None]] = {
        "batch": lambda: pid[0],
        "store": lambda: _store_pid(state),
        **(others or {}),
    }
    with watch(roots) as seen, out.open("wb") as file:
        begin = time.perf_counter()
        own = {**environment(url, state), **settings}
        process = subprocess.Popen(command("run", "--no-evaluate", "--json"), env=own, stdout=file, cwd=ROOT)
        pid[0] = process.pid
        try:
            _, process.returncode, usage = os.wait4(process.pid, 0)
        finally:
            process.kill()  # nothing, where it has ended
        seconds = time.perf_counter() - begin
        wait_until(lambda: _store_pid(state) is None, STORE_ENDS_S)
    lines = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert process.returncode == 0, lines[-1]
    folder = GenerationFolder.of(state / "generations", lines[-1]["generation"])
    return Night(
        said=lines[-1],
        root=orjson.loads(folder.manifest.read_bytes())["root"],
        seconds=seconds,
        cpu_s={
            "batch": round(usage.ru_utime + usage.ru_stime, 1),
            **{name: round(seen[name].cpu_s, 1) for name in roots if name != "batch"},
        },
        stages=_stages(lines, seen["batch"]),
        batch=seen["batch"],
        store=seen["store"],
        bytes_taken=next((line["bytes_taken"] for line in lines if "bytes_taken" in line), 0),
    )


def _stages(lines: list[dict[str, Any]], batch: Watched) -> dict[str, dict[str, float]]:
    """Return each step's CPU seconds and peak memory, by when it ended and how long it took."""
    stages: dict[str, dict[str, float]] = {}
    for line in lines:
        if line.get("event") == "stage.done":
            end_s = datetime.fromisoformat(line["at"]).timestamp()
            own = batch.between(end_s - line["seconds"], end_s)
            stages[line["stage"]] = {
                "cpu_s": round(own.cpu_s, 1),
                "peak_mb": round(own.peak_mb),
                "end_mb": round(own.samples[-1].rss_mb) if own.samples else 0,
            }
    return stages


def _store_pid(state: Path) -> int | None:
    """Return the embedded store's process, None while none runs."""
    with suppress(OSError, ValueError):
        address = Files(state).read_address()
        if address is not None and Path(f"/proc/{address.pid}").exists():
            return address.pid
    return None


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "batch", *words]


def environment(url: str, state: Path) -> dict[str, str]:
    """Return the environment of a run, in which no setting of ours but two is set."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    return {
        **bare,
        "ALMANAC_DATABASE_URL": url,
        "ALMANAC_STATE_DIR": str(state),
        "OMP_WAIT_POLICY": "passive",
        "PYTHONPATH": str(ROOT),
    }
