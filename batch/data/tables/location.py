"""Where tables live: a folder, or a SQLAlchemy URL whose password is never shown."""

import re
from pathlib import Path
from urllib.parse import quote, quote_plus

import sqlalchemy
from sqlalchemy.engine import URL

from api.address import hide_passwords

_RIGHTLESS = re.compile("permission denied for")
# What libpq tells of a log-in that failed is words alone. A server that speaks another language, and a way to
# fail that is not here, count as a database that is away: it is asked again for a while, and says the same.
_NOT_LET_IN = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|not permitted to log in|Access denied for user"
    r"|(role|database|user) .* does not exist|no such (user|database)"
)
_OF_ASYNCPG = ("async_fallback", "prepared_statement_cache_size")  # how fast it is, not where


class SourceError(ValueError):
    """Tables cannot be read or written; the message says which, where, and what to do."""

    exit_code = 3


class SourceAway(SourceError):
    """A database cannot be reached, or broke off: it may answer again later."""

    is_away = True


def is_url(location: str) -> bool:
    """Tell a URL from a folder; what has name and password before an @ is meant to be a URL.

    >>> is_url("sqlite:///facts.db"), is_url("data/startml"), is_url("ann:secret@db/facts")
    (True, False, True)
    """
    return "://" in location or re.match(r"[^/]*:.*@", location) is not None


def parse_url(location: str) -> URL:
    """Parse a SQLAlchemy URL; PostgreSQL is read with psycopg, whatever driver an app of its own has.

    Raises:
        SourceError: It is none, or not plainly one; the message does not repeat it: it may hold a password.
    """
    try:
        url = sqlalchemy.make_url(location)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # `from None`: the cause's text may hold the password too.
        raise SourceError(
            "the location is no SQLAlchemy URL: write postgresql://user:password@host:5432/database, "
            "sqlite:///file.db, or a folder"
        ) from None
    if url.host and location.count("@") > 1:
        raise SourceError(
            "the location has more than one @, so its host is not plain: "
            "write an @ of the name or password as %40, as in postgresql://user:p%40ss@host:5432/database"
        )
    return _with_psycopg(url) if url.get_backend_name().lower() in ("postgresql", "postgres") else url


def _with_psycopg(url: URL) -> URL:
    """Return the URL of a PostgreSQL for psycopg; what other drivers have of it is said as libpq does."""
    tls = url.query.get("ssl")  # asyncpg's word for it
    url = url.set(drivername="postgresql+psycopg").difference_update_query((*_OF_ASYNCPG, "ssl"))
    if tls is None or "sslmode" in url.query:
        return url
    return url.update_query_dict(
        {"sslmode": {"true": "require", "false": "disable"}.get(str(tls).lower(), tls)}
    )


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

    >>> hide_password("postgresql://ann:secret@db/facts?sslpassword=secret")
    'postgresql+psycopg://ann:***@db/facts'
    """
    return show(parse_url(location)) if is_url(location) else location


def show(url: URL) -> str:
    """Return a URL as it may be printed and logged: of its parameters, where the database is."""
    where = {name: value for name, value in url.query.items() if name in ("host", "port", "dbname")}
    return url.set(query=where).render_as_string(hide_password=True)


def remedy_of(exc: BaseException) -> str:
    """Return what to mend where a server is there and refuses us, which no waiting helps; else nothing.

    >>> remedy_of(OSError('FATAL:  password authentication failed for user "ann"'))
    'put a user, a password and a database that it knows into its URL'
    >>> remedy_of(OSError("FATAL:  the database system is starting up"))
    ''
    """
    said = str(getattr(exc, "orig", None) or exc)
    if _RIGHTLESS.search(said):
        return "grant that right to the user of its URL"
    return (
        "put a user, a password and a database that it knows into its URL" if _NOT_LET_IN.search(said) else ""
    )


def explain(url: URL, exc: BaseException) -> str:
    """Return the first line of a driver's error, without the password, and what to mend, if that is known."""
    return "; ".join(filter(None, (reason(url, exc), remedy_of(exc))))


def reason(url: URL, exc: BaseException) -> str:
    """Return the first line of a driver's error, without the password."""
    cause = getattr(exc, "orig", None) or exc
    line = (str(cause).strip() or type(cause).__name__).splitlines()[0]
    told = [url.password, *(value for name, value in url.query.items() if "pass" in name)]
    for secret in {str(text) for text in told if text}:
        for spelled in (secret, quote(secret, safe=""), quote_plus(secret)):
            line = line.replace(spelled, "***")
    return hide_passwords(line)
