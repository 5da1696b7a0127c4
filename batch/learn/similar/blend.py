"""Candidates of each post, by likes and by text, in one order: the weight of the text alone is chosen."""

from dataclasses import dataclass

import numpy as np

from batch.arrays import AnyInts, Floats32, Ints, Ints32
from batch.learn.similar.likes import Together
from batch.learn.similar.nearest import SCALE, read_rows
from batch.learn.similar.texts import likeness

POSTS_AT_ONCE = 2_000  # whose candidates are ordered at a time: 400,000 at most, some 250 MB with their texts
# Of likes and of text, whole numbers; the other part decides between what is alike by one that alone counts.
WEIGHTS = ((1, 0), (300, 1), (100, 1), (30, 1), (10, 1), (3, 1), (1, 1), (1, 3), (1, 10), (0, 1))
USUAL = (100, 1)  # unless others are clearly better: MovieLens' best, see docs/quality.md

Weights = tuple[int, int]  # of likes and of text


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is like what.

    Attributes:
        together: Posts liked together.
        alike: int32 (posts, any). Posts of like texts, -1 fills.
        vectors: float32 (posts, factors). Of length 1, of texts or embeddings.
    """

    together: Together
    alike: Ints32
    vectors: Floats32

    def rank(self, posts: AnyInts, weights: Weights, n: int) -> Ints32:
        """Return some posts' neighbours, int32 (of them, n), best first, -1 fills; ties to the lower row.

        Args:
            posts: int (any,). Rows of posts, distinct.
            weights: Of likes and of text.
            n: Neighbours of a post.
        """
        found = np.full((len(posts), n), -1, np.int32)
        for low in range(0, len(posts), POSTS_AT_ONCE):
            some = self.of(posts[low : low + POSTS_AT_ONCE])
            order = np.lexsort((some.other, -some.scores(weights), some.row))
            row, other = some.row[order], some.other[order]
            place = np.arange(len(row)) - np.searchsorted(row, row, side="left")
            kept = place < n
            found[low + row[kept], place[kept]] = other[kept]
        return found

    def by_likes(self, posts: AnyInts, n: int) -> Ints:
        """Return the same by likes alone, int64 (of them, n); where those say nothing, nothing is."""
        return read_rows(self.together.keys_of(posts), len(self.vectors))[:, :n]

    def of(self, posts: AnyInts) -> "Pairs":
        """Return all candidates of some posts, each once."""
        n_posts, keys = len(self.vectors), self.together.keys_of(posts)
        by_likes, by_text = read_rows(keys, n_posts), self.alike[posts]
        own = np.arange(len(posts))[:, None] * n_posts
        found = np.union1d((own + by_likes)[by_likes >= 0], (own + by_text)[by_text >= 0])
        row, other, like = found // n_posts, found % n_posts, np.zeros(len(found), np.int64)
        like[np.searchsorted(found, (own + by_likes)[keys >= 0])] = keys[keys >= 0] // n_posts
        return Pairs(row, other, like, likeness(self.vectors[posts][row], self.vectors[other]))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Posts and their candidates, int64 (pairs,) each, by post and then by candidate, both ascending.

    Attributes:
        row: Row of a post among those asked for.
        other: Row of the candidate among all.
        like: How alike by who liked both, 0..SCALE.
        text: How alike by text, 0..SCALE.
    """

    row: Ints
    other: Ints
    like: Ints
    text: Ints

    def scores(self, weights: Weights) -> Ints:
        """Return int64 (pairs,): higher is nearer; of what is alike so, both parts together decide."""
        return (weights[0] * self.like + weights[1] * self.text) * (2 * SCALE + 1) + self.like + self.text
