"""The inspector's process: an address, a link to click, and an end."""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty

import uvicorn

from api.tokens import FILE, TokenRegistry
from batch.inspector.app import Inspector
from batch.inspector.desk import Desk
from batch.inspector.door import LINK_S, Door
from batch.inspector.guard import LOOPBACK
from batch.jobs.api_process import find_port
from batch.jobs.stop import stop_signal
from batch.settings import Settings
from batch.store.connection import connect

REPLY_S = 10.0  # a page says that the store is away rather than wait longer
LOOK_EVERY_S = 0.5
GRACE_S = 2  # for pages under way at the end; live ones do not end by themselves


def serve_inspector(
    settings: Settings,
    store_url: str,
    address: tuple[str, int],
    names: tuple[str, ...],
    tell: Callable[[Mapping[str, object]], None],
    *,
    with_link: bool = True,
) -> None:
    """Serve pages until SIGTERM or Ctrl-C.

    Args:
        settings: Prefix, variant, state folder.
        store_url: Of the store; it need not answer.
        address: Host and port to listen on; of port 0, a free one.
        names: Further names that browsers may call us by.
        tell: Told once the address is listened on: the link that lets in once, and for how many seconds.
        with_link: Whether there is such a link; else `tell` is told the address, and tokens alone let in.

    Raises:
        CannotListen: One may not listen there.
    """
    host, stop = address[0], stop_signal()
    port = find_port(*address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        connect(store_url, REPLY_S, 1) as client,
        socket.create_server((host, port), family=family) as listening,
    ):
        door = Door(TokenRegistry(settings.state_dir / FILE), time.time)
        shown = f"[{host}]" if ":" in host else host
        inspector = Inspector(Desk(settings, store_url, client, time.time), door, f"almanac_inspector_{port}")
        server = _server(inspector, (*LOOPBACK, shown, *names))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="inspector")
        thread.start()
        try:
            home = f"http://{shown}:{port}/"
            if with_link:
                tell({"url": f"{home}enter?code={door.make_link()}", "valid_s": LINK_S})
            else:
                tell({"url": home})
            while thread.is_alive():
                try:
                    stop.get(timeout=LOOK_EVERY_S)
                    break
                except Empty:
                    continue
        finally:
            server.should_exit = True
            thread.join()


def _server(inspector: Inspector, hosts: tuple[str, ...]) -> uvicorn.Server:
    # No access log: it would hold the link, and who was looked at.
    config = uvicorn.Config(
        inspector.app(hosts),
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)
