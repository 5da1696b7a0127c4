"""Locations: folders and URLs, and passwords that never show."""

import pytest

from batch.data.tables.location import SourceError, hide_password, parse_url, reason, sqlite_file


def test_a_password_is_never_hide_password() -> None:
    assert (
        hide_password("postgresql://ann:s3cret@db:5432/facts") == "postgresql+psycopg://ann:***@db:5432/facts"
    )
    assert hide_password("postgresql:///facts?host=/tmp&password=s3cret") == (
        "postgresql+psycopg:///facts?host=%2Ftmp"
    )
    assert hide_password("data/startml") == "data/startml"


@pytest.mark.parametrize(
    ("location", "query"),
    [
        ("postgresql://db/facts", {}),
        ("postgres://db/facts?sslmode=require", {"sslmode": "require"}),
        ("postgresql+psycopg://db/facts", {}),
        ("postgresql+psycopg2://db/facts", {}),
        ("postgres+pg8000://db/facts", {}),
        ("postgresql+asyncpg://db/facts?ssl=true", {"sslmode": "require"}),
        ("postgresql+asyncpg://db/facts?ssl=verify-full&async_fallback=true", {"sslmode": "verify-full"}),
        ("PostgreSQL+asyncpg://db/facts?ssl=false&prepared_statement_cache_size=0", {"sslmode": "disable"}),
    ],
)
def test_postgresql_is_read_with_psycopg_whatever_an_app_reads_it_with(
    location: str, query: dict[str, str]
) -> None:
    url = parse_url(location)

    assert (url.drivername, dict(url.query)) == ("postgresql+psycopg", query)


@pytest.mark.parametrize(
    "location",
    [
        "postgresql://ann:first@s3cret@127.0.0.1:9/facts",
        "postgresql://ann:fir/s3cret@s3cret@127.0.0.1/facts",
        "mysql://ann@s3cret:x@s3cret@host/facts",
        "postgresql://ann:x@host@s3cret/fa@cts",
    ],
)
def test_a_password_with_an_at_sign_is_refused_and_no_part_of_it_shown(location: str) -> None:
    with pytest.raises(SourceError, match=r"more than one @.*write an @ .* as %40") as refused:
        parse_url(location)

    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_at_sign_in_a_path_or_as_percent_40_is_no_fault() -> None:
    assert parse_url("sqlite:////home/a@b/c@d.db").database == "/home/a@b/c@d.db"
    assert parse_url("postgresql://ann:p%40ss@db/facts").password == "p@ss"


def test_a_drivers_error_repeats_no_password_in_any_spelling() -> None:
    url = parse_url("postgresql://ann:p%40s%20s@db/facts?sslpassword=s%2Fs")

    said = reason(url, ValueError("p@s s, p%40s%20s, p%40s+s, s/s and s%2Fs at redis://a:other@db"))

    assert said == "***, ***, ***, *** and *** at redis://a:***@db"


@pytest.mark.parametrize("location", ["://s3cret", "postgresql://ann:s3cret@db:port/facts"])
def test_a_broken_url_is_refused_without_repeating_it(location: str) -> None:
    with pytest.raises(
        SourceError, match="no SQLAlchemy URL: write postgresql://user:password@host"
    ) as refused:
        parse_url(location)

    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("location", ["sqlite://", "sqlite:///:memory:"])
def test_sqlite_in_memory_is_refused(location: str) -> None:
    with pytest.raises(SourceError, match=r"write sqlite:///file\.db"):
        sqlite_file(parse_url(location))
