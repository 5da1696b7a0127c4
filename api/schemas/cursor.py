"""Where a page begins, and how that is written and read."""

import re
from dataclasses import dataclass

from api.schemas.value import INT64

CURSOR = re.compile(r"[0-9]{1,18}\.-?[0-9]{1,18}(?:\.-?[0-9]{1,19}){2}\.[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: at a place in the order that one generation gives a user at a time.

    >>> read_cursor(str(Cursor(42, 1640358100, 200, 1640359000, 10)))
    Cursor(generation=42, created_at_s=1640358100, user_id=200, at_s=1640359000, start=10)
    """

    generation: int
    created_at_s: int
    user_id: int
    at_s: int
    start: int

    def __str__(self) -> str:
        """Write as text that needs no escape in a URL."""
        return f"{self.generation}.{self.created_at_s}.{self.user_id}.{self.at_s}.{self.start}"


def read_cursor(text: str) -> Cursor:
    """Read what an earlier page named as `next`.

    Raises:
        ValueError: It is no cursor.
    """
    if CURSOR.fullmatch(text):
        cursor = Cursor(*map(int, text.split(".")))
        if cursor.user_id in INT64 and cursor.at_s in INT64:
            return cursor
    raise ValueError(
        f"cursor={text[:60]!r} is not a cursor: give the `next` of the page before, as it stands"
    )
