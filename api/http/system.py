"""What the system gives this process: open files, and memory that nobody uses any more."""

import ctypes
import logging
import socket
import struct
import sys
from contextlib import suppress

log = logging.getLogger(__name__)

_SO_ATTACH_FILTER = 26  # of Linux; the socket module has no name for it
# Steps of a BPF program over a TCP header: code, jump if true, jump if false, operand.
_NO_FIRST_PACKET = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x54, 0, 0, 0x12),  # of them SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone begins a connection:
    (0x06, 0, 0, 0),  # drop it,
    (0x06, 0, 0, 0xFFFFFFFF),  # and keep all else
)


def make_room_for_files(most: int, others: int) -> int:
    """Let this process open as many files as `most` connections and `others` need.

    Returns:
        How many connections the system allows, at most `most`; where it is fewer, the log says so.
    """
    import resource  # here, because not every system has it

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = most + others
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return most
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == needed:
        return most
    fits = max(1, allowed - others)
    remedy = f"raise `ulimit -n` to {needed} or lower ALMANAC_MAX_CONNECTIONS"
    why = f"this process may open {allowed} files: {remedy}"
    log.warning("connections.limited", extra={"most": fits, "why": why})
    return fits


def give_back_memory() -> None:
    """Give back what has been freed, which glibc keeps where anything younger is still in use.

    After 1,000 clients that read nothing it kept 90 MB of 94, 2026-11-29.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def let_nobody_connect(door: socket.socket) -> None:
    """Let no new connection begin; those that have begun are made, and can be accepted.

    Closing a socket that listens resets what nobody has accepted, so this comes first. A client hears
    nothing, asks again after a second, and is refused then. Where the system cannot do it, nothing changes.
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(
            b"".join(struct.pack("HBBI", *step) for step in _NO_FIRST_PACKET)
        )
        what = struct.pack("HP", len(_NO_FIRST_PACKET), ctypes.addressof(program))
        with suppress(OSError):  # a sandbox may know no filters
            door.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, what)
