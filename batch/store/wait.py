"""The one wait loop: ask again and again until something holds."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

T = TypeVar("T")

ASK_EVERY_S = 0.02


def wait_until(holds: Callable[[], T], seconds: float) -> T:
    """Return the first true value of `holds`, which is called at once and again every 20 ms.

    Returns:
        Its last value, a false one, when none was true within `seconds`.

    >>> wait_until(iter([0, 0, 7]).__next__, 1), wait_until(lambda: 0, 0)
    (7, 0)
    """
    ask = Retrying(
        retry=retry_if_result(lambda value: not value),
        wait=wait_fixed(ASK_EVERY_S),
        stop=stop_after_delay(seconds),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    return ask(holds)
