"""The file of access tokens, as `almanac tokens` changes it; a running API notices within a second."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from api.contract.tokens import FILE, SECRET_BYTES, Scope, Token, from_json, issue, to_json, without


def add(state_dir: Path, scope: Scope, name: str) -> tuple[Token, str]:
    """Add a token and return it as it is kept, and its text, which is nowhere else.

    The first token of scope `read` closes the read routes to whoever brings none.

    Raises:
        ValueError: The scope is none, or the file is no file of tokens.
    """
    token, text = issue(scope, name, secrets.token_bytes(SECRET_BYTES), datetime.now(UTC))
    with _locked(state_dir):
        _write(state_dir, [*listed(state_dir), token])
    return token, text


def listed(state_dir: Path) -> list[Token]:
    """Return the tokens, oldest first; none where there is no file.

    Raises:
        ValueError: The file is no file of tokens.
    """
    try:
        return from_json((state_dir / FILE).read_bytes())
    except FileNotFoundError:
        return []
    except ValueError as exc:
        raise ValueError(f"{state_dir / FILE}: {exc}") from exc


def revoke(state_dir: Path, token_id: str) -> Token:
    """Remove a token by its id and return it.

    Raises:
        LookupError: There is none of that id.
        ValueError: The file is no file of tokens.
    """
    with _locked(state_dir):
        tokens = listed(state_dir)
        _write(state_dir, without(tokens, token_id))
    return next(token for token in tokens if token.token_id == token_id)


def _write(state_dir: Path, tokens: list[Token]) -> None:
    """Put a new file in the old one's place, so that nobody reads half of one."""
    draft = state_dir / f"{FILE}.new"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(to_json(tokens))
    draft.replace(state_dir / FILE)


@contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    """Let one process at a time change the file."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / f"{FILE}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
