"""How two stages rank: whose candidates, how many of each user, and what the ranker is to learn."""

from dataclasses import dataclass
from typing import Literal

Aim = Literal["classification", "lambdarank"]


@dataclass(frozen=True, slots=True)
class Stages:
    """How two stages rank.

    Attributes:
        candidates: Peers whose best posts are ranked.
        per_user: Posts that each of them gives a user.
        aim: What the ranker learns: whether a post is liked, or the order of a user's posts.
    """

    candidates: tuple[str, ...] = ("item_knn_cosine", "als")
    per_user: int = 200
    aim: Aim = "classification"
