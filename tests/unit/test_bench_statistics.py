"""The bench of statistics on a handful of experiments: it runs whole, and sees what lies outside."""

import pytest

pytest.importorskip("tea_tasting", reason="the extra `experiments` brings it")

from tests.bench.statistics.run import find_outside, run


def test_a_thousandth_of_the_bench_measures_everything() -> None:
    found = run(scale=0.001)

    assert set(found["power"]) == {"welch", "delta", "cuped", "cuped of a ratio"}
    assert found["sample_ratio"]["51/49 of 100,000"] == 1
    assert found["ope_coverage"]["least_effective_share"] > 0.2
    assert 0 <= found["peeking"]["error"] <= 1


def test_figures_outside_what_was_promised_are_named() -> None:
    good = {
        "aa_false_positive_rate": {"welch, likes a user": 0.05},
        "power": {"welch": {"planned": 0.8, "power": 0.81}},
        "ope_coverage": {"snips": 0.95, "doubly_robust": 0.94},
        "sample_ratio": {"51/49 of 100,000": 1.0, "1 % of an arm lost of 1,000,000": 0.95},
        "peeking": {"error": 0.02},
    }

    assert find_outside(good) == []
    assert find_outside({**good, "peeking": {"error": 0.08}}) == ["peeking: 0.0800"]
