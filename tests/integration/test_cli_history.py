"""The commands that look back, as a person or a script meets them."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.test_cli import almanac, env, here

__all__ = ["env", "here"]  # fixtures, used by name
pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["evaluate", "--held", "0.9"], 2, "0.5"),
        (["evaluate", "--mapping", "nowhere"], 2, "nowhere"),
        (["backfill", "--from", "2021-12-02", "--to", "2021-12-01"], 2, "lies before"),
        (["replay", "--user", "7", "--at", "2021-12-01"], 2, "almanac backfill"),
    ],
)
def test_a_wrong_look_back_is_one_sentence(
    here: Callable[..., tuple[int, dict[str, Any], str]], arguments: list[str], exit_code: int, says: str
) -> None:
    code, said, _ = here({}, *arguments)

    assert (code, said["exit_code"]) == (exit_code, exit_code)
    assert says in said["error"]


def test_a_made_world_is_evaluated_on_shown_posts_on_all_and_by_its_truth(env: dict[str, str]) -> None:
    almanac(env, "simulate", "--users", "30", "--posts", "600")

    code, found, _ = almanac(env, "evaluate", "--test-from", "2021-12-10", "--weeks", "2", "--cold")

    assert code == 0
    assert [origin["test_from"][:10] for origin in found["origins"]] == ["2021-12-10", "2021-12-17"]
    for protocol, metric, k in (
        ("shown", "auc_in_session", 0),
        ("all_posts", "recall", 15),
        ("truth", "normalized", 5),
    ):
        figure = figure_of(found, protocol, metric, k)
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert segments_of(found, protocol) & {"impressions 10-99", "impressions 100 or more"}
    assert figure_of(found, "shown", "auc_in_session", 0, model="oracle")["value"] > 0.55
    assert {name for name in segments_of(found, "cold.users") if name.startswith("impr")} == {"impressions 0"}


def figure_of(found: Any, protocol: str, metric: str, k: int, model: str = "almanac") -> dict[str, float]:
    """Return the one row of the results that holds a figure over all lists."""
    named = {"protocol": protocol, "segment": "all", "model": model, "against": "", "metric": metric, "k": k}
    (row,) = [row for row in found["results"] if row.items() >= named.items()]
    return dict(row)


def segments_of(found: Any, protocol: str) -> set[str]:
    """Return the groups of lists that a protocol tells apart."""
    return {row["segment"] for row in found["results"] if row["protocol"] == protocol}


def test_days_without_a_session_are_one_sentence(env: dict[str, str]) -> None:
    almanac(env, "simulate", "--users", "30", "--posts", "200")

    code, said, _ = almanac(env, "evaluate", "--test-from", "2022-02-01")

    assert (code, said["exit_code"]) == (2, 2)
    assert "nothing can be ranked" in said["error"]


def test_a_backfilled_day_is_replayed_from_disk(env: dict[str, str]) -> None:
    almanac(env, "simulate", "--users", "30", "--posts", "200")

    code, made, _ = almanac(env, "backfill", "--from", "2021-12-10", "--to", "2021-12-10")
    assert code == 0
    assert [(row["number"], row["generation"]) for row in made["generations"]] == [(1, None)]

    code, found, _ = almanac(env, "replay", "--user", "10", "--at", "2021-12-10T01:00:00", "--limit", "4")
    assert code == 0
    assert (found["generation"], found["was_served"], found["time"]) == ("backfill/1", False, "exact")
    assert len(set(found["post_ids"])) == 4
