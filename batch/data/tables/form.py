"""How a table's files are written: what a mapping says of them, and what their names say."""

import codecs
import re
from pathlib import PurePosixPath
from typing import Any, Literal, get_args

from pydantic import ConfigDict, ValidationError, field_validator
from pydantic.dataclasses import dataclass

Format = Literal["csv", "tsv", "json-lines", "parquet"]

# Of pandas' and R's, MySQL's and Hive's; an empty field is missing whatever the words are.
NULLS = ("", "NA", "N/A", "n/a", "#N/A", "NULL", "null", "None", "NaN", "nan", "NaT", "<NA>", r"\N")
_FORMATS: dict[str, Format] = {
    **dict.fromkeys(("parquet", "pq"), "parquet"),
    **dict.fromkeys(("csv", "txt", "dat"), "csv"),
    **dict.fromkeys(("tsv", "tab"), "tsv"),
    **dict.fromkeys(("jsonl", "ndjson", "json"), "json-lines"),
}
_SUFFIX = re.compile(rf"\.({'|'.join(_FORMATS)})(\.(gz|gzip|bz2|zip|zst|snappy))?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", strict=True))
class FileForm:
    r"""How a table's files are written; what is not said is found out.

    Attributes:
        path: File, glob, or folder of parts, below the folder of facts; empty: named after the table.
        format: None: by the suffix.
        separator: Between the fields of a line, of any length; empty: found out.
        encoding: A codec of Python; empty: UTF-8, or what a byte order mark says.
        quote: Around a field; empty: quotes are letters like others; None: `"`, where the file has any.
        escape: Before a letter that is meant as itself; None: found out, where the file has any.
        header: Names of the columns of a file without a line of names; empty: f0, f1, …; None: the
            first line names them.
        null: Words that stand for a missing value; None: NULLS, and none where a table has types, and so a
            NULL of its own.
        optional: Whether the table may be missing although the mapping says how it is written.
    """

    path: str = ""
    format: Format | None = None
    separator: str = ""
    encoding: str = ""
    quote: str | None = None
    escape: str | None = None
    header: tuple[str, ...] | None = None
    null: tuple[str, ...] | None = None
    optional: bool = False

    @field_validator("header", "null", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("quote", "escape")
    @classmethod
    def _is_one_letter(cls, value: str | None) -> str | None:
        if value is not None and (len(value) > 1 or not value.isascii()):
            raise ValueError('must be one letter, or "" for none')
        return value

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            "".encode(value or "utf-8")  # refuses codecs of bytes too
            return value and codecs.lookup(value).name
        except LookupError as exc:
            raise ValueError("must be an encoding that Python knows, such as latin-1 or cp1251") from exc

    @field_validator("path")
    @classmethod
    def _lies_below(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("must be a file, a glob or a folder below the folder of facts")
        return value


def parse_form(table: str, section: dict[str, Any]) -> FileForm:
    """Check a mapping's section `[files.TABLE]`.

    Raises:
        ValueError: A key is unknown or a value has the wrong form; the message names both.
    """
    try:
        return FileForm(**section)
    except ValidationError as exc:
        error = exc.errors()[0]
        key = str(error["loc"][0])
        if error["type"] == "unexpected_keyword_argument":
            known = ", ".join(FileForm.__dataclass_fields__)
            raise ValueError(f"unknown key in [files.{table}]: {key!r} (known: {known})") from exc
        raise ValueError(f"files.{table}.{key} = {section[key]!r} {_remedy(key, error['msg'])}") from exc


def split_suffix(name: str) -> tuple[str, str]:
    """Return a file's name without the suffixes that we read, and these.

    >>> split_suffix("ratings.v2.csv.gz"), split_suffix("part-00000")
    (('ratings.v2', '.csv.gz'), ('part-00000', ''))
    """
    found = _SUFFIX.search(name)
    return (name[: found.start()], found.group()) if found else (name, "")


def format_of(name: str) -> Format | None:
    """Return the format that a file's suffix says; None where it has none of ours.

    >>> format_of("feed_data.TSV.bz2"), format_of("part-00000")
    ('tsv', None)
    """
    found = _SUFFIX.search(name)
    return _FORMATS[found.group(1).lower()] if found else None


def _remedy(key: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    if message.startswith("must"):
        return message
    allowed = {
        "format": f"must be one of {', '.join(get_args(Format))}",
        "header": "must be a list of names",
        "null": "must be a list of words",
        "optional": "must be true or false",
    }
    return allowed.get(key, "must be a text in quotes")
