"""All figures of the statistics, and which of them lie outside what was promised."""

import time
from typing import Any

import numpy as np

from batch.experiments.power import Wish
from tests.bench.statistics.arms import (
    count_false,
    grow,
    measure_power,
    measure_sample_ratio,
    peek,
    stop_early,
)
from tests.bench.statistics.logs import count_covered

LIFT, LOOKS = 0.05, 50


def run(scale: float = 1.0, seed: int = 17) -> dict[str, Any]:
    """Measure; `scale` says how much of the 4,000 experiments and 2,000 logs."""
    begun_s = time.perf_counter()
    n, half, quarter, eighth = (max(int(4_000 * scale / part), 2) for part in (1, 2, 4, 8))
    n_logs = max(int(2_000 * scale), 2)
    rngs = iter(np.random.default_rng(seed).spawn(9))
    wish = Wish(lift=LIFT, power=0.8)
    found: dict[str, Any] = {
        "n_experiments": n,
        "aa_false_positive_rate": count_false(n, 2_000, next(rngs)),
        "power": measure_power(n, wish, next(rngs)),
        "sample_ratio": measure_sample_ratio(n, next(rngs)),
        "ope_coverage": count_covered(n_logs, 20_000, 20, next(rngs)),
        "peeking": {  # at 50 looks
            "error": stop_early(half, LOOKS, 200, 0.0, next(rngs))["stopped"],
            "error_of_welch": peek(eighth, LOOKS, 200, next(rngs)),
            "error_of_growing_counts": grow(quarter, LOOKS, 2_000, next(rngs)),
            "lift_of_5_percent": stop_early(quarter, LOOKS, 1_000, LIFT, next(rngs)),
            "lift_of_10_percent": stop_early(quarter, LOOKS, 400, 2 * LIFT, next(rngs)),
        },
    }
    return {**found, "outside": find_outside(found), "seconds": time.perf_counter() - begun_s}


def find_outside(found: dict[str, Any]) -> list[str]:
    """Return what lies outside what was promised, a sentence each."""
    ratio, peeking = found["sample_ratio"], found["peeking"]
    checks = [
        *(
            (f"A/A, {name}", abs(rate - 0.05) <= 0.012, rate)
            for name, rate in found["aa_false_positive_rate"].items()
            if not name.startswith("always_valid")
        ),
        *(
            (f"power, {name}", abs(one["power"] - one["planned"]) <= 0.03, one["power"])
            for name, one in found["power"].items()
        ),
        *(
            (
                f"coverage, {name}",
                abs(found["ope_coverage"][name] - 0.95) <= 0.02,
                found["ope_coverage"][name],
            )
            for name in ("snips", "doubly_robust")
        ),
        ("51/49", ratio["51/49 of 100,000"] >= 0.99, ratio["51/49 of 100,000"]),
        (
            "1 % lost",
            ratio["1 % of an arm lost of 1,000,000"] >= 0.9,
            ratio["1 % of an arm lost of 1,000,000"],
        ),
        ("peeking", peeking["error"] <= 0.05, peeking["error"]),
    ]
    return [f"{name}: {value:.4f}" for name, holds, value in checks if not holds]
