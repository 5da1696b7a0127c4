"""The record of a run says what it was made of: settings, facts, model, lists, and what was measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from batch.data.write import write
from batch.jobs.night import run_full, run_refresh
from batch.progress import Progress
from batch.runs.runs import Runs
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables
from tests.content import generations

pytestmark = pytest.mark.integration

WORLD = WorldConfig(60, 300, 1)


def test_a_run_and_a_refresh_and_a_peers_run_say_what_they_were_made_of(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    folders = [str(tmp_path / name) for name in ("facts", "more")]
    for folder, world in zip(folders, (WORLD, replace(WORLD, seed=2)), strict=True):
        write(folder, tables(world))
    settings = Settings(state_dir=tmp_path, redis_url=valkey_url, n_buckets=2, n_trees=5, depth=10, seed=7)

    @contextmanager
    def connect() -> Iterator[redis.Redis]:
        yield store

    run_full(settings, connect, folders[0], Progress())
    run_refresh(settings, connect, folders[0], Progress())  # nothing has moved
    run_full(settings.replace(variant="popular"), connect, folders[0], Progress())
    run_refresh(settings, connect, folders[1], Progress())

    moved, popular, same, full = (run.made for run in Runs(tmp_path).recent())
    manifests = [generations(store).need_manifest(number) for number in (1, 2)]
    assert [made["model"] for made in (full, popular)] == [one.model for one in manifests]
    assert [made["root"] for made in (full, popular)] == [one.root for one in manifests]
    assert (full["parameters"]["depth"], full["parameters"]["seed"], full["parameters"]["variant"]) == (
        10,
        7,
        "default",
    )
    assert popular["parameters"]["variant"] == "popular"
    assert not [name for name in full["parameters"] if name.endswith("_url") and name != "grafana_url"]
    assert full["metrics"]["hitrate_at_5"] == manifests[0].metrics["hitrate_at_5"]
    assert same["facts"] == popular["facts"] == full["facts"] != moved["facts"]
    assert (same["root"], same["model"]) == (full["root"], full["model"])
