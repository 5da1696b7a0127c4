"""Posts that a user has liked and that are like another one: what a list may be understood by. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Evidence(NamedTuple):
    """A liked post, and how near it is: by its neighbours or by the other post's."""

    post: int
    near: int


def find_evidence(
    post: int, liked: Sequence[int], similar: Mapping[int, Sequence[int]], n: int
) -> list[Evidence]:
    """Return the liked posts that are nearest to a post, nearest first; ties go to the lower number.

    Args:
        post: Its number.
        liked: What the user liked.
        similar: Posts' neighbours, nearest first; at least those of `post` and of the liked ones.
        n: How many at most.

    >>> find_evidence(1, [2, 3, 4], {1: [9, 3], 2: [1], 4: [8]}, 5)
    [Evidence(post=2, near=1), Evidence(post=3, near=2)]
    """
    found = []
    for other in dict.fromkeys(liked):
        places = [
            [*similar.get(one, ())].index(two) + 1
            for one, two in ((post, other), (other, post))
            if two in similar.get(one, ())
        ]
        if places and other != post:
            found.append(Evidence(other, min(places)))
    return sorted(found, key=lambda one: (one.near, one.post))[:n]
