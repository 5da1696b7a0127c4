"""Autoencoders of users' likes on torch: a plain one, and a variational one that has posts compete."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from batch.arrays import Floats, Ints
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.recommender import PostScores, break_ties
from batch.learn.baselines.torched import seeded

N_FACTORS, N_HIDDEN = 64, 256
DROPPED = 0.5  # of what goes in, so that likes have to tell other likes
BATCH, RATE = 256, 1e-3
ROUNDS, STEPS = 30, (300, 1_500)  # over users who liked anything, and fewest and most steps that this may be
MOST_KL, KL_GROWS = 0.2, 0.7  # weight of the divergence at its largest, and the share of steps until then
LIKED = 10.0  # a liked post's squared error counts so often
Tensor = Any  # torch.Tensor; torch is not there where types are checked
Rebuild = Callable[[Tensor, bool], tuple[Tensor, Tensor]]  # likes, learning → scores of all posts, penalty
Build = Callable[[int], tuple[Any, Rebuild, Callable[[Tensor, Tensor], Tensor]]]


def autoencoder(interactions: Interactions) -> PostScores:
    """Score posts by a plain autoencoder: one hidden layer, squared errors.

    Source: Sedhain et al., AutoRec: autoencoders meet collaborative filtering, WWW 2015.
    """
    return _learn(interactions, _plain)


def mult_vae(interactions: Interactions) -> PostScores:
    """Score posts by a variational autoencoder: factors are drawn, and posts share out one probability.

    Source: Liang et al., Variational autoencoders for collaborative filtering, WWW 2018.
    """
    return _learn(interactions, _variational)


def _plain(n_posts: int) -> tuple[Any, Rebuild, Callable[[Tensor, Tensor], Tensor]]:
    from torch import nn

    net = nn.Sequential(
        nn.Dropout(DROPPED), nn.Linear(n_posts, N_HIDDEN), nn.Sigmoid(), nn.Linear(N_HIDDEN, n_posts)
    )

    def rebuild(likes: Tensor, learning: bool) -> tuple[Tensor, Tensor]:
        return net.train(learning)(likes), likes.new_zeros(())

    return net, rebuild, lambda scores, likes: ((1 + LIKED * likes) * (scores - likes) ** 2).sum(1).mean()


def _variational(n_posts: int) -> tuple[Any, Rebuild, Callable[[Tensor, Tensor], Tensor]]:
    import torch
    from torch import nn

    encode = nn.Sequential(
        nn.Dropout(DROPPED), nn.Linear(n_posts, N_HIDDEN), nn.Tanh(), nn.Linear(N_HIDDEN, 2 * N_FACTORS)
    )
    decode = nn.Sequential(nn.Linear(N_FACTORS, N_HIDDEN), nn.Tanh(), nn.Linear(N_HIDDEN, n_posts))
    both = nn.ModuleList([encode, decode])

    def rebuild(likes: Tensor, learning: bool) -> tuple[Tensor, Tensor]:
        both.train(learning)
        mean, log_variance = encode(nn.functional.normalize(likes)).chunk(2, dim=1)
        spread = torch.exp(log_variance / 2)
        drawn = mean + spread * torch.randn_like(spread) if learning else mean
        divergence = (mean**2 + spread**2 - 1 - log_variance).sum(1).mean() / 2
        return decode(drawn), divergence

    return both, rebuild, lambda scores, likes: -(torch.log_softmax(scores, 1) * likes).sum(1).mean()


def _learn(interactions: Interactions, build: Build) -> PostScores:
    """Fit the net by Adam on rows of likes; who has no likes gets the popular posts."""
    import torch

    likes, popular = interactions.likes(), interactions.rates()
    known = np.diff(likes.indptr) > 0
    steps = int(np.clip(ROUNDS * known.sum() // BATCH, *STEPS))
    with seeded(interactions.seed, interactions.threads):
        net, rebuild, loss_of = build(likes.shape[1])
        optimizer = torch.optim.Adam(net.parameters(), RATE, weight_decay=1e-6)
        for step, rows in zip(range(steps), _draw(np.flatnonzero(known), interactions.seed), strict=False):
            batch = torch.from_numpy(likes[rows].toarray())
            rebuilt, divergence = rebuild(batch, True)  # noqa: FBT003
            kl = MOST_KL * min(1.0, step / (KL_GROWS * steps))
            loss = loss_of(rebuilt, batch) + kl * divergence
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def scores(users: Ints) -> Floats:
        with torch.no_grad():
            found, _ = rebuild(torch.from_numpy(likes[users].toarray()), False)  # noqa: FBT003
        return break_ties(np.where(known[users, None], found.double().numpy(), 0.0), popular)

    return scores


def _draw(rows: Ints, seed: int) -> Iterator[Ints]:
    """Yield some rows at a time, round after round, each in another order; of no rows nothing."""
    rng = np.random.default_rng(seed)
    while len(rows):
        order = rng.permutation(rows)
        yield from np.split(order, range(BATCH, len(order), BATCH))
