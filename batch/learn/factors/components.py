"""The components of an estimate as of a time: posts' biases, users' tastes, latent classes; not yet stacked.

What a feed showed and what users chose (`Facts.shown`) teach different things. Of choices the order says
nothing, and what is liked by many and together says most.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from batch.arrays import AnyInts, Floats
from batch.data.facts import Facts
from batch.data.seen import SeenTimes, earliest
from batch.features.text import Texts
from batch.learn.factors.biases import fit_biases
from batch.learn.factors.collaborative import (
    find_near,
    fit_implicit_factors,
    fit_next_factors,
    fit_relation_factors,
    regress,
)
from batch.learn.factors.impressions import Impressions, gather
from batch.learn.factors.latent_classes import LatentClasses, fit_latent_classes, membership
from batch.learn.factors.link import steepness
from batch.learn.factors.names import NAMES
from batch.learn.factors.sums import count_by_post
from batch.learn.factors.taste_factors import TasteFactors, describe, fit_taste_factors, refit_users
from batch.learn.recency import learn_half_life, log_recent

Factors = tuple[Floats, Floats]  # of users and of posts

PRIOR_VIEWS = 20.0  # a user's own like rate is shrunk to everyone's as if by so many views
N_IMPLICIT = 24  # factors of what is liked together; 16 and 32 ranked films worse
N_UNTAKEN = 20  # posts beside a liked one in the slates that stand for choices; 40 did no better


@dataclass(frozen=True, slots=True)
class Beginning:
    """What an earlier fit has found that a later one goes on from; nothing in it is of a single user.

    Attributes:
        classes: The latent classes; None of choices, and where none were wanted.
        liked_together: float64 (posts, N_IMPLICIT). Posts' factors; None of impressions.
    """

    classes: LatentClasses | None
    liked_together: Floats | None

    def of_posts(self, rows: AnyInts) -> "Beginning":
        """Return it for other posts, given by row, int (posts,); -1 is a new one, which tells nothing yet."""
        new = np.asarray(rows < 0)[:, None]
        classes, liked = self.classes, self.liked_together
        if classes is not None:
            classes = LatentClasses(classes.share, np.where(new, 0.5, classes.first[rows]))
        return Beginning(classes, None if liked is None else np.where(new, 0.0, liked[rows]))


@dataclass(frozen=True, slots=True)
class Components:
    """Every component as factors; that of number k gives user u and post p the score `x[k][u] · y[k][p]`.

    It is in like rate where a feed showed the posts, and has no unit where users chose them.

    Attributes:
        as_of_s: No fact later than this was used.
        base: Like rate of everybody together; of choices the liked one's share of a slate.
        rate: float64 (users,). Users' shrunk like rates; `base` for a user without an impression, and for
            everybody where posts are chosen.
        gain: float64 (users,). How much log-odds one unit of a component's score is.
        x: By the order of `NAMES`, float64 (users, columns); no columns where one is not fitted.
        y: The same, float64 (posts, columns), those of impressions of mean 0 over what was shown.
        classes: The latent classes; None of choices, and where none were wanted.
    """

    as_of_s: int
    base: float
    rate: Floats
    gain: Floats
    x: tuple[Floats, ...]
    y: tuple[Floats, ...]
    classes: LatentClasses | None

    @property
    def beginning(self) -> Beginning:
        """Return what a fit of a time shortly after goes on from."""
        liked = self.y[NAMES.index("liked_together")]
        return Beginning(self.classes, liked if liked.shape[1] else None)

    def scores(self, users: AnyInts, posts: AnyInts) -> Floats:
        """Return every component's score of (user, post) pairs, float64 (pairs, components)."""
        pairs = zip(self.x, self.y, strict=True)
        return np.column_stack([np.einsum("ij,ij->i", x[users], y[posts]) for x, y in pairs])


def fit_components(
    facts: Facts,
    texts: Texts,
    as_of_s: int,
    seed: int,
    warm: Beginning | None,
    wanted: Collection[str] = NAMES,
) -> Components:
    """Fit all components on the facts up to and including `as_of_s`.

    Args:
        facts: Events; later ones are not read.
        texts: What the posts are about.
        as_of_s: Epoch seconds.
        seed: Of the search for classes, or of the first factors.
        warm: What a fit of an earlier time found, to go on from, which is faster; None starts anew.
        wanted: Names of those that will weigh anything; of the others what takes long is left out.
    """
    past = facts.until(as_of_s)
    if past.shown == "choices":
        base = 1 / (1 + N_UNTAKEN)
        rate = np.full(len(past.users), base)
        x, y = _in_order(_of_choices(past, seed, warm, wanted), past)
        return Components(as_of_s, base, rate, np.ones(len(rate)), x, y, None)
    # Before the columns of what was shown are there.
    lately = _by_many_lately(past) if "post_lately" in wanted else None
    shown = gather(past)
    past.release()
    base = float((shown.liked.sum() + 0.5) / (len(shown.liked) + 5.0))
    rate = (shown.likes + PRIOR_VIEWS * base) / (shown.sizes + PRIOR_VIEWS)
    gain = steepness(rate) / (rate * (1 - rate))
    classes = warm.classes if warm is not None else None
    if "types" in wanted:
        classes = fit_latent_classes(shown, texts.cluster, seed, classes)
    found = _of_impressions(shown, texts, classes, wanted)
    if lately is not None:
        found["post_lately"] = np.ones((shown.n_users, 1)), base * lately
    exposure = count_by_post(shown.post, shown.n_posts) + 1e-9
    found = {name: (x, y - np.average(y, axis=0, weights=exposure)) for name, (x, y) in found.items()}
    x, y = _in_order(found, past)
    return Components(as_of_s, base, rate, gain, x, y, classes)


def _of_impressions(
    shown: Impressions, texts: Texts, classes: LatentClasses | None, wanted: Collection[str]
) -> dict[str, Factors]:
    """Return what is wanted, and always the posts' biases: the tastes with the place held are beside them."""
    about = describe(texts, int((shown.sizes > 0).sum()))
    alone, tastes = _begin_tastes(shown, about, None)
    beside, tastes = _end_tastes(shown, tastes, None)
    found = {"post": (np.ones((shown.n_users, 1)), beside[:, None])}
    found["taste_placed"] = tastes.user, tastes.post
    if "taste" in wanted:
        _, tastes = _begin_tastes(shown, about, alone)
        _, tastes = _end_tastes(shown, tastes, beside)
        found["taste"] = tastes.user, tastes.post
    if classes is not None and "types" in wanted:
        found["types"] = membership(shown, classes), classes.first
    return found


def _begin_tastes(shown: Impressions, about: Floats, post: Floats | None) -> tuple[Floats, TasteFactors]:
    """Return posts' biases, and the tastes that they leave; given biases stand, and no place is held then.

    The columns of eight bytes an impression that lead to the tastes end here: never two pairs are there.
    """
    biases = fit_biases(shown, post is None, post)
    return biases.post, fit_taste_factors(shown, biases, about)


def _end_tastes(shown: Impressions, tastes: TasteFactors, post: Floats | None) -> tuple[Floats, TasteFactors]:
    """Return posts' biases beside the tastes, and the tastes that these leave, as `_begin_tastes` does."""
    biases = fit_biases(shown, post is None, post, (tastes.user, tastes.post))
    return biases.post, refit_users(shown, biases, tastes)


def _of_choices(
    past: Facts, seed: int, warm: Beginning | None, wanted: Collection[str]
) -> dict[str, Factors]:
    """Return what is liked together, posts that are retired by now among it, taken next, and by many.

    Likes are few, so what is taken is told beside what is liked.
    """
    shape, place = (len(past.users), len(past.posts)), past.post_place
    if past.weight is None:
        pairs = earliest(past, "likes")
        liked = sparse.csr_matrix((np.ones(len(pairs.post)), place[pairs.post], pairs.start), shape)
        liked.sort_indices()
    else:
        liked = sparse.csr_matrix((past.weight.astype(np.float64), (past.user, place[past.post])), shape)
        liked.eliminate_zeros()
    before = warm.liked_together if warm is not None else None
    before = before[np.argsort(place)] if before is not None else None
    if past.retired is not None:
        liked = sparse.hstack([liked, past.retired.taken(len(past.users))]).tocsr()
        if before is not None:
            before = np.vstack([before, np.zeros((past.retired.n_posts, N_IMPLICIT))])
    x, y = fit_implicit_factors(liked, N_IMPLICIT, seed, before)
    beside = fit_relation_factors(liked, regress, N_IMPLICIT, seed)
    following = fit_next_factors(_takes(past), len(past.posts), N_IMPLICIT, seed)
    everyone = np.ones((len(past.users), 1))
    found = {
        "liked_together": (x, y[place]),
        "liked_beside": (beside[0], beside[1][place]),
        "taken_next": (following[0], following[1][place]),
        "liked_by_many_lately": (everyone, _by_many_lately(past)),
        "taken_by_many_lately": (everyone, _by_many_lately(take_for_likes(past))),
    }
    if "liked_near" in wanted:
        x, y = fit_relation_factors(liked, find_near, N_IMPLICIT, seed)
        found["liked_near"] = x, y[place]
    return found


def _takes(past: Facts) -> SeenTimes:
    """Return what each user took of any kind, and when first, posts numbered by their place."""
    pairs = earliest(past, "views")
    user = np.repeat(np.arange(len(past.users)), np.diff(pairs.start))
    post = past.post_place[pairs.post]
    order = np.lexsort((post, user))
    return SeenTimes(pairs.start, post[order].astype(np.int32), pairs.time[order])


def take_for_likes(past: Facts) -> Facts:
    """Return the facts as if whatever was taken was liked, and alike."""
    return replace(past, target=past.views.astype(np.int8), weight=None)


def _by_many_lately(past: Facts) -> Floats:
    """Return the log of how many liked each post, the longer ago the less, over the mean, (posts, 1)."""
    return log_recent(past, past.as_of_s, learn_half_life(past, past.as_of_s))[:, None]


def _in_order(found: dict[str, Factors], past: Facts) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """Return users' and posts' factors by the order of `NAMES`; one not fitted has no columns."""
    nothing = np.zeros((len(past.users), 0)), np.zeros((len(past.posts), 0))
    x, y = zip(*(found.get(name, nothing) for name in NAMES), strict=True)
    return x, y
