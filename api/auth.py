"""Who may do what: the check of a request's token.

Without a token of scope `read` whoever asks may read. Writing and administering always need one.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Literal

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from api.tokens import SCOPES, Scope, TokenRegistry

Headers = Iterable[tuple[bytes, bytes]]  # as in an ASGI scope: names in lower case
Lack = Literal["missing", "wrong", "scope"]

_SEND = "send `Authorization: Bearer <token>` or `X-API-Key: <token>`"
_SENTENCES: dict[Lack, str] = {
    "missing": f"this needs a token of scope {{}}: {_SEND}",
    "wrong": f"this token is not known: {_SEND} with one of scope {{}}",
    "scope": "this token does not allow it: one of scope {} does",
}


class TokenRefused(PermissionError):
    """A request has no token, a wrong one (`lack` says which), or one for less than it asks."""

    def __init__(self, lack: Lack, needed: Scope) -> None:
        super().__init__(_SENTENCES[lack].format(needed))
        self.lack = lack


def token_in(headers: Headers) -> bytes | None:
    """Return the token that a request brings; None if it brings none.

    >>> token_in([(b"host", b"x"), (b"authorization", b"Bearer abc")]), token_in([(b"x-api-key", b"abc")])
    (b'abc', b'abc')
    """
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
        if name == b"x-api-key":
            return value.strip()
    return None


def lack_of(tokens: TokenRegistry, headers: Headers, needed: Scope) -> Lack | None:
    """Return what a request with these headers lacks for a scope; None if it may do what needs the scope."""
    text = token_in(headers)
    if text is None:
        return "missing"
    rank = tokens.rank(text)
    if rank < 0:
        return "wrong"
    return None if rank >= SCOPES.index(needed) else "scope"


def may_read(tokens: TokenRegistry, headers: Headers) -> bool:
    """Say whether a request with these headers may read."""
    return tokens.open_to_read or lack_of(tokens, headers, "read") is None


_Bearer = Annotated[object, Security(HTTPBearer(auto_error=False, description="A token."))]
_Key = Annotated[object, Security(APIKeyHeader(name="X-API-Key", auto_error=False, description="A token."))]


def _needs(scope: Scope, *, may_be_open: bool = False) -> Callable[..., Awaitable[None]]:
    """Return what a route depends on: it raises TokenRefused for a request without a token of that scope."""

    async def admit(request: Request, _bearer: _Bearer = None, _key: _Key = None) -> None:
        tokens: TokenRegistry = request.state.tokens
        if may_be_open and tokens.open_to_read:
            return
        tokens.refresh()
        lack = lack_of(tokens, request.scope["headers"], scope)
        if lack is not None:
            raise TokenRefused(lack, scope)

    return admit


needs_read = _needs("read", may_be_open=True)  # open while there is no token of scope read
needs_token = _needs("read")
needs_write = _needs("write")
needs_admin = _needs("admin")
