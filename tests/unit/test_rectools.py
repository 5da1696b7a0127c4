"""Our metrics are RecTools', which needs numpy < 2 and so has an environment of its own: `make rectools`."""

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from batch.evaluate import variety
from batch.evaluate.metrics import CUTS, METRICS, Hits

PYTHON = Path(__file__).parents[2] / ".rectools" / "bin" / "python"
SCRIPT = Path(__file__).parents[1] / "rectools_figures.py"
N_USERS, N_POSTS, K = 200, 120, 10
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


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    rng = np.random.default_rng(7)
    weight = rng.gamma(0.5, size=N_POSTS)
    lists = np.argsort(-weight * rng.gamma(1.0, size=(N_USERS, N_POSTS)), axis=1)[:, : max(CUTS)]
    counts = rng.integers(1, 40, N_USERS)  # some have more than the longest cut-off
    relevant = [(u, p) for u, n in enumerate(counts) for p in rng.choice(N_POSTS, n, replace=False)]
    shown = [(u, p) for u in range(N_USERS) for p in rng.choice(N_POSTS // 2, 20, replace=False) * 2]
    return Drawn(lists, np.array(relevant), np.array(shown), rng.normal(size=(N_POSTS, 5)))


@pytest.fixture(scope="module")
def theirs(drawn: Drawn) -> dict[str, Any]:
    rows = np.column_stack([np.repeat(np.arange(N_USERS), max(CUTS)), drawn.lists.reshape(-1)])
    given = {
        "lists": rows.tolist(),
        "relevant": drawn.relevant.tolist(),
        "shown": drawn.shown.tolist(),
        "space": drawn.space.tolist(),
        "cuts": CUTS,
        "k": K,
        "n_posts": N_POSTS,
    }
    done = subprocess.run(
        [PYTHON, SCRIPT], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("k", CUTS)
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_of_order_is_rectools_for_every_user(
    drawn: Drawn, theirs: dict[str, Any], name: str, k: int
) -> None:
    hits = Hits.of_lists(drawn.lists, *drawn.relevant.T)

    np.testing.assert_allclose(METRICS[name](hits, k), theirs["order"][f"{name}_at_{k}"], atol=1e-12)


def test_what_lists_are_made_of_is_rectools(drawn: Drawn, theirs: dict[str, Any]) -> None:
    top, (user, post) = drawn.lists[:, :K], drawn.shown.T
    users_of = np.bincount(post, minlength=N_POSTS)

    found = {
        "novelty": variety.novelty(top, users_of, len(np.unique(user))),
        "popularity": variety.popularity(top, users_of),
        "diversity": variety.diversity(top, drawn.space),
    }

    for name, values in found.items():
        np.testing.assert_allclose(values, theirs["made_of"][name], atol=1e-12, err_msg=name)
    assert variety.coverage(top, N_POSTS) == pytest.approx(theirs["coverage"])
