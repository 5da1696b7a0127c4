"""Where in a cluster a key lies, and what its nodes say of that: pure, no I/O."""

from binascii import crc_hqx  # CRC-16/XMODEM, which is the cluster's
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from api.address import Node
from api.store.connection import Refusal

N_SLOTS = 16_384


class Redirect(NamedTuple):
    """Where a node sends us: for good, or once for keys that are on their way."""

    slot: int
    node: Node
    is_moved: bool


class Range(NamedTuple):
    """Slots `first` to `last`, both inclusive, with the nodes that have them."""

    first: int
    last: int
    primary: Node
    replicas: tuple[Node, ...]


def slot_of(tag: bytes) -> int:
    """Return the slot of what stands between a key's first braces.

    >>> slot_of(b"123456789"), slot_of(b"")
    (12739, 0)
    """
    return crc_hqx(tag, 0) & N_SLOTS - 1


def slot_of_key(key: str | bytes) -> int:
    """Return a key's slot; without a tag all of it counts.

    >>> slot_of_key("a:{200}:1") == slot_of(b"200"), slot_of_key("a:{}:1") == slot_of(b"a:{}:1")
    (True, True)
    """
    name = key.encode() if isinstance(key, str) else key
    start = name.find(b"{") + 1
    end = name.find(b"}", start) if start else -1
    return slot_of(name[start:end] if end > start else name)


def read_redirect(reply: object, told_by: Node) -> Redirect | None:
    """Return where an error reply sends us; None: it is none that does.

    >>> read_redirect(Refusal("MOVED 7 10.0.0.2:6379"), ("10.0.0.1", 1))
    Redirect(slot=7, node=('10.0.0.2', 6379), is_moved=True)
    >>> read_redirect(Refusal("ASK 7 :6379"), ("10.0.0.1", 1))
    Redirect(slot=7, node=('10.0.0.1', 6379), is_moved=False)
    """
    if not isinstance(reply, Refusal):
        return None
    kind, *rest = str(reply).split(" ")
    if kind not in ("MOVED", "ASK") or len(rest) < 2:
        return None
    host, _, port = rest[1].rpartition(":")
    return Redirect(int(rest[0]), (host or told_by[0], int(port)), kind == "MOVED")


def is_passing(reply: object) -> bool:
    """Say whether an error reply is one of a cluster that changes: to be tried again."""
    return isinstance(reply, Refusal) and str(reply).startswith(("TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN"))


def read_ranges(reply: Any, told_by: Node) -> Iterator[Range]:
    """Yield what `CLUSTER SLOTS` says; a node without a name is where it was asked.

    >>> [*read_ranges([[0, 5, [b"a", 1, b"x"], [b"", 2, b"y"]]], ("b", 3))]
    [Range(first=0, last=5, primary=('a', 1), replicas=(('b', 2),))]
    """
    for first, last, *nodes in reply:
        primary, *replicas = (_read_node(node, told_by) for node in nodes)
        yield Range(first, last, primary, tuple(replicas))


def _read_node(told: Sequence[Any], told_by: Node) -> Node:
    host, port = told[:2]
    return (host.decode() if host and host != b"?" else told_by[0]), int(port)
