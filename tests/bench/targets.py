"""What the serving bench asks for: who, when, by topic or not."""

import re
from collections.abc import Sequence

import numpy as np

from api.contract.buckets import moment
from tests.bench.stock import AS_OF_S, DAY_S, HOUR_S, TOPICS, Stock

N_TARGETS = 200_000  # requests before they repeat


def draw(sizes: Stock, limit: int) -> list[str]:
    """Draw who asks for which second of the day after as_of."""
    rng = np.random.default_rng(sizes.seed + 1)
    every = sizes.users(0, sizes.n_users)
    users = [every[place] for place in rng.integers(0, sizes.n_users, N_TARGETS).tolist()]
    times = (AS_OF_S + rng.integers(1, DAY_S - HOUR_S, N_TARGETS)).tolist()
    return [
        f"/post/recommendations/?id={user}&time={moment(at):%Y-%m-%dT%H:%M:%S}&limit={limit}"
        for user, at in zip(users, times, strict=True)
    ]


def filter_by_topic(targets: Sequence[str]) -> list[str]:
    """Return the same requests, each for one topic."""
    return [f"{target}&topic={at % TOPICS}" for at, target in enumerate(targets)]


def ask_now(targets: Sequence[str]) -> list[str]:
    """Return the same requests without their time."""
    return [re.sub(r"&time=[^&]*", "", target) for target in targets]
