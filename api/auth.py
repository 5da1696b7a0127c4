"""Who may do what: tokens from a file that is read again when it changes, and the check of a request's own.

Without a token of scope `read` whoever asks may read. Writing and administering always need one; the first
start makes one of each.
"""

import asyncio
import logging
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import orjson
from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from api.contract.tokens import (
    FIRST,
    SCOPES,
    SECRET_BYTES,
    Scope,
    Token,
    allows,
    from_json,
    issue,
    scope_of,
    to_json,
)

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0  # how soon readers notice that the file changed; writers notice at once
LONGEST = 512  # bytes of a token: what is longer is none, and is not hashed

Headers = Iterable[tuple[bytes, bytes]]  # as in an ASGI scope: names in lower case
Lack = Literal["missing", "wrong", "scope"]

_BEARER = b"bearer "


class TokenRefused(PermissionError):
    """A request has no token, a wrong one (`lack` says which), or one for less than it asks."""

    def __init__(self, lack: Lack, needed: Scope) -> None:
        send = "send `Authorization: Bearer <token>` or `X-API-Key: <token>`"
        super().__init__(
            {
                "missing": f"this needs a token of scope {needed}: {send}",
                "wrong": f"this token is not known: {send} with one of scope {needed}",
                "scope": f"this token does not allow it: one of scope {needed} does",
            }[lack]
        )
        self.lack = lack


class Rights:
    """The tokens of a file, as of its last change.

    Attributes:
        version: Changes with the tokens, so that who remembers an admission can ask anew.
        open_to_read: Whether no token is needed to read.
    """

    def __init__(self, path: Path) -> None:
        """Read the file, where there is one.

        Raises:
            ValueError: It is no file of tokens.
        """
        self.version = 0
        self.open_to_read = True
        self._path = path
        self._tokens: list[Token] = []
        self._stamp = _stamp(path)
        if self._stamp is not None:
            self._take()

    def refuse(self, headers: Headers, needed: Scope) -> Lack | None:
        """Say why a request with these headers may not do what needs a scope; None if it may."""
        given = token_in(headers)
        if given is None:
            return "missing"
        scope = scope_of(given, self._tokens) if len(given) <= LONGEST else None
        if scope is None:
            return "wrong"
        return None if allows(scope, needed) else "scope"

    def may_read(self, headers: Headers) -> bool:
        """Say whether a request with these headers may read."""
        return self.open_to_read or self.refuse(headers, "read") is None

    def look(self) -> None:
        """Read the file again if it changed. One that vanished or broke leaves the tokens as they were."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        if stamp is None:
            log.warning("tokens.lost", extra={"path": str(self._path)})
            return
        try:
            self._take()
        except (OSError, ValueError) as exc:
            log.warning("tokens.unreadable", extra={"path": str(self._path), "why": str(exc)})
        else:
            log.info("tokens.read", extra=self.summary())

    def summary(self) -> dict[str, object]:
        """Return how many tokens there are of each scope, and whether reading needs one."""
        scopes = [token.scope for token in self._tokens]
        return {
            "tokens": {scope: scopes.count(scope) for scope in SCOPES},
            "open_to_read": self.open_to_read,
        }

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()

    def _take(self) -> None:
        try:
            self._tokens = from_json(self._path.read_bytes())
        except ValueError as exc:
            raise ValueError(f"{self._path}: {exc}; mend it, or remove it for new tokens") from exc
        self.open_to_read = all(token.scope != "read" for token in self._tokens)
        self.version += 1


def token_in(headers: Headers) -> bytes | None:
    """Return the token that a request brings; None if it brings none.

    >>> token_in([(b"host", b"x"), (b"authorization", b"Bearer abc")]), token_in([(b"x-api-key", b"abc")])
    (b'abc', b'abc')
    """
    for name, value in headers:
        if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            return value[len(_BEARER) :].strip()
        if name == b"x-api-key":
            return value.strip()
    return None


def prepare(path: Path) -> None:
    """Make the first tokens, one to write and one to administer, unless there is a file of tokens.

    Their text stands once, in a file beside it that only its owner can read: hand them out and remove it.
    Of several processes that start at once one makes them. Where nothing can be written there are none, and
    no request can write.
    """
    if path.exists():
        return
    now = datetime.now(UTC)
    made = [issue(scope, "first", secrets.token_bytes(SECRET_BYTES), now) for scope in ("write", "admin")]
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    first = path.with_name(FIRST)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_private(draft, to_json(token for token, _ in made))
        if not _put(draft, path):
            return
        _write_private(first, orjson.dumps({token.scope: text for token, text in made}) + b"\n")
    except OSError as exc:
        log.warning("tokens.missing", extra={"path": str(path), "why": str(exc)})
        return
    log.info("tokens.made", extra={"path": str(first)})


def _put(draft: Path, path: Path) -> bool:
    """Give a draft its name, unless another process was quicker; return whether it was not."""
    try:
        os.link(draft, path)
    except FileExistsError:
        if path.exists():
            return False
        raise
    finally:
        draft.unlink()
    return True


def _write_private(path: Path, content: bytes) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


_Bearer = Annotated[object, Security(HTTPBearer(auto_error=False, description="A token."))]
_Key = Annotated[object, Security(APIKeyHeader(name="X-API-Key", auto_error=False, description="A token."))]


async def needs_read(request: Request, _bearer: _Bearer = None, _key: _Key = None) -> None:
    """Admit whoever may read.

    Raises:
        TokenRefused: A token of scope read is configured, and the request brings none that is good.
    """
    rights: Rights = request.state.rights
    if not rights.open_to_read:
        _admit(request, "read")


async def needs_token(request: Request, _bearer: _Bearer = None, _key: _Key = None) -> None:
    """Admit whoever brings any token.

    Raises:
        TokenRefused: The request brings none that is good.
    """
    _admit(request, "read")


async def needs_write(request: Request, _bearer: _Bearer = None, _key: _Key = None) -> None:
    """Admit whoever may write.

    Raises:
        TokenRefused: The request brings no token that is good for it.
    """
    _admit(request, "write")


async def needs_admin(request: Request, _bearer: _Bearer = None, _key: _Key = None) -> None:
    """Admit whoever may administer.

    Raises:
        TokenRefused: The request brings no token that is good for it.
    """
    _admit(request, "admin")


def _admit(request: Request, needed: Scope) -> None:
    rights: Rights = request.state.rights
    rights.look()
    lack = rights.refuse(request.scope["headers"], needed)
    if lack is not None:
        raise TokenRefused(lack, needed)
