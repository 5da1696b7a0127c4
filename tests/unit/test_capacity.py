"""What a load takes: more of anything takes no less, and what is foreseen fits among the machines."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.publish.capacity import RATES, Load, Machine, find_capacity, find_user_bytes

LOADS = st.builds(
    Load,
    users=st.integers(1, 10**8),
    posts=st.integers(1, 10**4),
    events_per_day=st.integers(0, 10**9),
    rps=st.floats(0, 10**6),
    days=st.integers(1, 400),
    layout=st.sampled_from(["text", "packed"]),
)


@given(load=LOADS, what=st.sampled_from(["users", "posts", "events_per_day", "rps", "buckets", "depth"]))
def test_more_of_anything_takes_no_less(load: Load, what: str) -> None:
    more = replace(load, **{what: getattr(load, what) * 2})

    before, after = (find_capacity(one, Machine()).values() for one in (load, more))

    grows = [name for name in before if name not in ("night_minutes", "seen_gb", "store_gb")]
    assert all(after[name] >= before[name] * 0.999 for name in grows), (before, after)


@given(load=LOADS, cores=st.integers(1, 128), memory_gb=st.floats(1, 2_000))
def test_it_fits_among_the_machines(load: Load, cores: int, memory_gb: float) -> None:
    found = find_capacity(load, Machine(cores, memory_gb))

    assert found.store_gb <= found.store_machines * memory_gb * 1.001
    assert found.night_peak_gb <= found.night_machines * memory_gb * 1.001
    assert found.api_cores <= found.api_machines * cores * 1.001
    assert load.rps * RATES.read_s <= found.store_machines


def test_packed_lists_take_the_bits_that_the_catalogue_needs() -> None:
    load = Load(users=1, posts=7_023, events_per_day=0, rps=0, layout="packed")

    assert find_user_bytes(load) == pytest.approx(105 + 24 * (1.6 + 50 * 13 / 8))
    assert find_user_bytes(replace(load, posts=10**6)) == pytest.approx(105 + 24 * (1.6 + 50 * 20 / 8))
