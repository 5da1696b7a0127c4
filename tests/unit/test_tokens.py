"""Tokens as they rest in a file, and what a running process makes of that file."""

import hashlib
import stat
import threading
from pathlib import Path

import orjson
import pytest

from api.auth import lack_of, may_read
from api.settings import Settings
from api.tokens import (
    FILE,
    FIRST,
    SCOPES,
    Scope,
    TokenRegistry,
    add_token,
    edit_tokens,
    make_first_tokens,
    read_tokens,
    revoke_token,
)

HASH = "0" * 64


def bearer(text: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request that brings a token."""
    return [(b"host", b"api"), (b"authorization", b"Bearer " + text.encode())]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE


def test_a_token_is_known_by_its_text_and_kept_without_it(path: Path) -> None:
    token, text = add_token(path, "write", "importer")
    registry = TokenRegistry(path)

    assert lack_of(registry, bearer(text), "write") is None
    assert lack_of(registry, bearer(text[:-1]), "write") == "wrong"
    assert text not in path.read_text()
    assert read_tokens(path) == [token]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"tokens": [1]}',
        '{"tokens": [{"scope": "read"}]}',
        '{"tokens": [{"token_id": "a", "name": "", "scope": "root", "sha256": "", "created_at": ""}]}',
    ],
)
def test_what_is_no_file_of_tokens_stops_the_start_with_a_sentence(path: Path, text: str) -> None:
    path.write_text(text)

    with pytest.raises(ValueError, match=rf"{FILE}: this is no file of tokens.*mend it, or remove it"):
        TokenRegistry(path)


def test_the_first_start_makes_a_token_to_write_and_one_to_administer(path: Path) -> None:
    make_first_tokens(path)
    first = orjson.loads(path.with_name(FIRST).read_bytes())
    make_first_tokens(path)

    registry = TokenRegistry(path)
    assert orjson.loads(path.with_name(FIRST).read_bytes()) == first
    assert registry.open_to_read
    assert set(first) == {"write", "admin"}
    assert lack_of(registry, bearer(first["write"]), "write") is None
    assert lack_of(registry, bearer(first["admin"]), "admin") is None
    assert lack_of(registry, bearer(first["write"]), "admin") == "scope"
    assert {stat.S_IMODE((path.parent / name).stat().st_mode) for name in (FILE, FIRST)} == {0o600}


def test_of_several_first_starts_at_once_one_makes_the_tokens(path: Path) -> None:
    together = threading.Barrier(8)

    def start() -> None:
        together.wait()
        make_first_tokens(path)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    first, registry = orjson.loads(path.with_name(FIRST).read_bytes()), TokenRegistry(path)
    assert len(read_tokens(path)) == 2
    assert [lack_of(registry, bearer(first[scope]), scope) for scope in ("write", "admin")] == [None, None]


def test_a_folder_that_cannot_be_written_leaves_nobody_who_can_write(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")

    make_first_tokens(tmp_path / "file" / FILE)

    assert [record.message for record in caplog.records] == ["tokens.missing"]
    assert lack_of(TokenRegistry(tmp_path / "file" / FILE), bearer("x"), "write") == "wrong"


def test_each_scope_allows_what_is_below_it(path: Path) -> None:
    texts = {scope: add_token(path, scope, "x")[1] for scope in SCOPES}
    registry = TokenRegistry(path)

    def allowed(scope: Scope) -> list[Scope]:
        return [needed for needed in SCOPES if lack_of(registry, bearer(texts[scope]), needed) is None]

    assert [allowed(scope) for scope in SCOPES] == [["read"], ["read", "write"], ["read", "write", "admin"]]


def test_a_read_token_closes_the_read_routes(path: Path) -> None:
    _, text = add_token(path, "read", "app")
    registry = TokenRegistry(path)

    assert not may_read(registry, [])
    assert not may_read(registry, bearer("wrong"))
    assert may_read(registry, bearer(text))
    assert may_read(registry, [(b"x-api-key", text.encode())])


def test_tokens_of_the_settings_stand_beside_those_of_the_file(path: Path) -> None:
    hashed = [hashlib.sha256(text).hexdigest() for text in (b"ours", b"theirs")]
    registry = TokenRegistry(
        path, Settings(tokens=f"read:{hashed[0]},admin:{hashed[1]}").tokens.get_secret_value()
    )

    _, text = add_token(path, "write", "importer")
    registry.refresh()

    assert not registry.open_to_read
    assert lack_of(registry, bearer("ours"), "read") is None
    assert lack_of(registry, bearer("ours"), "write") == "scope"
    assert lack_of(registry, bearer("theirs"), "admin") is None
    assert lack_of(registry, bearer(text), "write") is None
    named = [registry.name_of(one) for one in (text.encode(), b"ours", b"wrong")]
    assert named == ["importer", hashed[0][:8], ""]


@pytest.mark.parametrize(
    "text", ["read", f"root:{HASH}", "read:secret", f"read:{HASH}write:{HASH}", f"read:{HASH},"]
)
def test_settings_that_are_no_hashed_tokens_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ALMANAC_TOKENS="):
        Settings(tokens=text)


def test_tokens_are_added_and_revoked_without_a_restart(path: Path) -> None:
    make_first_tokens(path)
    registry = TokenRegistry(path)
    before = registry.version

    token, text = add_token(path, "write", "importer")
    registry.refresh()
    admitted = lack_of(registry, bearer(text), "write")
    revoke_token(path, token.token_id)
    registry.refresh()

    assert admitted is None
    assert lack_of(registry, bearer(text), "write") == "wrong"
    assert registry.version == before + 2
    assert [kept.name for kept in read_tokens(path)] == ["first", "first"]


def test_an_unknown_token_cannot_be_revoked(path: Path) -> None:
    with pytest.raises(LookupError, match="no token has the id 'abc'"):
        revoke_token(path, "abc")


def test_a_second_change_at_the_same_time_is_refused(path: Path) -> None:
    with edit_tokens(path), pytest.raises(ValueError, match="another process is changing the tokens"):
        add_token(path, "read", "late")

    assert read_tokens(path) == []


@pytest.mark.parametrize("broken", [True, False])
def test_a_file_that_breaks_or_vanishes_opens_nothing(
    path: Path,
    broken: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, text = add_token(path, "read", "app")
    registry = TokenRegistry(path)

    if broken:
        path.write_text("{")
    else:
        path.unlink()
    registry.refresh()
    registry.refresh()

    assert not may_read(registry, [])
    assert may_read(registry, bearer(text))
    assert [record.message for record in caplog.records] == ["tokens.unreadable" if broken else "tokens.lost"]


def test_a_token_of_absurd_length_is_wrong(path: Path) -> None:
    make_first_tokens(path)

    assert lack_of(TokenRegistry(path), bearer("x" * 100_000), "read") == "wrong"
