"""Protocol `next_like`: posts like the one that a user liked last; the next that they like is relevant."""

import numpy as np
from scipy import sparse

from batch.arrays import AnyInts, Ints
from batch.data.facts import Facts
from batch.evaluate import results
from batch.evaluate.metrics import CUTS, Hits
from batch.features.text import Texts
from batch.learn.baselines.neighbours import cosine, find_nearest
from batch.learn.similar.blend import Candidates
from batch.learn.similar.likes import Likes, find_liked_together
from batch.learn.similar.next_like import NextLikes
from batch.learn.similar.similar import arrange, choose_weights
from batch.learn.similar.texts import find_alike, unit
from batch.learn.split import Split

SIMILAR = "similar"  # what is published
DEPTH = 50  # neighbours of a post, of which the user had liked some
FEW: tuple[results.Metric, ...] = (("mrr", 10), ("recall", 10))  # by segment and by warmth


def measure_next_like(facts: Facts, texts: Texts, split: Split, seed: int) -> results.MeasuredLists | None:
    """Measure published neighbours beside each part of them alone, made of what lies before the split.

    A list is made for each like of the split by a user who had liked something before: of the post that they
    liked last, without what they had liked by then. `similar` is what is published; `liked_together` and
    `text` are its parts; `item_knn_cosine` is the peer's; `popular` what was liked most.

    Returns:
        None where no like follows another one.
    """
    order, place = arrange(facts)
    likes = Likes.of(facts.until(split.test_to_s - 1), place)
    held, before = NextLikes.of(likes, split.test_from_s), likes.before(split.test_from_s)
    if not len(held.next):
        return None
    vectors = unit(texts.space[order])
    alike = find_alike(vectors, DEPTH, seed)
    candidates = Candidates(find_liked_together(before, len(order)), alike, vectors)
    asked, row = np.unique(held.previous, return_inverse=True)
    most_liked = np.argsort(-np.bincount(before.post, minlength=len(order)), kind="stable")[: 2 * DEPTH]
    lists: dict[str, AnyInts] = {
        SIMILAR: candidates.rank(asked, choose_weights(before, alike, vectors), DEPTH)[row],
        "liked_together": candidates.by_likes(asked, DEPTH)[row],
        "text": alike[held.previous],
        "item_knn_cosine": _by_cosine(before, len(order))[held.previous],
        "popular": np.tile(most_liked, (len(row), 1)),
    }
    models = {name: _measure(held, some, likes) for name, some in lists.items()}
    past = results.past_impressions(facts, split.test_from_s)[held.user]
    return results.MeasuredLists(models, held.user, past)


def _measure(held: NextLikes, lists: AnyInts, likes: Likes) -> results.Columns:
    shown = held.pass_over(lists, likes)[:, : max(CUTS)]
    return results.order_columns(Hits.of_lists(shown, np.arange(len(shown)), held.next))


def _by_cosine(likes: Likes, n_posts: int) -> Ints:
    """Return each post's nearest by item kNN, int64 (posts, DEPTH), best first, -1 fills."""
    ones = np.ones(len(likes.post), np.float32)
    shape = (n_posts, int(likes.user.max(initial=-1)) + 1)
    near = find_nearest(cosine(sparse.csr_matrix((ones, (likes.post, likes.user)), shape)))
    post = np.repeat(np.arange(n_posts), np.diff(near.indptr))
    best = np.lexsort((near.indices, -near.data, post))
    rank = np.arange(len(post)) - near.indptr[post]
    kept = rank < DEPTH
    found = np.full((n_posts, DEPTH), -1, np.int64)
    found[post[kept], rank[kept]] = near.indices[best][kept]
    return found
