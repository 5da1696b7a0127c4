"""A file's bytes as text of UTF-8: unpacked by what its first bytes say, decoded, read as a stream."""

import codecs
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

HEAD_BYTES = 1 << 18  # what is looked at to find out how a file is written
UNIT = "\x1f"  # stands for a separator of several bytes: ASCII's own separator of units
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@contextmanager
def open_bytes(path: Path) -> Iterator[Any]:
    """Open a file's bytes, unpacked: gzip, bzip2, Zstandard, or a zip of one file.

    Raises:
        OSError: It cannot be read, or is a zip of no file, of several, or with a password.
    """
    with path.open("rb") as file:
        start = file.read(4)
    with ExitStack() as stack:
        if start == b"PK\x03\x04":
            member = stack.enter_context(_open_member(stack.enter_context(zipfile.ZipFile(path))))
            yield stack.enter_context(pa.PythonFile(member, mode="r"))
        else:
            packed = next((name for magic, name in _PACKED.items() if start.startswith(magic)), None)
            yield stack.enter_context(pa.input_stream(str(path), compression=packed))


@contextmanager
def open_text(path: Path, encoding: str, separator: str = ",") -> Iterator[Any]:
    """Open a file's text as a stream of UTF-8; a separator of several bytes becomes `UNIT`.

    Reading raises UnicodeDecodeError where bytes are not of the encoding.
    """
    with open_bytes(path) as stream:
        if encoding == "utf-8":
            text = pa.lib.TransformInputStream(stream, _check())
        else:
            text = pa.lib.transcoding_input_stream(stream, encoding, "utf-8")
        own = separator.encode()
        yield _Replaced(text, own, UNIT.encode()) if len(own) > 1 else text


def read_head(path: Path, encoding: str) -> tuple[str, str, bool]:
    """Return the begin of a file as text, its encoding, and whether there is more.

    An empty encoding is UTF-8, or what a byte order mark says. Bytes that do not fit become `�`: they
    are refused where they are read.
    """
    with open_bytes(path) as stream:
        head = stream.read(HEAD_BYTES)
        more = len(head) == HEAD_BYTES
    encoding = encoding or next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8")
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    return decoder.decode(head, final=not more).removeprefix("\ufeff"), encoding, more


def find_undecodable(path: Path) -> tuple[int, bytes]:
    """Return the number of the first line that is no UTF-8, and that line; 0 where there is none."""
    with open_bytes(path) as stream:
        for number, line in enumerate(io.BufferedReader(stream), 1):
            try:
                line.decode()
            except UnicodeError:
                return number, line.rstrip()
    return 0, b""


def _check() -> Callable[[bytes], bytes]:
    """Return a function that passes bytes on, block by block, and refuses what is no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()

    def check(block: bytes) -> bytes:
        decoder.decode(memoryview(block))
        return block

    return check


def _open_member(archive: zipfile.ZipFile) -> IO[bytes]:
    names = [
        info.filename
        for info in archive.infolist()
        if not info.is_dir() and not info.filename.startswith("__MACOSX/")
    ]
    if len(names) != 1:
        raise OSError(f"a zip of {len(names)} files ({', '.join(names[:5])}): unpack it")
    try:
        return archive.open(names[0])
    except RuntimeError as exc:  # a password is needed
        raise OSError(f"{exc}: unpack it") from exc


class _Replaced(io.RawIOBase):
    """A stream in which one run of bytes stands for another, over the borders of what is read at once."""

    def __init__(self, stream: Any, old: bytes, new: bytes) -> None:
        self._stream = stream
        self._old = old
        self._new = new
        self._held = b""  # may be the begin of `old`
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            read = self._stream.read(max(len(buffer), 1 << 16))
            if not read and not self._held:
                return 0
            self._ready = self._replace(self._held + read, ended=not read)
        n = min(len(buffer), len(self._ready))
        buffer[:n], self._ready = self._ready[:n], self._ready[n:]
        return n

    def _replace(self, read: bytes, *, ended: bool) -> bytes:
        *whole, last = read.split(self._old)
        n_held = 0 if ended else _n_begun(last, self._old)
        self._held = last[len(last) - n_held :]
        return self._new.join([*whole, last[: len(last) - n_held]])


def _n_begun(text: bytes, word: bytes) -> int:
    """Return how many bytes at the end of a text may be the begin of a word."""
    return next((n for n in range(len(word) - 1, 0, -1) if text.endswith(word[:n])), 0)
