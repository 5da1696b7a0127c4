"""Access tokens: their file, which `almanac tokens` and the API's first start write, and the API's registry.

Tokens are kept hashed, so that whoever reads the file cannot use them. A token is 256 random bits: a plain
SHA-256 of it can be neither guessed nor looked up; a slow hash, as for passwords, would slow every request.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, cast, get_args

import orjson
from pydantic import Field, TypeAdapter

log = logging.getLogger(__name__)

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)  # each allows what the ones before it allow
FILE = "tokens.json"  # in the state folder: the hashes
FIRST = "first-tokens.json"  # beside it: the tokens of the first start, to be handed out and removed
LOOK_EVERY_S = 1.0  # how soon readers notice that the file changed; writers notice at once


@dataclass(frozen=True, slots=True)
class Token:
    """An access token as it is kept; `token_id` names it to people and tells nothing of its text."""

    token_id: str
    name: str
    scope: Scope
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    created_at: str


_FILE = TypeAdapter(dict[Literal["tokens"], list[Token]])


def read_tokens(path: Path) -> list[Token]:
    """Read the tokens of a file, oldest first; none where there is no file.

    Raises:
        ValueError: It is no file of tokens.
    """
    if not path.exists():
        return []
    try:
        return _FILE.validate_json(path.read_bytes())["tokens"]
    except (KeyError, ValueError) as exc:
        raise ValueError(f"{path}: this is no file of tokens; mend it, or remove it for new tokens") from exc


@contextmanager
def edit_tokens(path: Path) -> Iterator[list[Token]]:
    """Give the tokens of a file, and replace it as a whole by what became of them; one process at a time.

    Raises:
        ValueError: It is no file of tokens, or another process is changing it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    try:
        draft.touch(mode=0o600, exist_ok=False)
    except FileExistsError as exc:
        raise ValueError(f"{draft}: another process is changing the tokens; remove it if none is") from exc
    try:
        tokens = read_tokens(path)
        yield tokens
        draft.write_bytes(_FILE.dump_json({"tokens": tokens}, indent=2) + b"\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def add_token(path: Path, scope: Scope, name: str) -> tuple[Token, str]:
    """Add a token to a file; return it as it is kept, and its text, which is kept nowhere.

    The first token of scope `read` closes the read routes to whoever brings none.
    """
    with edit_tokens(path) as tokens:
        text = _issue(tokens, scope, name)
    return tokens[-1], text


def revoke_token(path: Path, token_id: str) -> None:
    """Remove a token from a file.

    Raises:
        LookupError: There is none of that id.
    """
    with edit_tokens(path) as tokens:
        revoked = next((token for token in tokens if token.token_id == token_id), None)
        if revoked is None:
            raise LookupError(f"no token has the id {token_id!r}: `almanac tokens list` names them")
        tokens.remove(revoked)


def make_first_tokens(path: Path) -> None:
    """Make the first tokens, one to write and one to administer, unless there is a file of tokens.

    Their text stands once, in a file beside it that only its owner can read. Of several processes that start
    at once one makes them. Where nothing can be written there are none, and no request can write.
    """
    first = path.with_name(FIRST)
    try:
        if path.exists():
            return
        with edit_tokens(path) as tokens:
            if tokens:  # another process was first
                return
            texts = {scope: _issue(tokens, scope, "first") for scope in SCOPES[1:]}
            first.touch(mode=0o600)
            first.write_bytes(orjson.dumps(texts) + b"\n")
    except (OSError, ValueError) as exc:
        log.warning("tokens.missing", extra={"path": str(path), "why": str(exc)})
    else:
        log.info("tokens.made", extra={"path": str(first)})


def _issue(tokens: list[Token], scope: Scope, name: str) -> str:
    """Put a new token among others; return its text."""
    text = f"almanac_{secrets.token_urlsafe(32)}"
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    tokens.append(Token(sha256[:8], name, scope, sha256, datetime.now(UTC).isoformat()))
    return text


class TokenRegistry:
    """The tokens of a file, as of its last change, and those of the settings.

    Attributes:
        version: Changes with the tokens, so that a remembered admission can be checked anew.
        open_to_read: Whether no token is needed to read.
    """

    def __init__(self, path: Path, variable: str = "") -> None:
        """Read the file, where there is one, and `scope:sha256,…` of the variable.

        Raises:
            ValueError: It is no file of tokens.
        """
        self.version, self._path, self._stamp = 0, path, _stamp(path)
        entries = (entry.partition(":") for entry in variable.split(",") if entry)
        self._fixed = {sha256: SCOPES.index(cast("Scope", scope)) for scope, _, sha256 in entries}
        self._set(read_tokens(path))

    def rank(self, text: bytes) -> int:
        """Return the place in SCOPES of what a token's text allows; -1 for a text that is no token."""
        # How long this takes tells of hashes only, and nobody can choose a text by the beginning of its hash.
        return self._ranks.get(hashlib.sha256(text).hexdigest(), -1)

    def name_of(self, text: bytes) -> str:
        """Return the name of a token's text, its id where it is of the settings; empty: it is no token."""
        sha256 = hashlib.sha256(text).hexdigest()
        return (self._names.get(sha256) or sha256[:8]) if sha256 in self._ranks else ""

    def refresh(self) -> None:
        """Read the file again if it changed. One that vanished or broke leaves the tokens as they were."""
        before, self._stamp = self._stamp, _stamp(self._path)
        if self._stamp == before:
            return None
        if self._stamp is None:
            return log.warning("tokens.lost", extra={"path": str(self._path)})
        try:
            self._set(read_tokens(self._path))
        except (OSError, ValueError) as exc:
            return log.warning("tokens.unreadable", extra={"path": str(self._path), "why": str(exc)})
        return log.info("tokens.read", extra=self.summary())

    async def watch(self) -> None:
        """Refresh again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.refresh()

    def summary(self) -> dict[str, object]:
        """Return how many tokens there are of each scope, and whether reading needs one."""
        ranks = list(self._ranks.values())
        counts = {scope: ranks.count(rank) for rank, scope in enumerate(SCOPES)}
        return {"tokens": counts, "open_to_read": self.open_to_read}

    def _set(self, tokens: list[Token]) -> None:
        self._names = {token.sha256: token.name for token in tokens}
        self._ranks = {token.sha256: SCOPES.index(token.scope) for token in tokens} | self._fixed
        self.open_to_read = 0 not in self._ranks.values()
        self.version += 1


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes with a file: two changes within a clock tick have one time, but not one inode."""
    with suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_ino
    return None
