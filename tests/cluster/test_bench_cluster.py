"""The bench of shards runs the real thing, at a size that says nothing of speed."""

from typing import Any, cast

import pytest

from tests.bench.cluster import run
from tests.bench.night import USERS

pytest.importorskip("ray", reason="ray is not installed: `make test-cluster` has it")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
]


def test_a_worker_that_is_killed_costs_its_shard_and_no_list_differs() -> None:
    found = cast("dict[str, Any]", run("shards", 400 / USERS, None)["shards"])

    assert (found["lists_different"], len(found["roots"])) == (0, 1)
    assert found["shards_begun_when_one_was_killed"] == [1, 2, 2, 3, 4]
    assert found["lists"] == 24 * 400


def test_a_part_that_is_none_is_said() -> None:
    with pytest.raises(ValueError, match="--parts 'shard' is none: give such as shards"):
        run("shard", 1.0, None)
