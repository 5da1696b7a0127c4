"""What a post is inside the store: a number, so that lists and seen sets stay short whatever ids look like.

A post's number is its entry in the store's dictionary if it has one, else its id, if that is a whole number
below 2³¹ that is no entry's. Any other post gets an entry: the lowest number that is free. The batch alone
writes entries, under its lease and before the generation that uses them, and never changes or removes one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count

import numpy as np
from redis.client import Pipeline

from api.contract.codec import decode
from api.contract.ids import own_number
from api.contract.keys import Keys
from batch.publish.generation import GenerationContent
from batch.publish.ledger.ledger import Ledger
from batch.store import read
from batch.store.lease import Lease

CHUNK = 1000  # entries a transaction, or a round trip: readers wait for none


def number_posts(ledger: Ledger, content: GenerationContent) -> GenerationContent:
    """Return the content with the numbers of its posts; nothing is written.

    Whoever calls holds the lease, so that nobody else numbers posts meanwhile. Where every post is its own
    number and the dictionary is empty, nothing is read but that.
    """
    entered = set(map(int, ledger.client.hkeys(ledger.keys.ids())))
    ids = content.post_names.canonical(content.post_ids)
    if not entered and all(own_number(post_id) is not None for post_id in ids):
        return replace(content, numbers=None)
    entries = _read_entries(ledger, ids) if entered else {}
    numbers = choose_numbers(ids, entries, entered, _numbers_kept(ledger))
    return replace(content, numbers=np.array(numbers, np.int64))


def choose_numbers(
    ids: Sequence[str], entries: Mapping[str, int], entered: Collection[int], kept: Collection[int]
) -> list[int]:
    """Return each post's number: its entry, else its id, else the lowest number that is free.

    Args:
        ids: Canonical ids of the posts.
        entries: Canonical id to number, of those posts that have an entry.
        entered: Numbers of all entries, other posts' too.
        kept: Numbers of posts in generations that are kept: not free either.

    >>> choose_numbers(["7", "sku-1", "0", "sku-2"], {"sku-2": 7}, {7}, kept={2})
    [1, 3, 0, 7]
    """
    own = {post_id: own_number(post_id) for post_id in ids if post_id not in entries}
    found = dict(entries) | {
        post_id: number for post_id, number in own.items() if number is not None and number not in entered
    }
    taken = {*found.values(), *entered, *kept}
    free = (number for number in count() if number not in taken)
    return [found[post_id] if post_id in found else next(free) for post_id in ids]


def write_numbers(ledger: Ledger, lease: Lease, content: GenerationContent) -> None:
    """Write the entries of posts whose number is not their id; those that are there as they should be stay.

    Raises:
        LeaseLost: It is another's turn; some entries are written, which harms nobody.
    """
    ids = content.post_names.canonical(content.post_ids)
    other = [row for row, number in enumerate(content.post_numbers.tolist()) if str(number) != ids[row]]
    for low in range(0, len(other), CHUNK):
        rows = other[low : low + CHUNK]
        numbers = [str(number) for number in content.post_numbers[rows].tolist()]
        spelled = content.post_names.spelled(content.post_ids[rows])
        there = ledger.client.hmget(ledger.keys.ids(), numbers)
        entries = [
            (number, text, ids[row])
            for number, text, row, before in zip(numbers, spelled, rows, there, strict=True)
            if before != text.encode()
        ]
        if entries:
            lease.commit(partial(_write, ledger.keys, entries))


def _write(keys: Keys, entries: Sequence[tuple[str, str, str]], pipe: Pipeline) -> None:
    """Queue entries: number, the id as it is spelled, and in canonical form."""
    pipe.hset(keys.ids(), mapping={number: spelled for number, spelled, _ in entries})
    pipe.hset(keys.numbers(), mapping={post_id: number for number, _, post_id in entries})


def _read_entries(ledger: Ledger, ids: Sequence[str]) -> dict[str, int]:
    """Return the numbers of those posts that have an entry, by canonical id."""
    found: dict[str, int] = {}
    for low in range(0, len(ids), CHUNK):
        some = ids[low : low + CHUNK]
        numbers = ledger.client.hmget(ledger.keys.numbers(), some)
        found |= {post_id: int(number) for post_id, number in zip(some, numbers, strict=True) if number}
    return found


def _numbers_kept(ledger: Ledger) -> set[int]:
    """Return the numbers of the posts of every generation that has not been retired."""
    kept = [number for number, state in ledger.states().items() if state != "retired"]
    catalogues = (decode(read.value(ledger.client, ledger.keys.catalogue(number))) for number in kept)
    return {post for catalogue in catalogues for post in catalogue}
