"""Where users chose posts themselves: slates to train and weigh on, each of a liked post and untaken ones.

A slate asks what lists answer: which of all posts not taken yet will this user like next.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy import optimize

from batch.arrays import Bools, Floats, Floats32, Ints
from batch.data.columns import VIEW
from batch.data.facts import Facts
from batch.learn.factors.components import N_UNTAKEN, Components
from batch.learn.factors.names import NAMES, OF_CHOICES
from batch.learn.factors.stacking import PRIOR_SD, centre
from batch.learn.sessions import positions

MOST_LIKED = 20_000  # slates of a period; more are thinned evenly at random
LEAST_Z = 2.5  # standard errors from which a component pays: by one, chance lets in a useless one of six
WEIGHT_TOLERANCE = 1e-6  # of a weight, which is some tenths
LEAST_SPREAD = 1e-3  # of a component inside sessions: one that its prior has shrunk further says nothing


def draw_slates(facts: Facts, ends: Sequence[int], rng: np.random.Generator) -> Facts:
    """Return the facts with slates for events: one for each post that was liked, and not taken before.

    A period is `(ends[k], ends[k + 1]]`; a post that the user took before it is no candidate in it. Posts
    beside the liked one are drawn evenly from those that anybody had taken by the period's end and this user
    had not. Only users with a history before the period count, as long as there are any. Where events have
    weights, likes are drawn again in proportion to them.

    Args:
        facts: Choices.
        ends: Last moments before each period, and the last one's end; epoch seconds, ascending.
        rng: Draws.

    Returns:
        Views in order of time, `target` 1 for the liked post and 0 for the others, all at the like's time.
    """
    found = [_draw_period(facts, begin, end, rng) for begin, end in pairwise(ends)]
    user, post, time, target = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((facts.post_place[post], user, time))
    return replace(
        facts,
        user=user[order].astype(np.int32),
        post=post[order].astype(np.int32),
        time=time[order],
        action=np.full(len(order), VIEW, np.int8),
        target=target[order].astype(np.int8),
    )


def fit_choice_weights(drawn: Facts, fitted: Sequence[Components]) -> Floats:
    """Return the components' weights, float64 (components,): in equal spread, as much as later likes ask.

    A component that does not pay alone, by `LEAST_Z`, has 0. The others are added in equal spread,
    since slates tell hot posts from cold ones and little of which hot one is whose: weights of each one's
    own went to recency, and lists of all posts were worse. How much the sum weighs makes those likes
    likeliest. The chance that a session's like fell on this of its posts is the softmax of their scores. A
    session counts as the root of its likes: one long evening tells less than as many short ones.

    Args:
        drawn: What `draw_slates` returned.
        fitted: Components as of the moment before each period.

    Source: McFadden, Conditional logit analysis of qualitative choice behavior, 1974.
    """
    on = [NAMES.index(name) for name in OF_CHOICES]
    scores, session, n_sessions = [], [], 0
    bounds = np.searchsorted(drawn.time, [components.as_of_s for components in fitted], side="right")
    for components, low, high in zip(fitted, bounds, (*bounds[1:], len(drawn.time)), strict=True):
        scores.append(components.scores(drawn.user[low:high], drawn.post[low:high])[:, on])
        number, _ = positions(drawn.user[low:high], drawn.time[low:high])
        session.append(number + n_sessions)
        n_sessions += int(number.max(initial=-1)) + 1
    liked, every = drawn.target == 1, np.concatenate(session)
    columns, spread = _scale(np.concatenate(scores), every, liked)
    pays = _pay_alone(columns, liked, every)
    together = columns @ pays.astype(np.float64)
    weights = np.zeros(len(NAMES))
    weights[on] = _maximise_likelihood(together, liked, every) * pays / spread
    return weights


def _draw_period(
    facts: Facts, begin_s: int, end_s: int, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints, Ints]:
    """Return user, post, time and target of one period's slates."""
    n_posts, place = len(facts.posts), facts.post_place
    low, high = np.searchsorted(facts.time, [begin_s, end_s], side="right")
    pair = facts.user[:high].astype(np.int64) * n_posts + facts.post[:high]
    before = np.unique(pair[:low])
    liked = low + np.flatnonzero((facts.target[low:high] == 1) & ~np.isin(pair[low:], before))
    _, first = np.unique(pair[liked], return_index=True)
    liked = liked[first]
    liked = liked[np.lexsort((place[facts.post[liked]], facts.user[liked], facts.time[liked]))]
    warm = np.bincount(facts.user[:low], minlength=len(facts.users))[facts.user[liked]] > 0
    liked = liked[warm] if warm.any() else liked
    if facts.weight is not None and len(liked):
        relevance = _heaviest(pair[low:high], facts.weight[low:high], pair[liked])
        liked = liked[np.sort(rng.choice(len(liked), len(liked), p=relevance / relevance.sum()))]
    if len(liked) > MOST_LIKED:
        liked = liked[np.sort(rng.choice(len(liked), MOST_LIKED, replace=False))]
    there = np.argsort(place)[np.unique(place[facts.post[:high]])]
    user = np.repeat(facts.user[liked].astype(np.int64), N_UNTAKEN)
    post = there[rng.integers(0, len(there), len(user))]
    untaken = ~np.isin(user * n_posts + post, pair)
    return (
        np.concatenate([facts.user[liked].astype(np.int64), user[untaken]]),
        np.concatenate([facts.post[liked].astype(np.int64), post[untaken]]),
        np.concatenate([facts.time[liked], np.repeat(facts.time[liked], N_UNTAKEN)[untaken]]),
        np.concatenate([np.ones(len(liked), np.int64), np.zeros(int(untaken.sum()), np.int64)]),
    )


def _heaviest(pair: Ints, weight: Floats32, wanted: Ints) -> Floats:
    """Return the greatest weight of each wanted pair's events, float64; ones where all weigh nothing."""
    pairs, of = np.unique(pair, return_inverse=True)
    most = np.zeros(len(pairs))
    np.maximum.at(most, of, weight)
    found = most[np.searchsorted(pairs, wanted)]
    return found if found.any() else np.ones(len(found))


def _scale(columns: Floats, session: Ints, liked: Bools) -> tuple[Floats, Floats]:
    """Return the columns over their spread inside sessions, and that spread; one without any is zeros.

    It is that of the posts that were not liked: few scores of liked ones, far above all, would hide the rest.
    """
    others = centre(columns[~liked], session[~liked])
    spread = np.sqrt((others**2).mean(axis=0)) if len(others) else np.zeros(columns.shape[1])
    silent = spread < LEAST_SPREAD
    spread[silent] = 1.0
    return np.where(silent, 0.0, centre(columns, session) / spread), spread


def _pay_alone(columns: Floats, liked: Bools, session: Ints) -> Bools:
    """Mark the columns that the first grain of a weight makes likelier, by `LEAST_Z` standard errors.

    Source: Rao's score test; whole weights of one heavy-tailed column alone need not settle.
    """
    n_likes, size = np.bincount(session, liked), np.maximum(np.bincount(session), 1)
    centred, root = centre(columns, session), np.sqrt(np.maximum(n_likes, 1))
    slope = (liked / root[session]) @ centred
    information = (np.sqrt(n_likes) / size)[session] @ centred**2
    return np.asarray((slope > 0) & (slope >= LEAST_Z * np.sqrt(information)), np.bool_)


def _maximise_likelihood(column: Floats, liked: Bools, session: Ints) -> float:
    """Return the weight of greatest likelihood, at least 0, a little shrunk towards 0.

    The slope falls with the weight, so its zero is looked for between bounds: Newton's steps from heavy tails
    can go to and fro for ever.
    """
    n_likes = np.bincount(session, liked)
    counted = np.sqrt(np.maximum(n_likes, 1))[session]
    share = float((liked / counted) @ column)

    def slope(weight: float) -> float:
        chance = _softmax(weight * column, session)
        return share - float((np.sqrt(n_likes)[session] * chance) @ column) - weight / PRIOR_SD**2

    if slope(0.0) <= 0:
        return 0.0
    most = 1.0
    while slope(most) > 0:
        most *= 2
    return float(optimize.brentq(slope, 0.0, most, xtol=WEIGHT_TOLERANCE))


def _softmax(scores: Floats, session: Ints) -> Floats:
    highest = np.full(int(session.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(highest, session, scores)
    raised = np.exp(scores - highest[session])
    return np.asarray(raised / np.bincount(session, raised)[session], np.float64)
