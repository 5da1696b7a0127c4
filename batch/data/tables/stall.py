"""A PostgreSQL that falls silent: whoever waits for it, in a C library too, is freed and told so.

A server that is paused or hangs keeps its connections, so neither a connect time-out nor TCP's keep-alives
end a wait, and a request to cancel would wait for the same server. But the sockets are ours: a thread
watches, and shutting them down ends each wait as if the server had closed them.
"""

import os
import socket
import stat
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

from psycopg.pq import Conninfo
from sqlalchemy.engine import URL

from batch.data.tables.location import SourceAway, show

STALL_S = 120.0  # the setting's default; a server sends the first rows of a table within moments
WAITS = {
    "connect_timeout": "10",
    "keepalives": "1",  # a host that is gone, by which a wait ends sooner than by silence
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "client_encoding": "utf8",  # an SQL_ASCII database would send bytes that are no text to either driver
}
_LOOK_S = 1.0
_SENT_AND_RECEIVED = struct.Struct("=44xI4xI")  # Linux' tcp_info: milliseconds since data went and came


class DatabaseStalled(SourceAway):
    """The database holds its connections and sends nothing."""


def with_waits(url: URL) -> URL:
    """Return the URL of a PostgreSQL with bounded waits; what it says itself stays. Others are left alone."""
    if url.get_backend_name() != "postgresql":
        return url
    return url.update_query_dict({name: value for name, value in WAITS.items() if name not in url.query})


class Watch:
    """Watches the connections that are made to a PostgreSQL after it; it lets other databases be.

    Bytes are seen on Linux by TCP. On a Unix socket and elsewhere the time since a wait began counts, so a
    wait should be for one statement, or for one batch of its rows.
    """

    def __init__(self, url: URL, stall_s: float) -> None:
        """Take note of the connections that are there already and are none of ours."""
        self._url, self._stall_s, self._ports = url, stall_s, frozenset[int]()
        if url.get_backend_name() == "postgresql":
            self._ports = _ports(url)
        with _connections(self._ports) as found:
            self._others = {_inode(connection) for connection in found}

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let the body wait as long as bytes come or go; after `stall_s` without any, end it.

        The connections are shut down then and cannot be used again.

        Raises:
            DatabaseStalled: It was silent for so long; what the body raised is its cause.
        """
        if not self._ports:
            yield
            return
        over, stalled = threading.Event(), threading.Event()
        watching = threading.Thread(target=self._look, args=(over, stalled), daemon=True)
        watching.start()
        try:
            yield
        except Exception as exc:
            if not stalled.is_set():
                raise
            raise DatabaseStalled(
                f"{show(self._url)} has sent nothing for {self._stall_s:g} s: is it paused, "
                "locked or overloaded? ALMANAC_DATABASE_STALL_S says how long to wait"
            ) from exc
        finally:
            over.set()
            watching.join()

    def _look(self, over: threading.Event, stalled: threading.Event) -> None:
        began = time.monotonic()
        while not over.wait(min(_LOOK_S, self._stall_s / 4)):
            waited_s = time.monotonic() - began
            if waited_s < self._stall_s:
                continue
            with _connections(self._ports) as found:
                ours = [connection for connection in found if _inode(connection) not in self._others]
                if min([waited_s, *map(_silent_s, ours)]) < self._stall_s:
                    continue
                stalled.set()
                for connection in ours:
                    with suppress(OSError):  # it ended in between
                        connection.shutdown(socket.SHUT_RDWR)
            return


def _ports(url: URL) -> frozenset[int]:
    """Return the ports that libpq would try: of the URL, of its list of hosts, else its default."""
    text = url.query.get("port", "")
    named = {int(port) for port in str(text).split(",") if port.isdecimal()} | {url.port or 0}
    default = next(int(option.val or 5432) for option in Conninfo.get_defaults() if option.keyword == b"port")
    return frozenset(named - {0} or {default})


@contextmanager
def _connections(ports: frozenset[int]) -> Iterator[list[socket.socket]]:
    """Give this process's sockets whose other end is one of these ports, as descriptors of our own."""
    with ExitStack() as stack:
        ours = [stack.enter_context(closing(candidate)) for candidate in _sockets()]
        yield [candidate for candidate in ours if _port(candidate) in ports]


def _sockets() -> Iterator[socket.socket]:
    for number in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 - numbers, no paths
        with suppress(OSError):  # it was closed by now
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                yield socket.socket(fileno=os.dup(number))


def _inode(connection: socket.socket) -> int:
    """Return what tells a connection from all others, by whichever descriptor."""
    return os.fstat(connection.fileno()).st_ino


def _port(candidate: socket.socket) -> int:
    """Return the port of the other end; PostgreSQL's Unix sockets are named `….s.PGSQL.5432`."""
    try:
        peer: Any = candidate.getpeername()
    except OSError:  # it is not connected
        return 0
    if isinstance(peer, tuple):
        return int(peer[1])
    last = os.fsdecode(peer).rpartition(".s.PGSQL.")[2]
    return int(last) if last.isdecimal() else 0


def _silent_s(connection: socket.socket) -> float:
    """Return the seconds since data last went or came; infinity where the system does not say."""
    if connection.family == socket.AF_UNIX or not hasattr(socket, "TCP_INFO"):
        return float("inf")
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SENT_AND_RECEIVED.size)
    return float(min(_SENT_AND_RECEIVED.unpack(info))) / 1000
