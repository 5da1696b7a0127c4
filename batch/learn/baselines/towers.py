"""DSSM on torch: a tower for users, of profile and likes, and one for posts, of text, topic and id."""

from typing import Any, NamedTuple

import numpy as np

from batch.arrays import Floats, Floats32, Ints
from batch.features.asof import Statics
from batch.learn.baselines.described import Matrix, describe_posts, describe_users
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.recommender import PostScores
from batch.learn.baselines.torched import seeded

N_FACTORS, N_HIDDEN = 64, 128
N_HISTORY = 100  # of a user's likes, the last ones, go into their tower
BATCH, RATE, DECAY = 512, 2e-3, 1e-5
ROUNDS, STEPS = 3, (300, 2_000)  # over liked pairs, and fewest and most steps that this may be
N_OTHERS = 4_096  # posts that a liked one is held against: all, or so many drawn for each step
USERS_AT_ONCE = 1_024
Tensor = Any  # torch.Tensor; torch is not there where types are checked


class Towers(NamedTuple):
    """The two towers, and what goes into them.

    Attributes:
        parts: torch's modules by name.
        profiles: Sparse float32 (users, values).
        history: Sparse float32 (users, posts), ones.
        described: float32 (posts, columns).
    """

    parts: Any
    profiles: Matrix
    history: Matrix
    described: Tensor

    def users(self, rows: Ints, without: Ints | None = None) -> Tensor:
        """Return users' factors, (rows, N_FACTORS), each `without` the liked post that is to be guessed."""
        profile = _sum_of(self.parts["profile"], self.profiles[rows])
        liked = _sum_of(self.parts["liked"], self.history[rows], without)
        return self.parts["user"](_join(profile, liked))

    def posts(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return posts' factors, (rows, N_FACTORS), and biases, (rows,)."""
        found = self.parts["post"](_join(self.described[rows], self.parts["itself"](rows)))
        return found[:, :-1], found[:, -1]


def dssm(interactions: Interactions) -> PostScores:
    """Score a post by the inner product of its tower's factors with the user's, and its bias.

    Liked pairs are drawn as often as they weigh (`Interactions.quality`), and each is to win a softmax over
    posts; it is not among the likes that its user's tower sees. Who has no likes is told by their profile.

    Source: Huang et al., Learning deep structured semantic models for web search using clickthrough data,
    CIKM 2013; Covington et al., Deep neural networks for YouTube recommendations, RecSys 2016.
    """
    import torch

    with seeded(interactions.seed, interactions.threads):
        towers = _build(interactions)
        _train(towers, interactions)
        with torch.no_grad():
            y, bias = (one.double().numpy() for one in towers.posts(torch.arange(len(towers.described))))
            every = np.arange(len(interactions.facts.users))
            parts = [every[low : low + USERS_AT_ONCE] for low in range(0, len(every), USERS_AT_ONCE)]
            x: Floats = np.vstack([towers.users(part).double().numpy() for part in parts])
    return lambda users: np.asarray(x[users] @ y.T + bias, np.float64)


def describe(statics: Statics) -> Floats32:
    """Return what a post's tower is told, float32 (posts, columns): text factors, then topic and cluster."""
    space = np.nan_to_num(statics.texts.space)
    scale = max(float(space.std()), 1e-6) if space.size else 1.0
    return np.hstack([space / scale, describe_posts(statics).toarray()]).astype(np.float32)


def _build(interactions: Interactions) -> Towers:
    from torch import from_numpy, nn

    profiles, history = describe_users(interactions.statics), interactions.likes(N_HISTORY)
    described, n_posts = describe(interactions.statics), history.shape[1]

    def tower(n_in: int, n_out: int) -> Any:
        return nn.Sequential(nn.Linear(n_in, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, n_out))

    parts = nn.ModuleDict(
        {
            "profile": nn.EmbeddingBag(profiles.shape[1] or 1, N_FACTORS, mode="sum"),
            "liked": nn.EmbeddingBag(n_posts, N_FACTORS, mode="sum"),
            "user": tower(2 * N_FACTORS, N_FACTORS),
            "itself": nn.Embedding(n_posts, N_FACTORS),
            "post": tower(described.shape[1] + N_FACTORS, N_FACTORS + 1),
        }
    )
    for name in ("profile", "liked", "itself"):
        nn.init.normal_(parts[name].weight, std=0.05)
    return Towers(parts, profiles, history, from_numpy(described))


def _train(towers: Towers, interactions: Interactions) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    pairs = interactions.quality().tocoo()
    total = np.cumsum(pairs.data.astype(np.float64))
    if not len(total) or not total[-1]:
        return
    rng, n_posts = np.random.default_rng(interactions.seed), len(towers.described)
    optimizer = torch.optim.Adam(towers.parts.parameters(), RATE, weight_decay=DECAY)
    for _ in range(int(np.clip(ROUNDS * len(total) // BATCH, *STEPS))):
        drawn = np.searchsorted(total, rng.random(BATCH) * total[-1], side="right")
        user, post = pairs.row[drawn], pairs.col[drawn].astype(np.int64)
        others = np.arange(n_posts) if n_posts <= N_OTHERS else rng.choice(n_posts, N_OTHERS, replace=False)
        rivals = np.union1d(others, post)
        y, bias = towers.posts(torch.from_numpy(rivals))
        scores = towers.users(user, post) @ y.T + bias
        loss = cross_entropy(scores, torch.from_numpy(np.searchsorted(rivals, post)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _sum_of(table: Any, rows: Matrix, without: Ints | None = None) -> Tensor:
    """Return sums of a table's rows over the root of how many they are; `without` leaves a column out."""
    import torch

    owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    counts = np.ones(len(owner), np.float32) if without is None else (rows.indices != without[owner])
    n = np.maximum(np.bincount(owner, counts, rows.shape[0]), 1)
    places, offsets = (
        torch.from_numpy(np.asarray(one, np.int64)) for one in (rows.indices, rows.indptr[:-1])
    )
    weights = torch.from_numpy(np.asarray(counts / np.sqrt(n)[owner], np.float32))
    return table(places, offsets, per_sample_weights=weights)


def _join(a: Tensor, b: Tensor) -> Tensor:
    import torch

    return torch.hstack([a, b])
