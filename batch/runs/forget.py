"""A user's id out of what runs have told: the sentence of an error, in record or log, may hold one."""

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import orjson

from api.contract.ids import quote
from batch.runs.runs import BUSY_S, Runs

Mask = Callable[[str], str]
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')  # of a line of JSON, quotes included
_AFTER_BREAK = r"(?<=\\[nrt])"  # a traceback's next line, as JSON writes it


def forget_told(runs: Runs, names: Sequence[str]) -> int:
    """Write stars over a user's ids in the logs and sentences of all runs; return how many lines had one.

    Runs that go on keep their log files, whose length stays as it was. A small number stands for much: a
    sentence loses it wherever it has it as a word.

    Args:
        runs: Theirs.
        names: The user's ids, in each spelling.
    """
    mask = _mask_of(names)
    return sum(_mask_log(path, mask) for path in runs.folder.glob("*.log")) + _mask_record(runs.path, mask)


def _mask_log(path: Path, mask: Mask) -> int:
    """Mask the lines of a log in their places, so that whoever writes at its end may go on."""
    n_masked = at = 0
    with path.open("r+b") as file:
        for line in file.readlines():
            text = line.decode(errors="surrogateescape")
            masked = _STRING.sub(lambda found: _mask_string(found[0], mask), text)
            if masked != text:
                file.seek(at)
                file.write(masked.encode(errors="surrogateescape"))
                n_masked += 1
            at += len(line)
    return n_masked


def _mask_string(text: str, mask: Mask) -> str:
    """Mask a JSON string that is a sentence or the id alone; times and names of events are neither."""
    masked = mask(text)
    return masked if " " in text or not masked.strip('"*') else text


def _mask_record(path: Path, mask: Mask) -> int:
    """Mask the sentences of the record; neither its file nor its log keeps what they were."""
    if not path.is_file():
        return 0
    with closing(sqlite3.connect(path, timeout=BUSY_S)) as db:
        db.execute("PRAGMA secure_delete = ON")
        with db:
            told = db.execute("SELECT number, why FROM runs WHERE why != ''").fetchall()
            masked = [(mask(why), number) for number, why in told if mask(why) != why]
            db.executemany("UPDATE runs SET why = ? WHERE number = ?", masked)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return len(masked)


def _mask_of(names: Sequence[str]) -> Mask:
    """Return what writes stars over names that stand as words, a star a byte, in plain text and in JSON."""
    spelled = {form for name in names for form in (name, quote(name), orjson.dumps(name).decode()[1:-1])}
    words = "|".join(_word(form) for form in sorted(spelled, key=len, reverse=True))
    found = re.compile(words, re.IGNORECASE)
    return lambda text: found.sub(lambda match: "*" * len(match[0].encode(errors="surrogateescape")), text)


def _word(form: str) -> str:
    before = rf"(?:(?<!\w)|{_AFTER_BREAK})" if re.match(r"\w", form) else ""
    return before + re.escape(form) + (r"(?!\w)" if re.search(r"\w$", form) else "")
