"""What others published of a data set by the protocol of time ranges: figures to stand beside ours."""

from dataclasses import dataclass
from typing import Any, NamedTuple

ESASREC = (
    "Tikhonovich et al., eSASRec, RecSys 2025, doi:10.1145/3705328.3759317, extended metrics of the authors' "
    "repository"
)
COURSE = "the bars of the recommender course on KION, by its own hidden week"


class Bar(NamedTuple):
    """A published figure; names are those of the result frame, the model's is its authors'."""

    model: str
    metric: str
    k: int
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Published:
    """What was published of a data set, and on how much of it.

    Attributes:
        bars: The figures.
        n_interactions: Of the set, as its authors filtered it.
        n_users: Users of those.
        n_train: Interactions before the test.
        n_test: Interactions in the test that are of warm users and posts, and new.
    """

    bars: tuple[Bar, ...]
    n_interactions: int
    n_users: int
    n_train: int
    n_test: int

    def values(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        sizes = {name: getattr(self, name) for name in ("n_interactions", "n_users", "n_train", "n_test")}
        return {"bars": [bar._asdict() for bar in self.bars], **sizes}


PUBLISHED = {
    "movielens-20m": Published(
        (
            Bar("FuXi-alpha, best known", "ndcg_achievable", 10, 0.188, ESASREC),
            Bar("popular of 7 days", "ndcg_achievable", 10, 0.167, ESASREC),
        ),
        n_interactions=20_000_263,
        n_users=138_493,
        n_train=19_820_002,
        n_test=54_522,
    ),
    "kion": Published(
        (
            Bar("HSTU, best known", "ndcg_achievable", 10, 0.169, ESASREC),
            Bar("popular of 7 days", "ndcg_achievable", 10, 0.142, ESASREC),
            Bar("the course's lower bar", "map", 10, 0.075, COURSE),
            Bar("the course's upper bar", "map", 10, 0.088, COURSE),
        ),
        n_interactions=5_109_907,
        n_users=606_743,
        n_train=4_344_877,
        n_test=520_778,
    ),
}
