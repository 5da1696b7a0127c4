"""The parts of an estimate as of a time: posts' own effects, users' tastes, latent types; not yet weighed.

What a feed showed and what users chose (`Facts.shown`) teach different things. Of choices the order says
nothing, and what is liked by many and together says most.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from api.contract.buckets import DAY_S
from batch.data.facts import Facts
from batch.data.seen import earliest
from batch.features.text import Texts
from batch.learn.factors.biases import fit_levels, steepness
from batch.learn.factors.collaborative import fit_together
from batch.learn.factors.impressions import Impressions, gather
from batch.learn.factors.latent_classes import Types, fit_types, membership
from batch.learn.factors.taste_factors import again, describe, fit_tastes

Floats = npt.NDArray[np.float64]
Factors = tuple[Floats, Floats]  # of users and of posts

NAMES = (
    *("post", "taste", "taste_placed", "types"),
    *("liked_together", "liked_by_many", "liked_by_many_lately"),
)
OF_IMPRESSIONS = NAMES[:4]
OF_CHOICES = NAMES[4:]
PRIOR_VIEWS = 20.0  # a user's own like rate is shrunk to everyone's as if by so many views
N_TOGETHER = 24  # factors of what is liked together; 16 and 32 ranked films worse
LONG_S, LATELY_S = 30 * DAY_S, 3 * DAY_S  # half-lives of what many liked: months of films, days of articles
N_UNTAKEN = 20  # posts beside a liked one in the slates that stand for choices; 40 did no better
FEW = 0.3  # likes that a post has beside its own before their logarithm is taken


@dataclass(frozen=True, slots=True)
class Parts:
    """Every part as factors; the score of part k for user u and post p is `x[k][u] · y[k][p]`.

    It is in like rate where a feed showed the posts, and has no unit where users chose them.

    Attributes:
        as_of_s: No fact later than this was used.
        base: Like rate of everybody together; of choices the liked one's share of a slate.
        rate: float64 (users,). Users' shrunk like rates; `base` for a user without an impression, and for
            everybody where posts are chosen.
        gain: float64 (users,). How much log-odds one unit of a part's score is.
        x: By the order of `NAMES`, float64 (users, columns); no columns where a part is not fitted.
        y: The same, float64 (posts, columns), those of impressions of mean 0 over what was shown.
        types: The latent types; None of choices.
    """

    as_of_s: int
    base: float
    rate: Floats
    gain: Floats
    x: tuple[Floats, ...]
    y: tuple[Floats, ...]
    types: Types | None

    def scores(self, users: npt.NDArray[np.integer], posts: npt.NDArray[np.integer]) -> Floats:
        """Return every part's score of (user, post) pairs, float64 (pairs, parts)."""
        pairs = zip(self.x, self.y, strict=True)
        return np.column_stack([np.einsum("ij,ij->i", x[users], y[posts]) for x, y in pairs])


def fit_parts(facts: Facts, texts: Texts, as_of_s: int, seed: int, warm: Parts | None) -> Parts:
    """Fit all parts on the facts up to and including `as_of_s`.

    Args:
        facts: Events; later ones are not read.
        texts: What the posts are about.
        as_of_s: Epoch seconds.
        seed: Of the types' search, or of the first factors.
        warm: An earlier time's parts to go on from, which is faster; None starts anew.
    """
    known = facts.until(as_of_s)
    if known.shown == "choices":
        base = 1 / (1 + N_UNTAKEN)
        rate = np.full(len(known.users), base)
        x, y = _in_order(_of_choices(known, seed, warm), known)
        return Parts(as_of_s, base, rate, np.ones(len(rate)), x, y, None)
    shown = gather(known)
    base = float((shown.liked.sum() + 0.5) / (len(shown.liked) + 5.0))
    rate = _rates(shown, base)
    types = fit_types(shown, texts.cluster, seed, warm.types if warm is not None else None)
    x, y = _in_order(_of_impressions(shown, texts, types), known)
    return Parts(as_of_s, base, rate, gain(rate), x, y, types)


def _of_impressions(shown: Impressions, texts: Texts, types: Types) -> dict[str, Factors]:
    about = describe(texts, int((shown.sizes > 0).sum()))
    placed = fit_levels(shown, placed=True)
    free = fit_levels(shown, placed=False, post=placed.post)
    taste, taste_placed = fit_tastes(shown, free, about), fit_tastes(shown, placed, about)
    placed = fit_levels(shown, placed=True, tastes=(taste_placed.user, taste_placed.post))
    free = fit_levels(shown, placed=False, post=placed.post, tastes=(taste.user, taste.post))
    taste, taste_placed = again(shown, free, taste), again(shown, placed, taste_placed)
    exposure = np.bincount(shown.post, minlength=shown.n_posts) + 1e-9
    found = {
        "post": (np.ones((shown.n_users, 1)), placed.post[:, None]),
        "taste": (taste.user, taste.post),
        "taste_placed": (taste_placed.user, taste_placed.post),
        "types": (membership(shown, types), types.first),
    }
    return {name: (x, y - np.average(y, axis=0, weights=exposure)) for name, (x, y) in found.items()}


def _of_choices(known: Facts, seed: int, warm: Parts | None) -> dict[str, Factors]:
    """Return what is liked together and by many; what is liked once chosen said no more of films to come."""
    pairs = earliest(known, "likes")
    shape = (len(known.users), len(known.posts))
    liked = sparse.csr_matrix((np.ones(len(pairs.post)), pairs.post, pairs.start), shape)
    before = warm.y[NAMES.index("liked_together")] if warm is not None else None
    everyone = np.ones((len(known.users), 1))
    return {
        "liked_together": fit_together(liked, N_TOGETHER, seed, before),
        "liked_by_many": (everyone, _by_many(known, LONG_S)),
        "liked_by_many_lately": (everyone, _by_many(known, LATELY_S)),
    }


def _by_many(known: Facts, half_life_s: int) -> Floats:
    """Return the log of how many liked each post, the longer ago the less, over the mean, (posts, 1)."""
    chosen = known.views
    faded = 0.5 ** ((known.as_of_s - known.time[chosen]) / half_life_s) * known.target[chosen]
    likes = np.bincount(known.post[chosen], faded, len(known.posts)) + FEW
    return np.asarray(np.log(likes / likes.mean())[:, None], np.float64)


def _in_order(found: dict[str, Factors], known: Facts) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """Return users' and posts' factors by the order of `NAMES`; a part not fitted has no columns."""
    nothing = np.zeros((len(known.users), 0)), np.zeros((len(known.posts), 0))
    x, y = zip(*(found.get(name, nothing) for name in NAMES), strict=True)
    return x, y


def _rates(shown: Impressions, base: float) -> Floats:
    likes, views = shown.likes, shown.sizes
    return np.asarray((likes + PRIOR_VIEWS * base) / (views + PRIOR_VIEWS), np.float64)


def gain(rate: Floats) -> Floats:
    """Return how much log-odds of a like one unit of like rate is, at each user's own rate."""
    return steepness(rate) / (rate * (1 - rate))
