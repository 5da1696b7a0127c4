"""Access tokens: their file, which `almanac tokens` and the API's first start write, and the API's registry.

Tokens are kept hashed, so that whoever reads the file cannot use them. A token is 256 random bits: a plain
SHA-256 of it can be neither guessed nor looked up; a slow hash, as for passwords, would slow every request.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import orjson

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
    sha256: str
    created_at: str


def add_token(path: Path, scope: Scope, name: str) -> tuple[Token, str]:
    """Add a token to a file; return it as it is kept, and its text, which is kept nowhere.

    The first token of scope `read` closes the read routes to whoever brings none.
    """
    token, text = _issue(scope, name)
    with edit_tokens(path) as tokens:
        tokens.append(token)
    return token, text


def revoke_token(path: Path, token_id: str) -> None:
    """Remove a token from a file.

    Raises:
        LookupError: There is none of that id.
    """
    with edit_tokens(path) as tokens:
        kept = [token for token in tokens if token.token_id != token_id]
        if len(kept) == len(tokens):
            raise LookupError(f"no token has the id {token_id!r}: `almanac tokens list` names them")
        tokens[:] = kept


def read_tokens(path: Path) -> list[Token]:
    """Read the tokens of a file, oldest first; none where there is no file.

    Raises:
        ValueError: It is no file of tokens.
    """
    if not path.exists():
        return []
    try:
        tokens = [Token(**row) for row in orjson.loads(path.read_bytes())["tokens"]]
        whole = all(token.scope in SCOPES and len(token.sha256) == 64 for token in tokens)
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(f"{path}: this is no file of tokens; mend it, or remove it for new tokens")
    return tokens


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
        rows = {"tokens": [asdict(token) for token in tokens]}
        draft.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2) + b"\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def make_first_tokens(path: Path) -> None:
    """Make the first tokens, one to write and one to administer, unless there is a file of tokens.

    Their text stands once, in a file beside it that only its owner can read. Of several processes that start
    at once one makes them. Where nothing can be written there are none, and no request can write.
    """
    if path.exists():
        return
    first = path.with_name(FIRST)
    try:
        with edit_tokens(path) as tokens:
            if tokens:  # another process was first
                return
            made = [_issue(scope, "first") for scope in ("write", "admin")]
            tokens.extend(token for token, _ in made)
            first.touch(mode=0o600)
            first.write_bytes(orjson.dumps({token.scope: text for token, text in made}) + b"\n")
    except (OSError, ValueError) as exc:
        log.warning("tokens.missing", extra={"path": str(path), "why": str(exc)})
    else:
        log.info("tokens.made", extra={"path": str(first)})


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
        pairs = [entry.split(":") for entry in variable.split(",") if entry]
        self._fixed = [(SCOPES.index(scope), sha256) for scope, sha256 in pairs]
        self._set(read_tokens(path))

    def rank(self, text: bytes) -> int:
        """Return the place in SCOPES of what a token's text allows; -1 for a text that is no token.

        Every token is compared, each in constant time: how long it takes tells nothing of any.
        """
        given = hashlib.sha256(text).hexdigest()
        return max((rank for rank, sha256 in self._ranks if hmac.compare_digest(given, sha256)), default=-1)

    def refresh(self) -> None:
        """Read the file again if it changed. One that vanished or broke leaves the tokens as they were."""
        before, self._stamp = self._stamp, _stamp(self._path)
        if self._stamp == before:
            return
        if self._stamp is None:
            log.warning("tokens.lost", extra={"path": str(self._path)})
            return
        try:
            self._set(read_tokens(self._path))
        except (OSError, ValueError) as exc:
            log.warning("tokens.unreadable", extra={"path": str(self._path), "why": str(exc)})
        else:
            log.info("tokens.read", extra=self.summary())

    async def watch(self) -> None:
        """Refresh again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.refresh()

    def summary(self) -> dict[str, object]:
        """Return how many tokens there are of each scope, and whether reading needs one."""
        ranks = [rank for rank, _ in self._ranks]
        counts = {scope: ranks.count(rank) for rank, scope in enumerate(SCOPES)}
        return {"tokens": counts, "open_to_read": self.open_to_read}

    def _set(self, tokens: list[Token]) -> None:
        self._ranks = [(SCOPES.index(token.scope), token.sha256) for token in tokens] + self._fixed
        self.open_to_read = all(rank > 0 for rank, _ in self._ranks)
        self.version += 1


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes with a file: two changes within a clock tick have one time, but not one inode."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _issue(scope: Scope, name: str) -> tuple[Token, str]:
    """Return a new token as it is kept, and its text, which is kept nowhere."""
    text = f"almanac_{secrets.token_urlsafe(32)}"
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return Token(sha256[:8], name, scope, sha256, datetime.now(UTC).isoformat()), text
