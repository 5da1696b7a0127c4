"""RecTools' models, in the environment that it needs, at the cut-offs of `almanac compare --unseen`."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from batch.arrays import Bools, Floats, Ints
from batch.data.load import read_facts
from batch.evaluate import results
from batch.evaluate.cutoffs import NDCG, RECALL, cut_offs
from batch.evaluate.metrics import Hits, ndcg, recall
from batch.evaluate.unseen import AskedUsers
from batch.settings import Settings

SCRIPT = Path(__file__).parents[1] / "rectools_models.py"
K = 10


class Listed:
    """What somebody else ranked: full lists of some users."""

    def __init__(self, users: Ints, lists: Ints) -> None:
        """Keep each user's list of all posts, int64 (users, posts); -1 fills."""
        self._users, self._lists = users, lists

    def lists(self, users: Ints, n: int, opened: Bools | None = None) -> Ints:
        """Return each user's `n` best posts."""
        assert opened is None
        return self._lists[np.searchsorted(self._users, users), :n]

    def pairs(self, users: Ints, posts: Ints, at_s: Ints) -> Floats:
        """Refuse: lists have no scores."""
        raise NotImplementedError


def run(location: str, python: Path, names: tuple[str, ...], n_cuts: int) -> dict[str, object]:
    """Let RecTools' models learn before each cut-off, and measure warm users' lists after it.

    Args:
        location: Folder or URL of facts that users chose.
        python: Of the environment that has RecTools.
        names: Of its models; empty for all that its environment has.
        n_cuts: Cut-offs over the second half of the events.

    Returns:
        `best` by NDCG@10, the pooled figures of all with intervals of 95 % over users, and mean seconds.
    """
    settings = Settings()
    facts = read_facts(settings, location, lambda _n: None)
    tests, seconds = [], dict[str, list[float]]()
    for split in cut_offs(facts, n_cuts):
        past = facts.until(split.test_from_s - 1)
        asked = AskedUsers.of(facts, split, np.random.default_rng(settings.seed))
        asked = asked.select(asked.n_seen > 0)
        liked = past.views & (past.target == 1)
        rows = np.column_stack([past.user[liked], past.post[liked], past.time[liked]])
        given = {"likes": rows.tolist(), "users": asked.users.tolist(), "names": names, "seed": settings.seed}
        models = {}
        for name, told in _ask(python, given).items():
            lists = np.full((len(asked.users), len(facts.posts)), -1, np.int64)
            for row, own in enumerate(told["lists"]):
                lists[row, : len(own)] = own
            hits = Hits.of_lists(asked.rank(Listed(asked.users, lists), K), asked.row, asked.post)
            columns = {NDCG: ndcg(hits, K, achievable=True), RECALL: recall(hits, K)}
            models[name] = {metric: results.mean_column(of) for metric, of in columns.items()}
            seconds.setdefault(name, []).append(sum(told["seconds"]))
        tests.append(results.MeasuredLists(models, asked.users))
    pooled = results.pool(tests)
    frame = results.result_frame(results.summarize("rectools", pooled, np.random.default_rng(0), []))
    return {
        **pooled.sizes(),
        "best": results.best_model(frame, NDCG, list(pooled.models)),
        "seconds": {name: round(float(np.mean(of)), 2) for name, of in seconds.items()},
        "results": frame.to_dict("records"),
    }


def _ask(python: Path, given: dict[str, object]) -> dict[str, Any]:
    done = subprocess.run(
        [python, SCRIPT], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"RecTools' models: {done.stderr[-500:]}")
    return dict(json.loads(done.stdout))
