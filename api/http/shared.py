"""What the connections of a server share."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

if TYPE_CHECKING:
    from api.http.protocol import FeedHttpProtocol


class Life:
    """Whether the server is about to stop: then answers ask the client to come back on a new connection."""

    def __init__(self) -> None:
        """Begin alive."""
        self.ending = False


@dataclass(slots=True)
class Shared:
    """What the connections of a server share.

    Attributes:
        app: Answers all but plain feed requests.
        state: What the app's lifespan opened.
        life: Whether the server is about to stop.
        most: Connections that may be open.
        date: The header that says what time it is.
        connections: Those that are open.
        exchanges: Those under way; one may outlive its connection.
    """

    app: ASGIApp
    state: dict[str, Any]
    life: Life
    most: int
    date: bytes = b""
    connections: "set[FeedHttpProtocol]" = field(default_factory=set)
    exchanges: set[asyncio.Task[None]] = field(default_factory=set)
