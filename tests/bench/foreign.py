"""Somebody else's lists at full size: from a Parquet file of rows in no order to what is served."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import redis.asyncio

from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.manifest import HOLDS_SEEN, Manifest
from api.store.connection import Address
from api.store.store import Store
from batch.progress import silent
from batch.store import read
from tests.bench.stock import AS_OF_S, FIRST_USER, VARIANT, Stock, fill
from tests.clients import ROOT, OwnStore
from tests.conftest import STORE_SETTINGS

CHECKED = 500  # users whose lists are read back


def run(n_users: int = 163_205, depth: int = 50, n_posts: int = 7_023, seed: int = 42) -> dict[str, object]:
    """Publish drawn lists twice, the second time beside the first, and read some of them back.

    Returns:
        `foreign_seconds`: of the second time, from the start of the process to its end; `foreign_cpu_s`: of
        these the process's own; `foreign_first_s`; `foreign_steps_s`; `foreign_rows_per_s`; and
        `foreign_peak_rss_mb`, the most that the process held.

    Raises:
        AssertionError: A list in the store is not the file's.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "store").mkdir()
        lists = draw(folder / "recs.parquet", n_users, depth, n_posts, seed)
        own = OwnStore(folder / "store")
        try:
            client = own.start(*STORE_SETTINGS)
            first_s, *_ = publish(own.url, folder)
            seconds, cpu_s, peak_rss_mb, said = publish(own.url, folder)
            _check(client, int(said["generation"]), lists)
        finally:
            own.kill()
    return {
        "foreign_lists": n_users,
        "foreign_depth": depth,
        "foreign_seconds": round(seconds, 1),
        "foreign_cpu_s": round(cpu_s, 1),
        "foreign_first_s": round(first_s, 1),
        "foreign_steps_s": said["seconds"],
        "foreign_rows_per_s": round(n_users * depth / seconds),
        "foreign_peak_rss_mb": round(peak_rss_mb),
    }


def draw(path: Path, n_users: int, depth: int, n_posts: int, seed: int) -> npt.NDArray[np.int32]:
    """Write users' items and scores, rows in no order; return int32 (users, depth), best first."""
    rng = np.random.default_rng(seed)
    lists = np.stack([rng.choice(n_posts, depth, replace=False) for _ in range(n_users)]).astype(np.int32)
    order = rng.permutation(n_users * depth)
    score = np.tile(-np.arange(depth, dtype=np.float64), n_users)
    columns: dict[str, npt.NDArray[Any]] = {
        "user_id": np.repeat(np.arange(n_users), depth),
        "item_id": lists.ravel(),
        "score": score,
    }
    pq.write_table(pa.table({name: values[order] for name, values in columns.items()}), path)
    return lists


def publish(url: str, folder: Path) -> tuple[float, float, float, dict[str, Any]]:
    """Run the command; return its seconds, its processor's, its most memory in MB, and what it said."""
    env = {**os.environ, "ALMANAC_REDIS_URL": url, "ALMANAC_STATE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    begin = perf_counter()
    with (folder / "said").open("wb") as out:
        command = [sys.executable, "-m", "batch", "publish", str(folder / "recs.parquet"), "--json"]
        process = subprocess.Popen(command, env=env, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    seconds = perf_counter() - begin
    said = (folder / "said").read_text().splitlines()
    assert status == 0, said[-1]
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, json.loads(said[-1])


def look_up_us(n_users: int = 2000, n_seen: int = 421, rounds: int = 5) -> dict[str, float]:
    """Return the processor's µs of a look-up, the API's part and the store's, of our lists and of others'.

    Sixteen look-ups at a time, as a busy API sends them.
    """
    with TemporaryDirectory() as folder:
        own = OwnStore(Path(folder))
        try:
            client, keys = own.start(*STORE_SETTINGS), Keys()
            fill(client, keys, Stock(n_users=n_users, n_seen=n_seen), silent, n_generations=2)
            ours = Manifest.from_json(read.value(client, keys.manifest(2)) or b"")
            others = replace(ours, holds_seen=True, needs=(HOLDS_SEEN,))
            client.set(keys.manifest(2), others.to_json())
            client.hset(keys.current("others"), mapping={"generation": 2, "promoted_at": AS_OF_S})
            return asyncio.run(_time_look_ups(own.url, client, n_users, rounds))
        finally:
            own.kill()


async def _time_look_ups(url: str, server: redis.Redis, n_users: int, rounds: int) -> dict[str, float]:
    client = redis.asyncio.Redis.from_url(url)
    store = Store(client, Address(url, 5.0, 5.0), Keys(), VARIANT, {})
    took: dict[str, float] = {}
    try:
        for name, variant in (("ours", VARIANT), ("others", "others")):
            await store.look_up(str(FIRST_USER), AS_OF_S, variant)
            begin, of_store = process_time(), _cpu_s(server)
            for turn in range(rounds):
                for first in range(FIRST_USER, FIRST_USER + n_users, 16):
                    users = map(str, range(first, min(first + 16, FIRST_USER + n_users)))
                    await asyncio.gather(*(store.look_up(user, AS_OF_S + turn, variant) for user in users))
            n = rounds * n_users / 1e6
            took[f"look_up_{name}_api_us"] = round((process_time() - begin) / n, 1)
            took[f"look_up_{name}_store_us"] = round((_cpu_s(server) - of_store) / n, 1)
    finally:
        await store.aclose()
        await client.aclose()
    return took


def _cpu_s(server: redis.Redis) -> float:
    used = server.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def _check(client: redis.Redis, generation: int, lists: npt.NDArray[np.int32]) -> None:
    rows = np.linspace(0, len(lists) - 1, min(CHECKED, len(lists))).astype(int)
    for user in rows.tolist():
        (found,) = read.fields(client, Keys().list(user, generation)).values()
        assert decode(found) == lists[user].tolist(), f"user {user}"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look_up_us() | run()) + "\n")
