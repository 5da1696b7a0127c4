"""One user out of the store's keys that are no generation's: what they saw and liked, live events."""

from collections.abc import Callable, Iterable, Sequence
from typing import cast

from batch.publish.ledger.ledger import Ledger

CHUNK = 1000  # entries of the stream, or keys, a round trip

Entry = tuple[bytes, dict[bytes, bytes]]


def forget_sets(ledger: Ledger, forms: Sequence[str]) -> int:
    """Remove what a user saw and liked, by their canonical ids; return how many sets that were."""
    keys = ledger.keys
    kinds = (keys.seen, keys.likes, keys.seen_live, keys.likes_live)
    return ledger.client.unlink(*(key(form) for key in kinds for form in forms))


def forget_stream(ledger: Ledger, is_gone: Callable[[str], bool]) -> tuple[int, list[str]]:
    """Remove a user's entries from the stream; return how many they were, and the ids of their events."""
    client, stream, first, n_gone = ledger.client, ledger.keys.events(), "-", 0
    event_ids: list[str] = []
    while entries := cast("list[Entry]", client.xrange(stream, min=first, count=CHUNK)):
        own = [(entry, fields) for entry, fields in entries if is_gone(fields.get(b"user", b"").decode())]
        if own:
            n_gone += client.xdel(stream, *(entry for entry, _ in own))
            event_ids += [fields[b"id"].decode() for _, fields in own if b"id" in fields]
        first = f"({entries[-1][0].decode()}"
    return n_gone, event_ids


def forget_notes(ledger: Ledger, event_ids: Iterable[str]) -> int:
    """Remove the notes of events: an event's id may name the user; return how many were there."""
    names, n_gone = [ledger.keys.event(event_id) for event_id in event_ids], 0
    for low in range(0, len(names), CHUNK):
        n_gone += ledger.client.unlink(*names[low : low + CHUNK])
    return n_gone
