"""A reply of the store as `redis-cli` prints it: numbered and quoted for people, bare for programs."""

from batch.store.reply import Refusal, Reply, Status

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b"}


def as_text(reply: Reply, indent: str = "") -> bytes:
    r"""Return a reply as `redis-cli` shows it on a terminal, `indent` before all lines but the first.

    >>> print(as_text([b"17 \xff", 3, None, [b"a", Status(b"OK")]]).decode())
    1) "17 \xff"
    2) (integer) 3
    3) (nil)
    4) 1) "a"
       2) OK
    """
    match reply:
        case None:
            return b"(nil)"
        case int():
            return b"(integer) %d" % reply
        case Refusal():
            return b"(error) " + reply
        case Status():
            return bytes(reply)
        case bytes():
            return quote(reply).encode()
        case []:
            return b"(empty array)"
    width = len(str(len(reply)))
    within = indent + " " * (width + 2)
    items = (f"{k:{width}}) ".encode() + as_text(item, within) for k, item in enumerate(reply, 1))
    return f"\n{indent}".encode().join(items)


def as_bytes(reply: Reply) -> bytes:
    r"""Return a reply as `redis-cli --raw` writes it: values as they are, one a line.

    >>> as_bytes([b"17", 3, None])
    b'17\n3\n'
    """
    match reply:
        case None:
            return b""
        case int():
            return b"%d" % reply
        case Refusal():
            return reply + b"\n"
        case bytes():
            return bytes(reply)
    return b"\n".join(map(as_bytes, reply))


def as_value(reply: Reply) -> object:
    r"""Return a reply for JSON; a byte that is no UTF-8 becomes `\x..`."""
    if isinstance(reply, list):
        return [as_value(item) for item in reply]
    return reply.decode(errors="backslashreplace") if isinstance(reply, bytes) else reply


def quote(value: bytes) -> str:
    r"""Write bytes in quotes, as `redis-cli` does.

    >>> print(quote('é "1"\n'.encode()))
    "\xc3\xa9 \"1\"\n"
    """
    shown = (_ESCAPES.get(chr(b)) or (chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in value)
    return f'"{"".join(shown)}"'
