"""How plain values are read from text; a route may call these by hand."""

import re
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import unquote

from api.contract.buckets import epoch
from api.contract.facets import TOPIC, read_column, spell
from api.contract.ids import LONGEST, check_id, split_ids
from api.cursor import Cursor

INT64 = range(-(2**63), 2**63)
LIMITS = range(1, 101)
DEFAULT_LIMIT = 10
EXCLUDED_MOST = 1000
FIELDS_MOST, FIELD_LONGEST = 32, 200
FACETS_MOST, FACET_LONGEST = 20, 256
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
CURSOR = re.compile(
    r"([0-9]{1,18})\.(-?[0-9]{1,18})\.([A-Za-z0-9_.~-]+)\.(-?[0-9]{1,19})\.([0-9]{1,9})(\.f([0-9a-f]{16}))?"
    r"(\.p([0-9]{1,10}(?:-[0-9]{1,10}){0,89}))?"
)
TIMES = ["2021-12-20 00:00:00", "2021-12-20T00:00", "2021-12-20T03:00:00+03:00"]

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,6})?)?)"
    r"(?P<zone>Z|[+ -][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.IGNORECASE,
)


def read_user_id(text: str) -> str:
    """Read a user's id: any text, since whom no facts know is an unknown user.

    Raises:
        ValueError: It is empty.
    """
    if text:
        return text
    raise ValueError("id='' is not a user id: a text such as 200")


def read_post_id(text: str) -> str:
    """Read a post's id.

    Raises:
        ValueError: It can be none.
    """
    try:
        return check_id(text)
    except ValueError as exc:
        raise ValueError(f"post_id={exc}") from exc


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


def read_cursor(text: str) -> Cursor:
    """Read what an earlier page named as `next`.

    Raises:
        ValueError: It is no cursor.

    >>> page = Cursor(42, 1640358100, "a.b 1", 1640359000, 10, pinned=(17, 3))
    >>> read_cursor(str(page)) == page
    True
    """
    match = CURSOR.fullmatch(text)
    if match is not None and int(match[4]) in INT64:
        user_id = unquote(match[3].replace("~", "%"))
        pinned = tuple(map(int, match[9].split("-"))) if match[9] else ()
        place = (int(match[1]), int(match[2]), user_id, int(match[4]), int(match[5]))
        return Cursor(*place, match[7] or "", pinned)
    raise ValueError(
        f"cursor={text[:60]!r} is not a cursor: give the `next` of the page before, as it stands"
    )


def read_exclude(text: str) -> frozenset[str]:
    """Read post ids separated by commas; two commas are one of an id. Empty is none.

    Raises:
        ValueError: It is no such list, or longer than 1,000.

    >>> sorted(read_exclude("17,a,,b,2331"))
    ['17', '2331', 'a,b']
    """
    try:
        parts = split_ids(text)
        if len(parts) <= EXCLUDED_MOST:
            return frozenset(parts)
    except ValueError:
        pass
    raise ValueError(
        f"exclude={text[:40]!r} is not a list of posts: at most {EXCLUDED_MOST} ids of at most {LONGEST} "
        "bytes, such as 17,2331"
    )


def read_variant(text: str) -> str:
    """Read a variant's name.

    Raises:
        ValueError: It cannot be one.

    >>> read_variant("bold-2")
    'bold-2'
    """
    if NAME.fullmatch(text):
        return text
    raise ValueError(f"variant={text[:40]!r} is not a name: 1 to 64 letters, digits, `_`, `-` or `.`")


def read_profile(texts: Sequence[str]) -> dict[str, str]:
    """Read fields of a profile, each a column and its value.

    Raises:
        ValueError: One is no such field, a column comes twice, or they are too many or too long.

    >>> read_profile(["gender=1", "city=a=b"])
    {'gender': '1', 'city': 'a=b'}
    """
    fields: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value or len(text) > FIELD_LONGEST:
            raise ValueError(
                f"profile={text[:40]!r} is no field: a column, `=` and its value, such as profile=age=25, "
                f"in at most {FIELD_LONGEST} characters"
            )
        if name in fields:
            raise ValueError(f"profile={text[:40]!r} gives {name[:40]} twice")
        fields[name] = value
    if len(fields) > FIELDS_MOST:
        raise ValueError(f"a profile of {len(fields)} fields has more than {FIELDS_MOST}")
    return fields


def read_topics(texts: Sequence[str], name: str = "topic") -> list[str]:
    """Read topics as facets.

    Raises:
        ValueError: One is empty or too long, or they are too many.

    >>> read_topics(["tech", "a=b"])
    ['topic=tech', 'topic=a=b']
    """
    _refuse_many(texts, name)
    for text in texts:
        if not text or len(text.encode(errors="surrogatepass")) > FACET_LONGEST:
            raise ValueError(f"{name}={text[:40]!r} is no topic: a text of 1 to {FACET_LONGEST} bytes")
    return [spell(TOPIC, text) for text in texts]


def read_facets(texts: Sequence[str]) -> list[str]:
    """Read facets, each a column and a value of it.

    Raises:
        ValueError: One is no facet or too long, or they are too many.

    >>> read_facets(["brand=acme", "city=a=b"])
    ['brand=acme', 'city=a=b']
    """
    _refuse_many(texts, "filter")
    for text in texts:
        column = read_column(text)
        if (
            not column
            or len(text) < len(column) + 2
            or len(text.encode(errors="surrogatepass")) > FACET_LONGEST
        ):
            raise ValueError(
                f"filter={text[:40]!r} is no filter: a column, `=` and a value, such as filter=brand=acme, "
                f"in at most {FACET_LONGEST} bytes"
            )
    return list(texts)


def _refuse_many(texts: Sequence[str], name: str) -> None:
    if len(texts) > FACETS_MOST:
        raise ValueError(f"{name} is given {len(texts)} times and takes at most {FACETS_MOST} values")


def read_limit(text: str) -> int:
    """Read how many posts are wanted.

    Raises:
        ValueError: It is no integer, or outside 1..100.

    >>> read_limit("5")
    5
    """
    if _INTEGER.fullmatch(text) and int(text) in LIMITS:
        return int(text)
    raise ValueError(f"limit={text[:40]!r} is not a number of posts: an integer from 1 to 100, such as 10")
