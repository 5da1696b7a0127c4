"""What every peer on torch does: draw from a seed, on so many threads, and leave torch as it was."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded(seed: int, threads: int) -> Iterator[None]:
    """Let torch draw from a seed and use so many threads, 0: as many as it did, until the block ends."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)
