"""Locations: folders and URLs, and passwords that never show."""

import pytest

from batch.data.tables.location import SourceError, hide_password, parse_url, sqlite_file


def test_a_password_is_never_hide_password() -> None:
    assert (
        hide_password("postgresql://ann:s3cret@db:5432/facts") == "postgresql+psycopg://ann:***@db:5432/facts"
    )
    assert hide_password("data/startml") == "data/startml"


def test_plain_postgresql_is_read_with_psycopg() -> None:
    assert parse_url("postgresql://db/facts").drivername == "postgresql+psycopg"
    assert parse_url("postgresql+psycopg://db/facts").drivername == "postgresql+psycopg"


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
