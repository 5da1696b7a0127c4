"""The bench of a whole night runs the real thing, at a size that says nothing of speed."""

import os
from typing import Any, cast

import pytest

from tests.bench.night import USERS, run

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not os.environ.get("ALMANAC_CHAOS"), reason="three whole runs: set ALMANAC_CHAOS=1"),
]


def test_the_bench_runs_a_cold_and_a_warm_night_that_publish_the_same() -> None:
    found = run(150 / USERS, facts=None, posts=150)

    cold, warm, before = (cast("dict[str, Any]", found[name]) for name in ("cold", "warm", "yesterday"))
    assert warm["root"] == cold["root"] != before["root"]
    assert warm["rows"] == cold["rows"]
    assert 0 < before["rows"]["feed_data"] < cold["rows"]["feed_data"]
    assert cold["lists"] == 24 * 150
    for night in (cold, warm):
        assert set(night["stages"]) == set(night["seconds"])
        assert 0 < sum(night["seconds"].values()) <= night["total_seconds"]
        assert all(night["cpu_s"][part] > 0 for part in ("batch", "store", "database"))
        assert night["peak_rss_mb"] > night["store_peak_mb"] > 0
