"""Where a page of a feed begins, as the page before names it.

What may live here: the cursor and how it is written. No store, no clock.
"""

import re
from dataclasses import dataclass

_ESCAPED = re.compile(r"[^A-Za-z0-9_.-]")  # of a user's id


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: at a place in the whole order that one generation gives a user at a time.

    `created_at_s` tells the generation from another one of that number, in a store that began anew; `wish`
    is the digest of the filter whose order it is a place in, empty without one. `pinned` are the numbers of
    the posts that the first page had as pinned or drawn: later pages leave them out.
    """

    generation: int
    created_at_s: int
    user_id: str
    at_s: int
    start: int
    wish: str = ""
    pinned: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Write as text that needs no escape in a URL; `schemas/value.py` reads it.

        >>> str(Cursor(42, 1640358100, "200", 1640359000, 10)), str(Cursor(42, 1, "a b~", 2, 10))
        ('42.1640358100.200.1640359000.10', '42.1.a~20b~7E.2.10')
        >>> str(Cursor(42, 1640358100, "200", 1640359000, 10, "0123456789abcdef"))
        '42.1640358100.200.1640359000.10.f0123456789abcdef'
        >>> str(Cursor(42, 1640358100, "200", 1640359000, 10, pinned=(17, 3)))
        '42.1640358100.200.1640359000.10.p17-3'
        """
        user = _ESCAPED.sub(lambda found: "".join(f"~{byte:02X}" for byte in found[0].encode()), self.user_id)
        place = f"{self.generation}.{self.created_at_s}.{user}.{self.at_s}.{self.start}"
        wish = f".f{self.wish}" if self.wish else ""
        return place + wish + (f".p{'-'.join(map(str, self.pinned))}" if self.pinned else "")
