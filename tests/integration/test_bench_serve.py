"""The serving bench runs the real thing, at a size that says nothing of speed."""

import os
from typing import Literal

import pytest

from tests.bench import ways
from tests.bench.serve import RIVALS, run
from tests.bench.stock import Stock

pytestmark = pytest.mark.integration

needs_chaos = pytest.mark.skipif(not os.environ.get("ALMANAC_CHAOS"), reason="the ways tried: make chaos")


@pytest.mark.parametrize(
    ("with_ways", "ids"),
    [
        (False, "numbers"),
        pytest.param(False, "uuid", marks=needs_chaos),
        pytest.param(True, "numbers", marks=needs_chaos),
    ],
)
def test_the_bench_measures_all_apps(with_ways: bool, ids: Literal["numbers", "uuid"]) -> None:
    tiny = Stock(50, n_posts=100, n_seen=20, depth=10, n_takedowns=5, text_bytes=100, ids=ids)

    figures = run(sizes=tiny, connections=4, seconds=0.2, rounds=1, limit=3, with_ways=with_ways)

    per_s = figures["requests_per_s"]
    assert isinstance(per_s, dict)
    others = {*ways.TRIED, *ways.EMPTY} if with_ways else set()
    variants = {"ours", "filter", "experiment", "explored", "packed", "now", "overlay"}
    assert set(per_s) == {*variants, *RIVALS, *others}
    found = figures["ways"]
    assert isinstance(found, dict)
    assert set(found) == ({"ours", *ways.TRIED} if with_ways else set())
    assert all(value > 0 for value in per_s.values())
    for name in ("ratio_to_empty_fastapi", "ratio_to_raw_asgi", "ratio_to_naive", "p99_ms_at_1000_rps"):
        assert isinstance(figures[name], float)
    assert all(isinstance(figures[f"store_bytes_of_{what}"], int) for what in ("lists", "seen"))
    experiment = figures["experiment"]
    assert isinstance(experiment, dict)
    assert experiment["records_accepted"] > 0
    assert "records_dropped" not in experiment
    assert all(isinstance(figures[f"time_ratio_of_{what}"], float) for what in ("explored", "overlay"))
    assert figures["sizes"] == {name: getattr(tiny, name) for name in Stock.__slots__}


def test_a_stock_that_cannot_fill_its_lists_is_refused() -> None:
    with pytest.raises(ValueError, match="n_posts=100 must be at least n_seen=90 plus depth=50"):
        Stock(n_posts=100, n_seen=90)
