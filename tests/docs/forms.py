"""Whether what was printed has the form of what a page shows: the same words, numbers for numbers."""

import json
import re

_PIECE = re.compile(r"(?P<number>\d[\d.,:TZ+-]*\d|\d)|(?P<rest>…)|(?P<space>\s+)")
_NUMBER, _REST, _SPACE = r"-?\d[\d.,:TZ+-]*", r"[^\n]*", r"\s+"


def has_form(printed: str, shown: str) -> bool:
    r"""Say whether printed text has the form of shown text.

    A number or a time stands for any other, blanks for blanks, `…` for the rest of a line, a line of `…` for
    any lines. JSON has the same names and kinds of values, and may come after the head of an answer.

    >>> has_form('1) "generation"\n2) "17"\n', '1) "generation"\n2) "2"')
    True
    >>> has_form('1) "generation"\n(nil)\n', '1) "generation"\n2) "2"')
    False
    >>> has_form('[{"id": 7, "topic": "tech"}]', '[{"id": 3, "topic": "tv"}]')
    True
    >>> has_form('[]', '[{"id": 3, "topic": "tv"}]')
    False
    """
    theirs = _json(shown)
    if theirs is not None:
        return _kind(_json(printed.rpartition("\n\n")[2])) == _kind(theirs)
    lines = [_pattern(line) for line in shown.strip().splitlines()]
    pattern = "\n".join(r"(?:[^\n]*(?:\n|$))*?" if line is None else line + r"\s*" for line in lines)
    return re.fullmatch(pattern.replace("*?\n", "*?"), printed.strip()) is not None


def _pattern(line: str) -> str | None:
    """Return the regular expression of a line; None for any lines."""
    if line.strip() == "…":
        return None
    pattern, at = "", 0
    for piece in _PIECE.finditer(line.strip()):
        pattern += re.escape(line.strip()[at : piece.start()])
        pattern += {"number": _NUMBER, "rest": _REST, "space": _SPACE}[str(piece.lastgroup)]
        at = piece.end()
    return pattern + re.escape(line.strip()[at:])


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _kind(value: object) -> object:
    """Return a value's kind: names with the kinds of their values, kinds of a list's items, a type's name."""
    match value:
        case dict():
            return {name: _kind(held) for name, held in value.items()}
        case list():
            return [_kind(item) for item in value]
        case bool() | str() | None:
            return type(value).__name__
    return "number"
