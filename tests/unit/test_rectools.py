"""Our metrics are RecTools', which needs numpy < 2 and so has an environment of its own: `make rectools`."""

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from batch.evaluate import results
from batch.evaluate.list_metrics import ListMetrics
from batch.evaluate.metrics import CUTS, METRICS, NO_POST, Hits
from batch.learn.baselines.recommender import top

PYTHON = Path(__file__).parents[2] / ".rectools" / "bin" / "python"
SCRIPT = Path(__file__).parents[1] / "rectools_figures.py"
N_USERS, N_POSTS = 200, 120
PER_USER = (*METRICS, "auc", "novelty", "popularity", "diversity", "serendipity")
pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="RecTools has no environment: `make rectools` makes it"
)

Ints = npt.NDArray[np.int64]


class Drawn(NamedTuple):
    """Lists of fifteen posts; what is relevant to whom and who was shown what, as (user, post) rows."""

    lists: Ints
    relevant: Ints
    shown: Ints
    space: npt.NDArray[np.float64]

    def asked(self) -> dict[str, object]:
        """Return them as RecTools takes them: what fills a list's end is no row."""
        user = np.repeat(np.arange(len(self.lists)), self.lists.shape[1])
        rows = np.column_stack([user, self.lists.reshape(-1)])
        return {
            "lists": rows[rows[:, 1] != NO_POST].tolist(),
            "relevant": self.relevant.tolist(),
            "shown": self.shown.tolist(),
            "space": self.space.tolist(),
            "cuts": CUTS,
            "n_posts": N_POSTS,
        }

    def metrics(self) -> ListMetrics:
        """Return ours."""
        user, post = self.shown.T
        return ListMetrics(
            shown=np.bincount(post, minlength=N_POSTS).astype(np.int64),
            users_of=np.bincount(post, minlength=N_POSTS).astype(np.int64),
            n_users=len(np.unique(user)),
            space=self.space,
            topic=np.zeros(N_POSTS, np.int32),
            n_posts=N_POSTS,
        )


def draw_at_random() -> Drawn:
    rng = np.random.default_rng(7)
    weight = rng.gamma(0.5, size=N_POSTS)
    lists = np.argsort(-weight * rng.gamma(1.0, size=(N_USERS, N_POSTS)), axis=1)[:, : max(CUTS)]
    counts = rng.integers(1, 40, N_USERS)  # some have more than the longest cut-off
    relevant = [(u, p) for u, n in enumerate(counts) for p in rng.choice(N_POSTS, n, replace=False)]
    shown = [(u, p) for u in range(N_USERS) for p in rng.choice(N_POSTS // 2, 20, replace=False) * 2]
    return Drawn(lists, np.array(relevant), np.array(shown), rng.normal(size=(N_POSTS, 5)))


def draw_ties() -> Drawn:
    """Draw lists from four different scores, some short, of posts shown equally often and alike in threes.

    To some users the whole list is relevant, to some nothing of it.
    """
    rng = np.random.default_rng(8)
    lists = top(rng.integers(0, 4, (N_USERS, N_POSTS)).astype(np.float64), max(CUTS))
    length = rng.integers(1, max(CUTS) + 1, N_USERS)
    lists[np.arange(max(CUTS)) >= np.where(np.arange(N_USERS) % 4, max(CUTS), length)[:, None]] = NO_POST
    relevant = []
    for user, own in enumerate(lists.tolist()):
        others = [post for post in range(N_POSTS) if post not in own]
        some = (others, own, [*own[1::3], others[0]])[min(user % 5, 2)]
        relevant += [(user, post) for post in some if post != NO_POST]
    shown = [(u, (u + 7 * step) % 80) for u in range(N_USERS) for step in range(4)]
    return Drawn(
        lists, np.array(relevant), np.array(shown), np.repeat(rng.normal(size=(N_POSTS // 3, 5)), 3, axis=0)
    )


class Compared(NamedTuple):
    """The same lists, measured by both."""

    ours: results.Columns
    coverage: dict[results.Metric, float]
    theirs: dict[str, Any]


@pytest.fixture(scope="module", params=[draw_at_random, draw_ties])
def compared(request: pytest.FixtureRequest) -> Compared:
    drawn: Drawn = request.param()
    done = subprocess.run(
        [PYTHON, SCRIPT], input=json.dumps(drawn.asked()), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    metrics, hits = drawn.metrics(), Hits.of_lists(drawn.lists, *drawn.relevant.T)
    columns, coverage = metrics.measure(drawn.lists, hits), metrics.coverage(drawn.lists)
    return Compared(columns, coverage, json.loads(done.stdout))


@pytest.mark.parametrize("k", CUTS)
@pytest.mark.parametrize("name", PER_USER)
def test_a_metric_is_rectools_for_every_user(compared: Compared, name: str, k: int) -> None:
    column = compared.ours[name, k]

    assert column.wholes.all()
    theirs = compared.theirs["per_user"][f"{name}_at_{k}"]
    np.testing.assert_allclose(column.parts, theirs, rtol=0, atol=1e-9)


def test_coverage_is_rectools(compared: Compared) -> None:
    theirs = {("coverage", k): compared.theirs["coverage"][str(k)] for k in CUTS}

    assert compared.coverage == pytest.approx(theirs, abs=1e-9)
