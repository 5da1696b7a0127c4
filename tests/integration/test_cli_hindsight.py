"""The commands that look back, as a person or a script meets them."""

import pytest
import redis

from tests.integration.test_cli import almanac, env

__all__ = ["env"]  # a fixture, used by name
pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["evaluate"], 2, "--by-age"),
        (["backfill", "--from", "2021-12-02", "--to", "2021-12-01"], 2, "lies before"),
        (["replay", "--user", "7", "--at", "2021-12-01"], 2, "almanac backfill"),
    ],
)
def test_a_wrong_look_back_is_one_sentence(
    env: dict[str, str], store: redis.Redis, arguments: list[str], exit_code: int, says: str
) -> None:
    code, said, _ = almanac(env, *arguments)

    assert (code, said["exit_code"]) == (exit_code, exit_code)
    assert says in said["error"]


def test_a_backfilled_day_is_replayed_from_disk(env: dict[str, str]) -> None:
    almanac(env, "simulate", "--users", "30", "--posts", "200")

    code, made, _ = almanac(env, "backfill", "--from", "2021-12-10", "--to", "2021-12-10")
    assert code == 0
    assert [(row["number"], row["generation"]) for row in made["generations"]] == [(1, None)]

    code, found, _ = almanac(env, "replay", "--user", "10", "--at", "2021-12-10T01:00:00", "--limit", "4")
    assert code == 0
    assert (found["generation"], found["was_served"], found["time"]) == ("backfill/1", False, "exact")
    assert len(set(found["post_ids"])) == 4
