"""Being told to stop: by SIGTERM or Ctrl-C, also where a shell that started us ignores the latter."""

import signal
from queue import SimpleQueue


def told_to_stop() -> "SimpleQueue[None]":
    """Return what holds an item from the first SIGTERM or SIGINT on; `get` waits for it.

    A handler may come while its thread holds any lock, so it may do little: this queue's `put` may be called
    there, while an event's `set` could wait for a lock that the interrupted code holds.
    """
    told: SimpleQueue[None] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.put(None))
    return told
