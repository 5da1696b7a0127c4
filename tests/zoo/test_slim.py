"""SLIM: the weights are those of scikit-learn's elastic net on the likes themselves."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import ElasticNet

from batch.learn.baselines import slim

N_USERS, N_POSTS = 200, 20
L1, L2 = slim.L1.usual, slim.L2.usual


def test_weights_are_the_elastic_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slim, "TOLERANCE", 1e-9)
    monkeypatch.setattr(slim, "MOST_ROUNDS", 10_000)
    drawn = np.random.default_rng(1).random((N_USERS, N_POSTS)) < np.linspace(0.05, 0.4, N_POSTS)
    likes = sparse.csr_matrix(drawn.astype(np.float32))

    weights = slim.regress_sparsely(likes, sparse.csr_matrix(1 - np.eye(N_POSTS)), L1, L2).toarray()

    penalty = L1 + L2
    model = ElasticNet(
        alpha=penalty / N_USERS, l1_ratio=L1 / penalty, fit_intercept=False, positive=True, tol=1e-9
    )
    for post in range(N_POSTS):
        others = np.where(np.arange(N_POSTS) == post, 0.0, drawn)
        expected = model.fit(others, drawn[:, post].astype(float)).coef_
        np.testing.assert_allclose(weights[:, post], expected, atol=1e-7)
        assert (expected == 0).any()


def test_only_a_posts_nearest_have_weights_and_of_nobodys_likes_none() -> None:
    likes = sparse.csr_matrix(np.array([[1, 1, 1, 0]] * 50, np.float32))
    near = sparse.csr_matrix(np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], np.float32))

    weights = slim.regress_sparsely(likes, near, L1, L2).toarray()

    assert np.argwhere(weights).tolist() == [[0, 1], [1, 0]]
    assert weights[0, 1] == pytest.approx((50 - L1) / (50 + L2), rel=1e-3)
    assert slim.regress_sparsely(likes * 0, near * 0, L1, L2).nnz == 0
