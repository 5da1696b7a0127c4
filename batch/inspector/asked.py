"""What an address asks for: the values of its query, checked."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.datastructures import QueryParams

from api.contract.buckets import epoch, moment
from api.contract.ids import check_id
from api.contract.manifest import Manifest
from batch.inspector.wish import Wish
from batch.jobs.inspect import LIMIT

MOST = 100  # posts of a feed, as the API has it
FILTERS = ("topic", "not_topic", "filter", "exclude")
MOST_FILTERS, LONGEST_FILTER = 20, 256  # of a name; bytes: the API's own bounds
LONGEST_EXCLUDED = 4096
_REMEDIES = {"filter": "give a column, `=` and a value", "exclude": "give ids with commas between"}
LARGEST = 10**9  # a generation's number
EARLIEST, LATEST = datetime(1970, 1, 2), datetime(9000, 1, 1)  # noqa: DTZ001 - UTC, as all times here


def read_wish(query: QueryParams, variant: str, now_s: float) -> Wish:
    """Read whose feed is wanted, and when: at `at`, or `step` buckets after `from`; else now.

    Raises:
        ValueError: A value does not fit; the message names it.
    """
    user = query.get("user", "").strip()
    if query.get("step"):
        start_s, width_s = read_time(query, "from", now_s), read_whole(query, "width", 3600, 1, 86_400)
        at_s = start_s + width_s * read_whole(query, "step", 0, 0, 500)
    else:
        at_s = read_time(query, "at", now_s)
    return Wish(
        user_id=check_id(user) if user else "",
        at_s=at_s,
        limit=read_whole(query, "limit", LIMIT, 1, MOST),
        variant=query.get("variant", "").strip() or variant,
        beside=query.get("beside", "").strip(),
        generation=read_number(query, "generation") if query.get("generation", "").strip() else None,
        filters=tuple((name, value) for name in FILTERS for value in read_filters(name, query.getlist(name))),
    )


def read_filters(name: str, texts: Sequence[str]) -> list[str]:
    """Read filters of one name as requests to the API have them, each once; empty ones count as none.

    Raises:
        ValueError: One is too long or no column with its value, or they are too many.
    """
    found = [*dict.fromkeys(text for text in texts if text)]
    if len(found) > MOST_FILTERS:
        raise ValueError(f"{len(found)} of {name} are given, and {MOST_FILTERS} may be")
    for text in found:
        column, _, value = text.partition("=")
        longest = LONGEST_EXCLUDED if name == "exclude" else LONGEST_FILTER
        if len(text.encode(errors="surrogatepass")) > longest or (
            name == "filter" and not (column and value)
        ):
            remedy = _REMEDIES.get(name, "give a topic")
            raise ValueError(f"{name}={text[:40]!r} is none: {remedy}, of at most {longest} bytes")
    return found


def read_time(query: Mapping[str, str], name: str, default_s: float) -> int:
    """Read a time, UTC where it names no zone, as epoch seconds; the default where none is given.

    Raises:
        ValueError: It is no time.
    """
    text = query.get(name, "").strip()
    if not text:
        return int(default_s)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ValueError(f"{name}={text[:40]!r} is no time: give such as 2021-12-20T19:00") from exc
    if not EARLIEST <= at.replace(tzinfo=None) <= LATEST:
        raise ValueError(f"{name}={text[:40]!r} is outside the years 1970 to 9000")
    return epoch(at)


def read_whole(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """Read a whole number; the default where none is given.

    Raises:
        ValueError: It is none from `least` to `most`.
    """
    text = query.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdecimal() or not least <= int(text[:20]) <= most:
        raise ValueError(f"{name}={text[:40]!r} is no whole number from {least} to {most}")
    return int(text)


def read_id(query: Mapping[str, str], name: str) -> str:
    """Read an id that must be there.

    Raises:
        ValueError: It is missing, or none.
    """
    text = query.get(name, "").strip()
    if not text:
        raise ValueError(f"{name}= is missing: give an id")
    return check_id(text)


def read_number(query: Mapping[str, str], name: str) -> int:
    """Read a number that counts from 1, as generations' and runs' do.

    Raises:
        ValueError: It is missing, or none.
    """
    return read_whole({name: query.get(name, "").strip() or "none"}, name, 0, 1, LARGEST)


def describe(manifest: Manifest) -> dict[str, Any]:
    """Return in a few words what is served."""
    return {
        "generation": manifest.generation,
        "variant": manifest.variant,
        "as_of": moment(manifest.as_of_s).isoformat(),
        "users": manifest.counts.get("users"),
        "posts": manifest.counts.get("posts"),
    }
