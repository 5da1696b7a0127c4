"""Our folds in time are RecTools', and so is what is popular in a week: `make rectools`."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batch.data.facts import Facts
from batch.evaluate.time_ranges import ask_warm, time_ranges
from batch.features import asof
from batch.learn.baselines import counts
from batch.learn.baselines.interactions import Interactions
from tests.facts import BEGIN_S, DAY_S, facts_of

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".rectools" / "bin" / "python"
N_USERS, N_POSTS, N_DAYS = 60, 80, 40
pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="RecTools has no environment: `make rectools` makes it"
)


def draw(last_s: int) -> Facts:
    """Draw choices: users and posts come over time, some take a post twice, or in the same second."""
    rng, events = np.random.default_rng(last_s % 97), []
    for _ in range(1_500):
        day = int(rng.integers(0, N_DAYS))
        at_s = BEGIN_S + day * DAY_S + int(rng.choice([0, 3_600, DAY_S - 1, int(rng.integers(0, DAY_S))]))
        user, post = (
            rng.integers(0, 5 + day * N_USERS // N_DAYS),
            rng.integers(0, 10 + day * N_POSTS // N_DAYS),
        )
        events.append((int(user) % N_USERS, int(post) % N_POSTS, min(at_s, last_s), 0, 1))
    events += [(user, int(rng.integers(0, N_POSTS)), last_s, 0, 1) for user in range(30)]
    return replace(facts_of(events, N_USERS, N_POSTS), shown="choices")


def ask_rectools(facts: Facts, days: int, n_folds: int) -> list[dict[str, Any]]:
    rows = np.column_stack([facts.user, facts.post, facts.time]).tolist()
    given = json.dumps({"rows": rows, "days": days, "n_folds": n_folds})
    script = [str(PYTHON), "-W", "ignore", str(ROOT / "tests" / "rectools_splits.py")]
    done = subprocess.run(script, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


# A last event in the middle of a day, in its last second, and in its first one, which begins another day.
@pytest.mark.parametrize("last_s", [N_DAYS * DAY_S - 40_000, N_DAYS * DAY_S - 1, N_DAYS * DAY_S])
@pytest.mark.parametrize(("days", "n_folds"), [(7, 3), (1, 2), (14, 1)])
def test_folds_are_rectools(last_s: int, days: int, n_folds: int) -> None:
    facts = draw(BEGIN_S + last_s)
    theirs = ask_rectools(facts, days, n_folds)

    splits = time_ranges(facts.as_of_s, days, n_folds)

    assert [(one.test_from_s, one.test_to_s) for one in splits] == [
        (f["start_s"], f["end_s"]) for f in theirs
    ]
    for split, fold in zip(splits, theirs, strict=True):
        asked = ask_warm(facts, split)
        pairs = zip(asked.users[asked.row].tolist(), asked.post.tolist(), strict=True)
        assert set(pairs) == {tuple(pair) for pair in fold["test"]}
        assert int((facts.time < split.test_from_s).sum()) == fold["n_train"]
        before = facts.until(split.test_from_s - 1)
        known = np.unique(before.post)
        assert asked.opened is not None
        np.testing.assert_array_equal(np.flatnonzero(asked.opened), known)
        seen = {(int(user), int(post)) for user, post in zip(before.user, before.post, strict=True)}
        rows, posts = asked.seen.nonzero()
        of_asked = {pair for pair in seen if pair[0] in asked.users}
        assert set(zip(asked.users[rows].tolist(), posts.tolist(), strict=True)) == of_asked


def test_popular_of_a_week_is_rectools() -> None:
    facts = draw(BEGIN_S + N_DAYS * DAY_S - 40_000)
    (fold,) = ask_rectools(facts, 7, 1)
    (split,) = time_ranges(facts.as_of_s, 7, 1)
    past = facts.until(split.test_from_s - 1)

    scores = counts.popular_7_days(Interactions(past, asof.describe(past, 1), seed=1))(np.array([0]))[0]

    theirs = np.zeros(N_POSTS)
    for post, n_users in fold["popular"].items():
        theirs[int(post)] = n_users
    np.testing.assert_allclose(scores * theirs.max(), theirs, atol=1e-4)  # ties are broken by less
    assert len(np.unique(theirs)) > 3
