"""Users who sleep: they have empty lists, so that they are answered from their segment's.

Empty lists that are alike take a tenth of the bytes of full ones, and say the segment. Readers need not know.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from api.contract.buckets import DAY_S
from api.contract.manifest import SLEEPERS
from batch.arrays import AnyInts, Bools
from batch.data.seen import SeenTimes
from batch.publish.generation import GenerationContent
from batch.score.ranked import RankedBlock


def find_asleep(content: GenerationContent, days: int) -> Bools:
    """Return bool (users,): who has seen and liked nothing new for so many days up to as_of; 0: nobody.

    Somebody else's lists are theirs: of those nobody sleeps.
    """
    n_users = len(content.user_ids)
    if not days or content.holds_seen:
        return np.zeros(n_users, np.bool_)
    since_s = content.as_of_s - days * DAY_S
    return ~(_is_active(content.views, since_s) | _is_active(content.likes, since_s))


def empty_lists(block: RankedBlock, asleep: Bools) -> RankedBlock:
    """Return a block without the lists of its sleepers, who are given for all users; a new one if any."""
    own = asleep[block.first : block.first + len(block.posts)]
    if not own.any():
        return block
    out = own[:, None, None]
    posts = np.where(out, -1, block.posts).astype(block.posts.dtype)
    return replace(block, posts=posts, scores=np.where(out, np.nan, block.scores))


def find_empty(counts: Mapping[str, int], posts: AnyInts) -> Bools:
    """Return bool (users,): whose lists, (users, buckets, depth) and -1 fills, are those of a sleeper.

    Where a generation's counts tell of no sleepers there are none, whatever the lists.
    """
    return np.asarray((posts < 0).all(axis=(1, 2)) & (counts.get(SLEEPERS, 0) > 0), np.bool_)


def _is_active(times: SeenTimes, since_s: int) -> Bools:
    found = np.zeros(times.n_users, np.bool_)
    found[times.user[times.time >= since_s]] = True
    return found
