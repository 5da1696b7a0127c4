"""Read, decide, write: one transaction that is tried again if what it read has changed in between."""

from collections.abc import Callable, Iterable

import redis
from redis.client import Pipeline

Write = Callable[[Pipeline], object]
Decide = Callable[[Pipeline], Write]


def transact(client: redis.Redis, watched: Iterable[str], decide: Decide) -> None:
    """Let `decide` read and return what to queue, and carry that out only if no watched key has changed.

    Args:
        client: The store.
        watched: Keys that the decision rests on.
        decide: Reads through the pipeline, which answers at once, and returns the function that queues the
            commands. Called again whenever a watched key changed before they were carried out; what it
            raises ends the transaction with nothing written.
    """
    names = list(watched)
    with client.pipeline(transaction=True) as pipe:
        while True:
            try:
                pipe.watch(*names)  # type: ignore[no-untyped-call]
                write = decide(pipe)
                pipe.multi()
                write(pipe)
                pipe.execute()
            except redis.WatchError:
                continue
            return
