"""Profiles: how fields become the signature, or the segment, whose list an unknown user gets.

What may live here: pure functions over texts. The batch names known users by them, the API unknown ones.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

Fields = Mapping[str, str]  # of a profile, by column
Bins = dict[str, list[str] | list[float]]  # column to its frequent values, or to ascending edges of numbers

MISSING = "_"  # stands in a signature for a field that nobody gave


class BadProfile(ValueError):
    """A field has a value that its column cannot have."""


def signature(bins: Bins, fields: Fields) -> str:
    """Name a profile: a part a column, columns ascending, joined by dots.

    Of a column with frequent values the value's place among them, or the number of them for any other value;
    of a column of numbers how many edges lie at or below. Fields that are no column do not count.

    Raises:
        BadProfile: A column of numbers is given something else.

    >>> bins: Bins = {"age": [20.0, 30.0], "os": ["iOS", "Android"]}
    >>> signature(bins, {"age": "25", "os": "BeOS"}), signature(bins, {"os": "iOS", "planet": "Mars"})
    ('1.2', '_.0')
    """
    return ".".join(part(name, bins[name], fields.get(name)) for name in sorted(bins))


def part(name: str, bins: Sequence[str] | Sequence[float], text: str | None) -> str:
    """Return one column's part of a signature; see `signature`.

    Raises:
        BadProfile: A column of numbers is given something else.
    """
    if text is None:
        return MISSING
    edges = [edge for edge in bins if not isinstance(edge, str)]
    if edges:
        return str(bisect_right(edges, _number(name, text)))
    values = list(bins)
    known = plain(text)
    return str(values.index(known) if known in values else len(values))


def segment(by: Sequence[str], fields: Fields) -> str | None:
    """Name the segment of a profile; None where a field is missing or there are no segments.

    >>> segment(("gender", "os"), {"gender": "1.0", "os": "iOS"}), segment(("gender",), {"os": "iOS"})
    ('gender=1,os=iOS', None)
    """
    if not by or not fields.keys() >= set(by):
        return None
    return ",".join(f"{name}={plain(fields[name])}" for name in by)


def plain(text: str) -> str:
    """Write a whole number without its fraction, as columns with gaps hold it; other text as it is.

    >>> plain("3.0"), plain("3.5"), plain("Moscow")
    ('3', '3.5', 'Moscow')
    """
    whole, dot, fraction = text.partition(".")
    is_whole = dot and whole.removeprefix("-").isdecimal() and fraction and not fraction.strip("0")
    return whole if is_whole else text


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadProfile(f"profile={name}={text[:40]!r} is not a number, as {name} is")
    return value
