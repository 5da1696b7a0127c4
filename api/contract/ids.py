"""Ids: what facts and clients call users and posts, as texts, and the forms that writer and reader agree on.

An *id* is the world's; a post's *number* is ours: what stands in lists and seen sets, so that these stay
short. Where every post id is a whole number below 2³¹ the number is the id. Else the hash `ids` says which
id a number stands for, and `numbers` the other way round; a number without an entry stands for itself.
"""

import re
from typing import Literal

Kind = Literal["numbers", "text"]  # of all ids of a table: JSON numbers, or JSON strings

FEATURE = "ids"  # in a manifest's `needs`: a post's number is not its id, or ids are text
LARGEST_NUMBER = 2**53 - 1  # whole numbers up to here are exact in every JSON reader
NUMBERS = range(2**31)  # of posts
LONGEST = 256  # bytes of an id, UTF-8

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_WHOLE = re.compile(r"0|[1-9][0-9]{0,18}")
_HEX = "[0-9a-fA-F]"  # written out: twice as fast as to ignore case and repeat groups, 2026-11-29
_UUID = re.compile("-".join(f"{_HEX}{{{n}}}" for n in (8, 4, 4, 4, 12)))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")  # most ids: nothing to encode
_QUOTED = re.compile(r"[%{}\s\x00-\x1f\x7f-\x9f]")
_BYTE = re.compile(rb"%([0-9A-F]{2})")


def canonical(text: str, kind: Kind = "text") -> str:
    """Return the form of an id in which ids are compared.

    Numbers without sign and leading zeros; UUIDs (8-4-4-4-12 hexadecimal) in small letters; all else as is.

    >>> canonical("+007", "numbers"), canonical("+007"), canonical("6F9619FF-8B86-D011-B42D-00C04FC964FF")
    ('7', '+007', '6f9619ff-8b86-d011-b42d-00c04fc964ff')
    """
    if kind == "numbers" and _INTEGER.fullmatch(text):
        return str(int(text))
    return text.lower() if _UUID.fullmatch(text) else text


def check_id(text: str) -> str:
    """Return an id that facts, events and takedowns may bring.

    Raises:
        ValueError: It is empty, longer than 256 bytes of UTF-8, or holds a control character.
    """
    if not text or len(text.encode(errors="surrogatepass")) > LONGEST or _CONTROL.search(text):
        raise ValueError(f"{text[:40]!r} is not an id: 1 to {LONGEST} bytes without control characters")
    return text


def split_ids(text: str) -> list[str]:
    """Read ids with commas between, as a request has them; two commas are one of an id. Empty is none.

    Raises:
        ValueError: One of them can be no id.

    >>> split_ids("17,a,,b,2331")
    ['17', 'a,b', '2331']
    """
    parts = text.replace(",,", "\0").split(",") if text else []
    return [check_id(part.replace("\0", ",")) for part in parts]


def quote(text: str) -> str:
    """Write an id as it stands in keys: `%`, braces, blanks and control characters percent-encoded.

    >>> quote("a {b}%"), unquote(quote("a {b}%"))
    ('a%20%7Bb%7D%25', 'a {b}%')
    """
    if _PLAIN.fullmatch(text):
        return text
    return _QUOTED.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)


def unquote(text: str) -> str:
    """Read what `quote` wrote."""
    return _BYTE.sub(lambda found: bytes.fromhex(found[1].decode()), text.encode()).decode()


def as_json(text: str, kind: Kind) -> int | str:
    """Return an id as JSON has it: of a table of numbers a number of at most 64 bits, else a string.

    >>> as_json("17", "numbers"), as_json("17", "text"), as_json("9" * 20, "numbers")
    (17, '17', '99999999999999999999')
    """
    number = int(text) if kind == "numbers" and _INTEGER.fullmatch(text) else None
    return text if number is None or number.bit_length() > 63 else number  # what JSON readers can hold


def own_number(text: str) -> int | None:
    """Return the number of a post without an entry in the dictionary: its id, if that can be one.

    >>> own_number("17"), own_number("017"), own_number("2147483648")
    (17, None, None)
    """
    number = int(text) if _WHOLE.fullmatch(text) else -1
    return number if number in NUMBERS else None
