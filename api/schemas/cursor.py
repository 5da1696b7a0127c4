"""How a cursor, the place where a page begins, is read from text."""

import re

from api.feed import Cursor
from api.schemas.value import INT64

CURSOR = re.compile(r"[0-9]{1,18}\.-?[0-9]{1,18}(?:\.-?[0-9]{1,19}){2}\.[0-9]{1,9}")


def read_cursor(text: str) -> Cursor:
    """Read what an earlier page named as `next`.

    Raises:
        ValueError: It is no cursor.

    >>> read_cursor(str(Cursor(42, 1640358100, 200, 1640359000, 10)))
    Cursor(generation=42, created_at_s=1640358100, user_id=200, at_s=1640359000, start=10)
    """
    if CURSOR.fullmatch(text):
        cursor = Cursor(*map(int, text.split(".")))
        if cursor.user_id in INT64 and cursor.at_s in INT64:
            return cursor
    raise ValueError(
        f"cursor={text[:60]!r} is not a cursor: give the `next` of the page before, as it stands"
    )
