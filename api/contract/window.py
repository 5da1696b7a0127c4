"""When a post may be answered: from a time on, before another one, each of which may be open.

What may live here: how a window is written and read, and which times it holds. No I/O, no clock.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_WRITTEN = re.compile(rb"(-?[0-9]{1,19})?,(-?[0-9]{1,19})?")


class Window(NamedTuple):
    """The times at which a post may be answered: `from_s` <= time < `to_s`, epoch seconds; None is open."""

    from_s: int | None = None
    to_s: int | None = None

    def holds_at(self, at_s: int) -> bool:
        """Say whether the post may be answered for a time.

        >>> [Window(10, 12).holds_at(at_s) for at_s in (9, 10, 11, 12)], Window().holds_at(0)
        ([False, True, True, False], True)
        """
        return (self.from_s is None or self.from_s <= at_s) and (self.to_s is None or at_s < self.to_s)


Windows = Mapping[int, Window]  # by posts' numbers; a post that is not there may be answered at any time


def is_closed(windows: Windows, post: int, at_s: int) -> bool:
    """Say whether a post may not be answered for a time.

    >>> [is_closed({7: Window(10, None)}, post, 9) for post in (7, 8)]
    [True, False]
    """
    window = windows.get(post)
    return window is not None and not window.holds_at(at_s)


def find_closed(windows: Windows, posts: Iterable[int], at_s: int) -> list[int]:
    """Return those of some posts that may not be answered for a time.

    >>> find_closed({7: Window(10, None)}, [7, 8], 9)
    [7]
    """
    return [post for post in posts if post in windows and not windows[post].holds_at(at_s)]


def encode_window(from_s: int | None, to_s: int | None) -> bytes:
    """Write a window as its two times with a comma between; an open side is empty.

    >>> encode_window(1640390400, 1640394000), encode_window(None, 1640394000), encode_window(-5, None)
    (b'1640390400,1640394000', b',1640394000', b'-5,')
    """
    begin, end = ("" if time_s is None else str(time_s) for time_s in (from_s, to_s))
    return f"{begin},{end}".encode("ascii")


def decode_window(raw: bytes) -> Window:
    """Read what `encode_window` wrote.

    Raises:
        ValueError: The value is no window.

    >>> decode_window(b"10,12"), decode_window(b",12")
    (Window(from_s=10, to_s=12), Window(from_s=None, to_s=12))
    """
    read = _WRITTEN.fullmatch(raw)
    if read is None:
        raise ValueError(
            f"{raw[:40]!r} is no window: two epoch seconds with a comma between, each may be empty"
        )
    begin, end = (None if text is None else int(text) for text in read.groups())
    return Window(begin, end)
