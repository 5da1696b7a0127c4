"""Shown posts: later sessions' impressions in the order of every ranking, with and without their place."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batch.data.facts import Facts
from batch.evaluate.contest import OURS
from batch.evaluate.metrics import CUTS, Floats, Hits, Ints, pairs_won
from batch.evaluate.nightly import Line, shown
from batch.evaluate.own import Trained, said
from batch.evaluate.results import Column, Columns, of_chance, of_hits
from batch.evaluate.section import Tested, impressions
from batch.learn.baselines.recommender import Fitted
from batch.learn.split import Split

AUC = "auc_in_session"
AS_SHOWN = "as_shown"
RANDOM = "random"
PLACED, FIXED = f"{OURS}_with_position", f"{OURS}_position_fixed"
MOST_USERS = 20_000  # whose sessions count: it bounds memory, intervals are narrow by then
FEW = (AUC, "hitrate_at_5", "ndcg_at_10")  # by segment and by warmth


@dataclass(frozen=True, slots=True)
class Shown:
    """What a split's long enough sessions showed, in a random order; see `evaluate.shown`.

    Attributes:
        event: int64 (n,). Row in the facts.
        session: int64 (n,). Number, 0 on.
        position: int64 (n,). Place in the session, 0 first.
        user: int64 (n,). Row.
        post: int64 (n,). Row.
        liked: bool (n,).
        owner: int64 (sessions,). Row of each session's user.
    """

    event: Ints
    session: Ints
    position: Ints
    user: Ints
    post: Ints
    liked: npt.NDArray[np.bool_]
    owner: Ints

    @classmethod
    def of(
        cls,
        facts: Facts,
        split: Split,
        seed: int,
        users: npt.NDArray[np.bool_] | None = None,
        most: int = MOST_USERS,
    ) -> "Shown | None":
        """Find it, of all users or of some; None where there is no session of ten impressions or more.

        Of more users than `most`, so many drawn at random count.
        """
        rng, (event, session, position) = np.random.default_rng(seed), shown(facts, split, seed)
        some = np.ones(len(facts.users), np.bool_) if users is None else users
        came = np.unique(facts.user[event[some[facts.user[event]]]])
        if not len(came):
            return None
        drawn = np.zeros(len(facts.users), np.bool_)
        drawn[came if len(came) <= most else rng.choice(came, most, replace=False)] = True
        kept = drawn[facts.user[event]]
        event, session, position = event[kept], session[kept], position[kept]
        _, number = np.unique(session, return_inverse=True)
        user, post = facts.user[event].astype(np.int64), facts.post[event].astype(np.int64)
        owner = np.empty(int(number.max()) + 1, np.int64)
        owner[number] = user
        liked = np.equal(facts.target[event], 1)
        return cls(event, number.astype(np.int64), position, user, post, liked, owner)


def sessions(
    made: Trained, peers: dict[str, Fitted], split: Split, what: Shown, lines: dict[str, Line]
) -> Tested:
    """Rank what the split's sessions showed.

    `almanac` is the published model, which knows no place. Trained with the place in the session among its
    features it is shown twice: told the places, which nobody knows beforehand (`almanac_with_position`), and
    as if all came first (`almanac_position_fixed`), which is how such a model would have to be served.
    `random` is exact, `as_shown` the old feed's order.

    Args:
        made: Ours, trained before the split.
        peers: Others, trained on the same.
        split: Whose sessions count.
        what: Those sessions.
        lines: Further scores, by name.
    """
    facts = made.facts
    scores = {**_ours(made, what), AS_SHOWN: -what.position.astype(np.float64)}
    scores |= {name: peer.pairs(what.user, what.post) for name, peer in peers.items()}
    ids = facts.user_ids[what.user], facts.post_ids[what.post], facts.time[what.event]
    scores |= {name: line(*ids) for name, line in lines.items()}
    rankings = {name: columns(what, values) for name, values in scores.items()} | {RANDOM: chance(what)}
    return Tested(rankings, what.owner, impressions(facts, split.test_from_s)[what.owner], len(what.event))


def _ours(made: Trained, what: Shown) -> dict[str, Floats]:
    x, additive, placed = made.snapshot(what.event), made.additive(what.event), made.placed()
    told = np.column_stack([x, what.position.astype(np.float32)])
    first = np.column_stack([x, np.zeros(len(x), np.float32)])
    return {
        OURS: additive + said(made.model.booster(), x),
        PLACED: additive + said(placed, told),
        FIXED: additive + said(placed, first),
    }


def columns(what: Shown, scores: Floats) -> Columns:
    """Return every metric of each session, its impressions in the order of the scores."""
    won, pairs = pairs_won(what.session, scores, what.liked)
    hits = Hits.of_sessions(what.session, scores, what.liked, max(CUTS))
    return {AUC: Column(won, pairs), **of_hits(hits)}


def chance(what: Shown) -> Columns:
    """Return the same as expected of a random order, exact."""
    n = np.bincount(what.session).astype(np.int64)
    likes = np.bincount(what.session[what.liked], minlength=len(n)).astype(np.int64)
    pairs = (likes * (n - likes)).astype(np.float64)
    return {AUC: Column(pairs / 2, pairs), **of_chance(n, likes)}
