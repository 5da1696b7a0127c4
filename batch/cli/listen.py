"""Who listens to the log of a command: notices to people, metrics for Prometheus, records for MLflow."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.settings import Settings


@contextmanager
def notified(settings: "Settings") -> Iterator[None]:
    """Send notices of what the block logs to the addresses of ALMANAC_NOTICES and its file; none: do nothing.

    Raises:
        LookupError: There are addresses, and apprise is not installed.
        ValueError: An address is none, or the file cannot be read.
    """
    from batch.notices.addresses import read_addresses

    addresses = read_addresses(settings)
    if not addresses:
        yield
        return
    from batch.bound import read_memory_bound
    from batch.extras import require_extra
    from batch.notices.memory import Memory
    from batch.notices.rules import Rules
    from batch.notices.sender import Notices

    require_extra("apprise", "notices")
    from batch.notices.deliver import connect_apprise

    targets = connect_apprise(addresses)
    rules = Rules.of(settings, read_memory_bound())
    with _listening(Notices(targets, rules, Memory.read(settings.state_dir / "notices.json"))):
        yield


@contextmanager
def tracked(settings: "Settings") -> Iterator[None]:
    """Tell ALMANAC_TRACKING of runs that the block logs, and of what it makes current; none: do nothing.

    Raises:
        LookupError: There is one, and MLflow is not installed.
    """
    if not settings.tracking.get_secret_value():
        yield
        return
    from batch.extras import require_extra
    from batch.tracking.listener import Tracker

    require_extra("mlflow", "track")
    with _listening(Tracker(settings)):
        yield


@contextmanager
def watched(settings: "Settings", url: str) -> Iterator[None]:
    """Show metrics at ALMANAC_METRICS_PORT and look at what is served, for these and for notices.

    Raises:
        ValueError: The port cannot be had.
    """
    from batch.bound import read_memory_bound
    from batch.jobs.watch import watching

    with ExitStack() as stack:
        if settings.metrics_port:
            from batch.metrics import BatchMetrics, scraped

            metrics = BatchMetrics(settings, read_memory_bound())
            stack.enter_context(scraped(metrics, settings.metrics_host, settings.metrics_port))
            stack.enter_context(_listening(metrics))
        if settings.metrics_port or settings.notices.get_secret_value() or settings.notices_file:
            stack.enter_context(watching(settings, url))
        yield


@contextmanager
def _listening(handler: logging.Handler) -> Iterator[None]:
    """Let a handler hear INFO and above, whatever a terminal shows; close it afterwards."""
    root = logging.getLogger()
    before, levels = root.level, [(other, other.level) for other in root.handlers]
    for other, level in levels:
        other.setLevel(max(level, before))
    root.setLevel(min(before, logging.INFO))
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        for other, level in levels:
            other.setLevel(level)
        handler.close()
