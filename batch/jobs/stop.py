"""The signal to stop: SIGTERM or Ctrl-C, also where a shell that started us ignores the latter."""

import signal
from queue import SimpleQueue


def stop_signal() -> "SimpleQueue[None]":
    """Return a queue that holds an item from the first SIGTERM or SIGINT on; `get` waits for it.

    A handler may come while its thread holds any lock, so it may do little: this queue's `put` may be called
    there, while an event's `set` could wait for a lock that the interrupted code holds.
    """
    stop: SimpleQueue[None] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.put(None))
    return stop
