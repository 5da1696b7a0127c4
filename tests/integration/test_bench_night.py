"""The bench of a whole night runs the real thing, at a size that says nothing of speed."""

import os
from pathlib import Path
from typing import Any, cast

import pytest

from tests.bench import axis
from tests.bench.night import USERS, run

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not os.environ.get("ALMANAC_CHAOS"), reason="four whole runs: set ALMANAC_CHAOS=1"),
]


def test_the_bench_runs_a_cold_night_and_two_warm_ones_that_publish_the_same() -> None:
    found = run(150 / USERS, facts=None, posts=150)

    cold, warm, again, before = (
        cast("dict[str, Any]", found[name]) for name in ("cold", "warm", "again", "yesterday")
    )
    assert warm["root"] == again["root"] != before["root"]
    assert (cold["estimates_age_days"], before["estimates_age_days"]) == (0, 0)
    assert warm["estimates_age_days"] == again["estimates_age_days"] == pytest.approx(1, abs=0.5)
    assert "train" not in warm["stages"]
    assert warm["rows"] == cold["rows"]
    assert 0 < before["rows"]["feed_data"] < cold["rows"]["feed_data"]
    assert cold["lists"] == 24 * 150
    for night in (cold, warm, again):
        assert set(night["stages"]) == set(night["seconds"])
        assert 0 < sum(night["seconds"].values()) <= night["total_seconds"]
        assert night["cpu_s"].keys() == {"batch", "store", "database", "all"}
        assert night["cpu_s"]["all"] >= night["cpu_s"]["batch"] > 0  # a database of few rows takes hundredths
        assert night["peak_rss_mb"] > night["store_peak_mb"] > 0


@pytest.mark.parametrize("along", ["posts", "users"])
def test_nights_along_an_axis_are_fitted_drawn_and_held_to_whole_scores(
    along: axis.Axis, tmp_path: Path
) -> None:
    grown = cast("dict[str, Any]", axis.run(along, [200, 100], other=110, days=3, folder=tmp_path))
    axis.plot(grown, tmp_path / "growth.svg")

    assert [night[along] for night in grown["nights"]] == [100, 200]
    assert {night["lists_checked"] for night in grown["nights"]} == {6}
    assert grown["exponent"] == grown["exponent_last"] is not None
    assert "<svg" in (tmp_path / "growth.svg").read_text()
