"""Logs of a made policy whose actions' worth is known, and how often the estimates' intervals hold it."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from batch.arrays import Floats
from batch.experiments.off_policy import LEAST_SHARE, Log, evaluate_policy

CONTEXTS, ACTIONS, VISITS = 40, 20, 4  # kinds of users, posts, exposures a user


@dataclass(frozen=True, slots=True)
class World:
    """What actions are worth, and how two policies choose them; float64 (contexts, actions)."""

    worth: Floats
    logged: Floats
    target: Floats
    model: Floats

    @property
    def value(self) -> float:
        """Return what the other policy earns an exposure."""
        return float((self.target * self.worth).sum(axis=1).mean())


def make_world(rng: np.random.Generator) -> World:
    """Return a world with likes of some tenth of all exposures; the model knows them roughly, and too low."""
    worth = np.clip(rng.gamma(2, 0.06, (CONTEXTS, ACTIONS)), 0.005, 0.8)
    served = np.log(worth) * 0.6 + rng.normal(0, 0.5, worth.shape)
    other = np.log(worth) * rng.uniform(1, 3) + rng.normal(0, 0.5, worth.shape)
    floored = 0.1 / ACTIONS + 0.9 * _softmax(served)
    model = 0.8 * worth * np.exp(rng.normal(0, 0.3, worth.shape))
    return World(worth, floored, _softmax(other), model)


def draw_log(world: World, n_exposures: int, rng: np.random.Generator) -> Log:
    """Return a log; a user comes several times, and likes more or less than others do."""
    n_users = n_exposures // VISITS
    user = np.repeat(np.arange(n_users), VISITS)
    context = rng.integers(0, CONTEXTS, n_users)[user]
    warmth = rng.uniform(0.5, 1.5, n_users)[user]
    drawn = rng.random(len(user))[:, None] > np.cumsum(world.logged, axis=1)[context]
    action = np.minimum(drawn.sum(axis=1), ACTIONS - 1)
    reward = rng.random(len(user)) < np.minimum(world.worth[context, action] * warmth, 1.0)
    return Log(
        reward=reward.astype(np.float64),
        propensity=world.logged[context, action],
        target=world.target[context, action],
        model_reward=world.model[context, action],
        model_value=(world.target * world.model).sum(axis=1)[context],
        user=user,
    )


def count_covered(n_logs: int, n_exposures: int, n_worlds: int, rng: np.random.Generator) -> dict[str, float]:
    """Return the share of logs whose interval holds the truth by estimator, and the least effective share."""
    covered, shares, n_done = Counter[str](), [], 0
    while n_done < n_logs:
        world = make_world(rng)
        if _expected_share(world) < 1.25 * LEAST_SHARE:
            continue
        for _ in range(min(-(-n_logs // n_worlds), n_logs - n_done)):
            found = evaluate_policy(draw_log(world, n_exposures, rng))
            assert not found.refused, found.refused
            shares.append(found.effective_size / n_exposures)
            for estimate in found.estimates:
                covered[estimate.estimator] += estimate.low <= world.value <= estimate.high
            n_done += 1
    return {**{name: n / n_logs for name, n in covered.items()}, "least_effective_share": min(shares)}


def _expected_share(world: World) -> float:
    return float(1 / (world.target**2 / world.logged).sum(axis=1).mean())


def _softmax(logits: Floats) -> Floats:
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
