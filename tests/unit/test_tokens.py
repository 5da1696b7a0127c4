"""Tokens as they rest in a file, and what a running process makes of that file."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from api.auth import Rights, prepare
from api.contract.tokens import FILE, FIRST, SCOPES, Scope, from_json, issue, scope_of, to_json
from batch.jobs import tokens

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def bearer(text: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request that brings a token."""
    return [(b"host", b"api"), (b"authorization", b"Bearer " + text.encode())]


def test_a_token_is_known_by_its_text_and_kept_without_it() -> None:
    token, text = issue("write", "importer", b"\x01" * 32, NOW)

    assert scope_of(text.encode(), [token]) == "write"
    assert scope_of(text.encode()[:-1], [token]) is None
    assert text not in to_json([token]).decode()
    assert from_json(to_json([token])) == [token]


@pytest.mark.parametrize("text", [b"", b"[]", b'{"tokens": [1]}', b'{"tokens": [{"scope": "read"}]}'])
def test_what_is_no_file_of_tokens_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="this is no file of tokens"):
        from_json(text)


def test_a_scope_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="scope='root' must be read, write, admin"):
        issue("root", "x", b"\x01" * 32, NOW)  # type: ignore[arg-type]


def test_the_first_start_makes_a_token_to_write_and_one_to_administer(tmp_path: Path) -> None:
    prepare(tmp_path / FILE)
    first = orjson.loads((tmp_path / FIRST).read_bytes())
    prepare(tmp_path / FILE)

    rights = Rights(tmp_path / FILE)
    assert orjson.loads((tmp_path / FIRST).read_bytes()) == first
    assert rights.open_to_read
    assert set(first) == {"write", "admin"}
    assert rights.refuse(bearer(first["write"]), "write") is None
    assert rights.refuse(bearer(first["admin"]), "admin") is None
    assert rights.refuse(bearer(first["write"]), "admin") == "scope"
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in (FILE, FIRST)} == {0o600}


def test_a_folder_that_cannot_be_written_leaves_nobody_who_can_write(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")

    prepare(tmp_path / "file" / FILE)

    assert [record.message for record in caplog.records] == ["tokens.missing"]
    assert Rights(tmp_path / "file" / FILE).refuse(bearer("x"), "write") == "wrong"


def test_each_scope_allows_what_is_below_it(tmp_path: Path) -> None:
    texts = {scope: tokens.add(tmp_path, scope, "x")[1] for scope in SCOPES}
    rights = Rights(tmp_path / FILE)

    def allowed(scope: Scope) -> list[Scope]:
        return [needed for needed in SCOPES if rights.refuse(bearer(texts[scope]), needed) is None]

    assert [allowed(scope) for scope in SCOPES] == [["read"], ["read", "write"], ["read", "write", "admin"]]


def test_a_read_token_closes_the_read_routes(tmp_path: Path) -> None:
    _, text = tokens.add(tmp_path, "read", "app")
    rights = Rights(tmp_path / FILE)

    assert not rights.may_read([])
    assert not rights.may_read(bearer("wrong"))
    assert rights.may_read(bearer(text))
    assert rights.may_read([(b"x-api-key", text.encode())])


def test_tokens_are_added_and_revoked_without_a_restart(tmp_path: Path) -> None:
    prepare(tmp_path / FILE)
    rights = Rights(tmp_path / FILE)
    before = rights.version

    token, text = tokens.add(tmp_path, "write", "importer")
    rights.look()
    admitted = rights.refuse(bearer(text), "write")
    assert tokens.revoke(tmp_path, token.token_id) == token
    rights.look()

    assert admitted is None
    assert rights.refuse(bearer(text), "write") == "wrong"
    assert rights.version == before + 2
    assert [kept.name for kept in tokens.listed(tmp_path)] == ["first", "first"]


def test_an_unknown_token_cannot_be_revoked(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no token has the id 'abc'"):
        tokens.revoke(tmp_path, "abc")


@pytest.mark.parametrize("broken", [True, False])
def test_a_file_that_breaks_or_vanishes_opens_nothing(
    tmp_path: Path,
    broken: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, text = tokens.add(tmp_path, "read", "app")
    rights = Rights(tmp_path / FILE)

    if broken:
        (tmp_path / FILE).write_text("{")
    else:
        (tmp_path / FILE).unlink()
    rights.look()
    rights.look()

    assert not rights.may_read([])
    assert rights.may_read(bearer(text))
    assert [record.message for record in caplog.records] == ["tokens.unreadable" if broken else "tokens.lost"]


def test_a_broken_file_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")

    with pytest.raises(ValueError, match=rf"{FILE}: this is no file of tokens.*mend it, or remove it"):
        Rights(tmp_path / FILE)


def test_a_token_of_absurd_length_is_wrong(tmp_path: Path) -> None:
    prepare(tmp_path / FILE)

    assert Rights(tmp_path / FILE).refuse(bearer("x" * 100_000), "read") == "wrong"
