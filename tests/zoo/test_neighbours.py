"""Peers by neighbours: every kind of likeness is implicit's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from batch.learn.baselines import neighbours

implicit: Any = pytest.importorskip("implicit.nearest_neighbours", reason="`make test-zoo` brings implicit")
THEIRS: dict[neighbours.Weigh, Callable[[int], Any]] = {
    neighbours.cosine: lambda n: implicit.CosineRecommender(n),
    neighbours.tfidf: lambda n: implicit.TFIDFRecommender(n),
    neighbours.bm25: lambda n: implicit.BM25Recommender(n, neighbours.BM25_K1, neighbours.BM25_B),
}


@pytest.mark.filterwarnings("ignore:Method expects CSR input")  # implicit gives itself another form
@pytest.mark.parametrize("weigh", THEIRS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("of", ["posts", "users"])
def test_likeness_is_that_of_implicit(weigh: neighbours.Weigh, of: str) -> None:
    drawn = np.random.default_rng(1).random((60, 40)) < np.linspace(0.05, 0.5, 40)
    likes = sparse.csr_matrix((drawn if of == "users" else drawn.T).astype(np.float32))
    theirs = THEIRS[weigh](likes.shape[0])
    theirs.fit(likes.T.tocsr(), show_progress=False)

    rows = weigh(likes).toarray()

    np.testing.assert_allclose(rows @ rows.T, theirs.similarity.toarray(), atol=1e-4)
