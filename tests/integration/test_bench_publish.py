"""The publishing bench runs the real thing, at a size that says nothing of speed."""

import pytest

from tests.bench.publish import run
from tests.bench.stock import Stock

pytestmark = pytest.mark.integration


def test_the_bench_measures_lists_and_seen_sets_beside_one_socket() -> None:
    figures = run(Stock(150, n_posts=100, n_seen=20, depth=10), rounds=1)

    rates = ["users_per_s", "lists_per_s", "seen_members_per_s", "fraction_of_socket", "lists_fraction"]
    rates += ["seen_fraction", "raw_users_per_s", "raw_seen_members_per_s", "seconds", "peak_rss_mb"]
    for name in rates:
        value = figures[name]
        assert isinstance(value, int | float)
        assert value > 0
    for name in (
        "cpu_us_per_user",
        "piece_by_piece",
        "bytes_per_user",
        "store_bytes_per_user",
        "packed",
        "asleep",
    ):
        parts = figures[name]
        assert isinstance(parts, dict)
        assert all(value > 0 for value in parts.values())
