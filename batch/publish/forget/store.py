"""One user out of the store's keys that are no generation's: what they saw and liked, notes of events."""

from collections.abc import Iterable, Sequence
from importlib.resources import files

from batch.publish.ledger.ledger import Ledger

CHUNK = 1000  # keys a round trip
GONE_S = 600  # longer than the API tries to write an event

_RENEW = (files("batch.publish.forget") / "renew.lua").read_text("utf-8")


def forget_sets(ledger: Ledger, forms: Sequence[str]) -> int:
    """Remove what a user saw and liked, by their canonical ids; return how many sets that were.

    In a cluster an event of theirs may be recorded by now, and not be hidden yet: for some minutes nothing is
    written of them there.
    """
    keys, n_gone = ledger.keys, 0
    of_views, of_likes = (
        (keys.seen, keys.seen_live, keys.seen_old),
        (keys.likes, keys.likes_live, keys.likes_old),
    )
    kinds = (*of_views, *of_likes, keys.session)
    for form in forms:
        with ledger.client.pipeline(transaction=True) as pipe:
            if keys.in_cluster:
                pipe.set(keys.gone(form), 1, ex=GONE_S)
            pipe.unlink(*(key(form) for key in kinds))
            n_gone += pipe.execute()[-1]
    return n_gone


def forget_notes(ledger: Ledger, event_ids: Iterable[str]) -> int:
    """Remove the notes of events: an event's id may name the user; return how many were there."""
    names, n_gone = [ledger.keys.event(event_id) for event_id in event_ids], 0
    for low in range(0, len(names), CHUNK):
        n_gone += ledger.client.unlink(*names[low : low + CHUNK])
    return n_gone


def renew_streams(ledger: Ledger) -> None:
    """Let nothing remain of entries that were drained: the server keeps them in a node beside newer ones."""
    renew = ledger.client.register_script(_RENEW)
    for stream in (ledger.keys.events(), ledger.keys.exposures()):
        renew([stream])
