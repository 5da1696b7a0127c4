"""`almanac run --incremental` as a script meets it."""

import sqlite3
from pathlib import Path

import pytest
import redis

from tests.integration.test_cli import almanac, env

pytestmark = pytest.mark.integration
__all__ = ["env"]


def test_an_incremental_run_says_why_it_is_a_full_one_or_what_it_skipped(
    env: dict[str, str],
    store: redis.Redis,
) -> None:
    almanac(env, "simulate", "--users", "40", "--posts", "300")

    code, first, _ = almanac(env, "run", "--incremental", "--no-evaluate")
    assert (code, first["incremental"], first["generation"]) == (0, False, 1)
    assert first["full_because"] == "nothing is served under variant 'default'"

    with sqlite3.connect(Path(env["ALMANAC_STATE_DIR"], "facts.db")) as facts:
        facts.execute(
            "INSERT INTO feed_data (timestamp, user_id, post_id, action, target) "
            "SELECT timestamp, user_id, (SELECT min(post_id) FROM post_text_df), 'view', 0 "
            "FROM feed_data ORDER BY timestamp DESC LIMIT 1"
        )
    code, then, _ = almanac(env, "run", "--incremental")
    assert (code, then["incremental"], then["full_because"]) == (0, True, None)
    assert (then["generation"], then["base"], then["users_scored"]) == (2, 1, 1)
    assert then["users_carried"] == 39
    assert (then["lists_written"], then["lists_carried"]) == (3, 117)
    assert then["full_as_of"] == first["as_of"]

    code, verdict, _ = almanac(env, "generations", "verify", "2")
    assert (code, verdict["ok"]) == (0, True)
