"""Plans: as many users as the normal approximation asks for, and days by what users did."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

pytest.importorskip("tea_tasting", reason="the extra `experiments` brings it")

from api.contract.buckets import DAY_S
from batch.data.columns import LIKE, POST_ID, USER_ID, VIEW
from batch.data.facts import Facts
from batch.experiments.exposed import runs_of
from batch.experiments.metrics import Metric
from batch.experiments.outcomes import make_outcomes
from batch.experiments.power import Wish, plan, solve
from tests.bench.statistics.users import make_users

USERS = make_users(20_000, np.random.default_rng(3))
Z = stats.norm.isf(0.025) + stats.norm.isf(0.2)


def test_users_needed_are_those_of_the_textbook() -> None:
    likes = USERS["likes"]
    found = solve(Metric("likes a user", "likes"), USERS, Wish(lift=0.05, power=0.8))

    wanted = 4 * Z**2 * likes.var(ddof=1) / (0.05 * likes.mean()) ** 2
    assert found.users_needed == pytest.approx(wanted, rel=0.001)


def test_the_lift_found_by_the_users_needed_is_the_wished_one() -> None:
    metric = Metric("likes a user", "likes", pre_over="pre_likes")
    needed = solve(metric, USERS, Wish(lift=0.05)).users_needed

    assert solve(metric, USERS, Wish(users=needed)).lift_found == pytest.approx(0.05, rel=0.001)


def test_cuped_and_equal_shares_take_fewer_users() -> None:
    plain, cuped = Metric("likes", "likes"), Metric("likes", "likes", pre_over="pre_likes")
    needed = solve(plain, USERS, Wish()).users_needed

    # What the past explains is the square of its correlation.
    correlation = np.corrcoef(USERS["likes"], USERS["pre_likes"])[0, 1]
    assert solve(cuped, USERS, Wish()).users_needed == pytest.approx(needed * (1 - correlation**2), rel=0.01)
    assert solve(plain, USERS, Wish(share=0.1)).users_needed == pytest.approx(needed / 0.36, rel=0.01)


def facts(n_days: int) -> Facts:
    """Return users of whom a tenth more comes each day, and who like every third post."""
    rng = np.random.default_rng(7)
    day = np.repeat(np.arange(n_days), 400)
    user = rng.integers(0, 20 * (day + 1))
    time = day * DAY_S + np.tile(np.arange(400), n_days)
    is_like = rng.random(len(day)) < 0.3
    action = np.where(is_like, LIKE, VIEW)
    return Facts(
        users=pd.DataFrame({USER_ID: np.arange(user.max() + 1)}),
        posts=pd.DataFrame({POST_ID: [1], "topic": ["tech"], "text": [""]}),
        embeddings=None,
        user=user.astype(np.int32),
        post=np.zeros(len(day), np.int32),
        time=time.astype(np.int64),
        action=action.astype(np.int8),
        target=np.zeros(len(day), np.int8),
    )


def test_facts_tell_what_users_would_have_done_in_each_length_they_span() -> None:
    history = facts(8)
    runs = dict(runs_of(history))

    assert list(runs) == [1, 2, 3, 4, 5, 6, 7]
    last_two = history.time >= history.as_of_s + 1 - 2 * DAY_S
    exposed = np.unique(history.user[last_two & history.views])
    assert runs[2].counts() == {"all": len(exposed)}
    assert runs[2].values["views"].sum() == np.count_nonzero(last_two & history.views)
    assert "pre_likes" in runs[3].values
    assert "pre_likes" not in runs[5].values


def test_a_plan_names_the_shortest_run_that_is_enough() -> None:
    found = plan(runs_of(facts(8)), Wish(lift=0.3))

    first = found.first_enough()["likes/views"]
    assert first is not None
    assert first.users >= first.users_needed
    shorter = [
        one for one in found.needs if one.metric == first.metric and (one.days or 0) < (first.days or 0)
    ]
    assert shorter
    assert not any(one.is_enough for one in shorter)


def test_what_no_run_shows_has_no_days() -> None:
    assert plan(runs_of(facts(3)), Wish(lift=0.0001)).values()["days"]["likes a user"] is None


def test_users_who_all_did_the_same_cannot_be_planned_with() -> None:
    same = make_outcomes(pa.table({"views": [1] * 20}), arm=None)
    with pytest.raises(ValueError, match="no metric can be planned"):
        plan([(None, same)], Wish())


@pytest.mark.parametrize(("name", "value"), [("lift", 0.0), ("power", 1.0), ("alpha", 0.0), ("share", 1.0)])
def test_a_wish_out_of_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}="):
        replace(Wish(), **{name: value})  # type: ignore[arg-type] # by their names
