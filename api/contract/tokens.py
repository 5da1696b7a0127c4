"""Access tokens as they rest in a file: hashed, so that whoever reads the file cannot use them.

A token is 256 random bits, so a plain SHA-256 of it can be neither guessed nor looked up; a slow hash, which
a password needs, would only slow every request.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, get_args

import orjson

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)  # each allows what the ones before it allow
FILE = "tokens.json"  # in the state folder: the hashes
FIRST = "first-tokens.json"  # beside it: the tokens of the first start, to be handed out and removed

SECRET_BYTES = 32
_PREFIX = "almanac_"


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token; `token_id` names it to people and tells nothing of it."""

    token_id: str
    name: str
    scope: Scope
    sha256: str
    created_at: datetime


def issue(scope: Scope, name: str, secret: bytes, now: datetime) -> tuple[Token, str]:
    """Return a new token as it is kept, and its text, which is told once.

    Args:
        scope: What it allows.
        name: Whose it is, for people.
        secret: 32 random bytes.
        now: Aware time of its making.

    Raises:
        ValueError: The scope is none, or the secret has another length.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope={scope!r} must be {', '.join(SCOPES)}")
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret of {len(secret)} bytes must have {SECRET_BYTES}")
    text = _PREFIX + base64.urlsafe_b64encode(secret).decode().rstrip("=")
    kept = digest(text.encode())
    return Token(kept[:8], name, scope, kept, now), text


def digest(text: bytes) -> str:
    """Return what is kept of a token's text: its SHA-256, hexadecimal."""
    return hashlib.sha256(text).hexdigest()


def scope_of(text: bytes, tokens: Iterable[Token]) -> Scope | None:
    """Return what a token allows; None for one that is not known.

    All are compared, each in constant time, so that how long it takes tells nothing of any.
    """
    given, found = digest(text), None
    for token in tokens:
        if hmac.compare_digest(given, token.sha256):
            found = token.scope
    return found


def allows(scope: Scope, needed: Scope) -> bool:
    """Say whether a scope is enough.

    >>> allows("admin", "write"), allows("read", "write")
    (True, False)
    """
    return SCOPES.index(scope) >= SCOPES.index(needed)


def without(tokens: Sequence[Token], token_id: str) -> list[Token]:
    """Return the tokens but the one named.

    Raises:
        LookupError: There is none of that id.
    """
    kept = [token for token in tokens if token.token_id != token_id]
    if len(kept) == len(tokens):
        raise LookupError(f"no token has the id {token_id!r}: `almanac tokens list` names them")
    return kept


def to_json(tokens: Iterable[Token]) -> bytes:
    """Write tokens as the file holds them, indented: people read it."""
    return orjson.dumps({"tokens": [asdict(token) for token in tokens]}, option=orjson.OPT_INDENT_2) + b"\n"


def from_json(text: bytes) -> list[Token]:
    """Read what `to_json` wrote.

    Raises:
        ValueError: The text is no file of tokens.
    """
    try:
        rows = orjson.loads(text)["tokens"]
        tokens = [Token(**{**row, "created_at": datetime.fromisoformat(row["created_at"])}) for row in rows]
    except (KeyError, TypeError, ValueError) as exc:
        raise ValueError(f"this is no file of tokens: {exc}") from exc
    for token in tokens:
        if token.scope not in SCOPES or not isinstance(token.sha256, str) or len(token.sha256) != 64:
            raise ValueError(f"this is no file of tokens: token {token.token_id!r} has no scope or no hash")
    return tokens
