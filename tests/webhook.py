"""A webhook on this machine: what apprise posts there as JSON, in its order, and when it came."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Webhook:
    """Where notices go: its address for ALMANAC_NOTICES, and what came, each with `at_s`, epoch seconds."""

    url: str
    heard: list[dict[str, Any]] = field(default_factory=list)

    def of_runs(self) -> list[dict[str, Any]]:
        """Return the notices of how runs ended; others, as of a machine with little memory, are left out."""
        return [notice for notice in self.heard if " run " in notice["title"]]


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Listen for notices."""
    hook = Webhook("")

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.heard.append({"at_s": time.time(), **json.loads(body)})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        hook.url = f"json://127.0.0.1:{server.server_port}/"
        listening = threading.Thread(target=server.serve_forever, daemon=True)
        listening.start()
        try:
            yield hook
        finally:
            server.shutdown()
            listening.join()
