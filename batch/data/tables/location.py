"""Where tables live: a folder, or a SQLAlchemy URL whose password is never shown."""

from pathlib import Path

import sqlalchemy
from sqlalchemy.engine import URL


class SourceError(ValueError):
    """Tables cannot be read or written; the message says which, where, and what to do."""

    exit_code = 3


def is_url(location: str) -> bool:
    """Tell a URL from a folder.

    >>> is_url("sqlite:///facts.db"), is_url("data/startml")
    (True, False)
    """
    return "://" in location


def parse_url(location: str) -> URL:
    """Parse a SQLAlchemy URL; plain `postgresql` is read with psycopg.

    Raises:
        SourceError: It is none; the message does not repeat it, for it may hold a password.
    """
    try:
        url = sqlalchemy.make_url(location)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # `from None`: the cause's text may hold the password too.
        raise SourceError(
            "the location is no SQLAlchemy URL: write postgresql://user:password@host:5432/database, "
            "sqlite:///file.db, or a folder"
        ) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    return url


def sqlite_file(url: URL) -> Path:
    """Return the file of an SQLite URL.

    Raises:
        SourceError: The database is in memory, where nothing outlives its connection.
    """
    if not url.database or url.database == ":memory:":
        raise SourceError("an SQLite database in memory holds no tables: write sqlite:///file.db")
    return Path(url.database.removeprefix("file:").partition("?")[0])


def hide_password(location: str) -> str:
    """Return a location as it may be printed and logged.

    >>> hide_password("postgresql://ann:secret@db/facts")
    'postgresql+psycopg://ann:***@db/facts'
    """
    return parse_url(location).render_as_string(hide_password=True) if is_url(location) else location


def reason(url: URL, exc: BaseException) -> str:
    """Return the first line of a driver's error, without the password."""
    cause = getattr(exc, "orig", None) or exc
    line = (str(cause).strip() or type(cause).__name__).splitlines()[0]
    return line.replace(str(url.password), "***") if url.password else line
