"""Facts to each post's neighbours: candidates by likes and by text, weighed by the next likes they name."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from batch.arrays import Bools, Floats, Floats32, Ints, Ints32
from batch.data.facts import Facts
from batch.learn.similar.blend import USUAL, WEIGHTS, Candidates, Weights
from batch.learn.similar.likes import Likes, find_liked_together
from batch.learn.similar.next_like import NextLikes
from batch.learn.similar.texts import find_alike, unit

HELD_OUT = 0.1  # of the likes, the last ones: they choose the weight
FEWEST_PAIRS = 100  # of likes that follow one another, to choose by


@dataclass(frozen=True, slots=True)
class Similar:
    """Each post's neighbours.

    Attributes:
        posts: int32 (posts, n). Rows of posts, nearest first, -1 fills; never the post itself.
        weights: Of likes and of text, whole numbers.
    """

    posts: Ints32
    weights: Weights

    @property
    def text_weight(self) -> float:
        """Return the share of the text, 0..1."""
        return self.weights[1] / sum(self.weights)


def find_similar(facts: Facts, space: Floats32, n: int, seed: int, offered: Bools | None = None) -> Similar:
    """Find each post's `n` neighbours from the facts there are.

    Work goes on in the order in which posts came, so that the same facts under other ids give the same; ties
    go to the post that came first, which is the lower id where ids are numbers.

    Args:
        facts: Events; all of them are read.
        space: float32 (posts, factors). What texts or embeddings are about, NaN rows where unknown.
        n: Neighbours of a post, 1 or more; fewer where fewer are like it at all.
        seed: Of what is drawn.
        offered: bool (posts,). Those that have neighbours and are some; None: all.
    """
    order, place = arrange(facts)
    likes, vectors = Likes.of(facts, place), unit(space[order])
    if offered is not None:
        likes, vectors = likes.of_posts(offered[order]), np.where(offered[order, None], vectors, 0)
    alike = find_alike(vectors, n, seed)
    weights = choose_weights(likes, alike, vectors)
    candidates = Candidates(find_liked_together(likes, len(order)), alike, vectors)
    found = candidates.rank(np.arange(len(order)), weights, n)
    rows = np.where(found < 0, -1, order[found]).astype(np.int32)
    return Similar(rows[place], weights)


def arrange(facts: Facts) -> tuple[Ints, Ints]:
    """Return the rows of posts in the order in which they came, and each row's place in it; int64 both."""
    came = facts.post_came if facts.post_came is not None else np.arange(len(facts.posts))
    order = np.argsort(came).astype(np.int64)
    return order, np.argsort(order).astype(np.int64)


def choose_weights(likes: Likes, alike: Ints32, vectors: Floats32) -> Weights:
    """Return the weights of likes and text whose neighbours name the held-out next likes earliest.

    The last tenth of the likes is held out; neighbours are made of what came before it. What is ahead of the
    usual weights by less than its standard error is no better than they are.
    """
    if not len(likes.time):
        return USUAL
    cut_s = int(np.quantile(likes.time, 1 - HELD_OUT, method="higher"))
    held = NextLikes.of(likes, cut_s)
    if len(held.next) < FEWEST_PAIRS:
        return USUAL
    before = find_liked_together(likes.before(cut_s), len(vectors))
    candidates = Candidates(before, alike, vectors)
    worth = np.stack(list(_reciprocal_ranks(candidates, held, likes)))
    best = int(np.argmax(worth.mean(axis=1)))
    ahead = worth[best] - worth[WEIGHTS.index(USUAL)]
    return WEIGHTS[best] if ahead.mean() > ahead.std() / np.sqrt(len(ahead)) else USUAL


def _reciprocal_ranks(candidates: Candidates, held: NextLikes, likes: Likes) -> Iterator[Floats]:
    """Yield for each of `WEIGHTS` one over the place of each pair's next like, 0 where it is no candidate.

    What the user had liked by then is passed over. No list is made: a place is how many are nearer.
    """
    asked, at = np.unique(held.previous, return_inverse=True)
    pairs, n = candidates.of(asked), len(held.next)
    begin = np.searchsorted(pairs.row, np.arange(len(asked) + 1))
    sizes = (begin[1:] - begin[:-1])[at]
    row = np.repeat(np.arange(n), sizes)
    entry = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes - begin[at], sizes)
    kept = ~held.had_liked(row, pairs.other[entry], likes)
    row, entry = row[kept], entry[kept]
    hit = np.flatnonzero(pairs.other[entry] == held.next[row])
    for weights in WEIGHTS:
        scores = pairs.scores(weights)[entry]
        target = np.full(n, np.iinfo(np.int64).max)
        target[row[hit]] = scores[hit]
        tied = (scores == target[row]) & (pairs.other[entry] < held.next[row])
        ahead = np.bincount(row[(scores > target[row]) | tied], minlength=n)
        worth = np.zeros(n)
        worth[row[hit]] = 1 / (1 + ahead[row[hit]])
        yield worth
