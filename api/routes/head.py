"""HEAD where there is GET: routed as one, so the headers are the same; the server leaves the body out."""

from starlette.types import ASGIApp, Receive, Scope, Send

ASKED = "asked_for_head"  # of a scope: so that what nobody sees is not recorded as seen


class HeadAsGet:
    """ASGI: hands a HEAD to the app as a GET. Whoever serves the app still knows it as a HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the app that answers."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        is_head = scope.get("method") == "HEAD"
        await self._app({**scope, "method": "GET", ASKED: True} if is_head else scope, receive, send)
