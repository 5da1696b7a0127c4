"""Batches of a database come in their order, and what breaks off breaks off at its place."""

import threading
from collections.abc import Iterator

import pytest

from batch.data.tables.database import _ahead


def counting(n: int, got: list[int]) -> Iterator[int]:
    """Yield some numbers, telling which were asked for, then fail."""
    for number in range(n):
        got.append(number)
        yield number
    raise OSError("the server has gone")


def test_items_come_in_order_and_then_the_error() -> None:
    found: list[int] = []
    items = _ahead(counting(5, []))

    found += [next(items) for _ in range(5)]
    with pytest.raises(OSError, match="the server has gone"):
        next(items)

    assert found == [0, 1, 2, 3, 4]


def test_one_item_is_got_ahead_and_no_thread_is_left_where_nobody_wants_more() -> None:
    got: list[int] = []
    before = threading.active_count()
    items = _ahead(counting(5, got))

    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]

    assert got == [0, 1]
    assert threading.active_count() == before
