"""How a time is read from text."""

import re
from datetime import datetime

from api.contract.buckets import epoch

TIMES = ["2021-12-20 00:00:00", "2021-12-20T00:00", "2021-12-20T03:00:00+03:00"]

_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,6})?)?)"
    r"(?P<zone>Z|[+ -][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.IGNORECASE,
)


def read_time(text: str, name: str = "time") -> int:
    """Read a time as epoch seconds; without a zone it is UTC.

    A space before the zone was a `+` that the client did not escape.

    Raises:
        ValueError: It is no such time; the message shows the forms allowed.

    >>> read_time("2021-12-20 00:00:00"), read_time("2021-12-20T00:00Z"), read_time("2021-12-20")
    (1639958400, 1639958400, 1639958400)
    >>> read_time("2021-12-20T03:00:00 03:00")
    1639958400
    """
    forms = "write 2021-12-20 00:00:00 or 2021-12-20T00:00, with a zone such as Z or +03:00 if it is not UTC"
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{name}={text[:40]!r} is not a time: {forms}")
    zone = (match["zone"] or "").upper().replace(" ", "+")
    try:
        return epoch(datetime.fromisoformat(f"{match['date']}T{match['clock'] or '00:00'}{zone}"))
    except ValueError as exc:
        raise ValueError(f"{name}={text[:40]!r} is no such time, {exc}: {forms}") from exc


def read_at(text: str) -> int:
    """Read a time as `read_time` does, for a parameter named `at`.

    Raises:
        ValueError: It is no such time.
    """
    return read_time(text, "at")
