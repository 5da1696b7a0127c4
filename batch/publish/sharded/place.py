"""Where a prepared generation lies: a folder that all machines see, or object storage by an fsspec URL.

Whoever puts files is told their digests, and whoever fetches them says which; so what was half written, or
written by somebody else, is never taken for them.
"""

import hashlib
import logging
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from api.address import hide_password
from batch.extras import require_extra
from batch.publish.folder import link

Files = Mapping[str, str]  # file name to SHA-256, hexadecimal
_OURS = re.compile(r"prepared-\d+-[0-9a-f]{8}$")  # nothing else is ever removed

log = logging.getLogger(__name__)


class PlaceFailed(RuntimeError):
    """Files cannot be put or fetched."""

    exit_code = 3

    def __init__(self, url: str, why: object) -> None:
        """Name the place without its password."""
        super().__init__(
            f"what was prepared cannot be reached at {hide_password(url)}: {why or type(why).__name__}; "
            "every machine must see that folder, or have the rights to that object storage"
        )


class PreparedSpoilt(RuntimeError):
    """Files are not what was put."""

    exit_code = 7


class Place(Protocol):
    """Keeps folders of files by name."""

    def put(self, files: Iterable[Path], name: str) -> Files:
        """Move files into the folder of a name; return their digests.

        Raises:
            PlaceFailed: It does not work.
        """

    def fetch(self, name: str, files: Files, folder: Path) -> None:
        """Bring files of a name into a folder, made where it is missing.

        Raises:
            PlaceFailed: It does not work; PreparedSpoilt: they are others.
        """

    def remove(self) -> None:
        """Remove all of it, if it is there.

        Raises:
            PlaceFailed: It does not work.
        """


def open_place(url: str) -> Place:
    """Return the place of a folder's path, or of an fsspec URL such as `s3://bucket/almanac`.

    Raises:
        LookupError: The package for such URLs is not installed.
        PlaceFailed: There are no such URLs.
    """
    if "://" not in url or url.startswith("file://"):
        return _Folder(Path(url.removeprefix("file://")))
    return _Storage(url)


def clear_place(url: str, generation: int) -> None:
    """Remove what was prepared of a generation; what cannot be removed holds nothing up."""
    try:
        open_place(url).remove()
    except (PlaceFailed, LookupError) as exc:
        log.warning("prepared.left", extra={"generation": generation, "why": str(exc)})


def digest_file(path: Path) -> str:
    """Return a file's SHA-256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Folder:
    """A folder: files are moved in and linked out."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, files: Iterable[Path], name: str) -> Files:
        digests = {}
        with _told(str(self._path)):
            (self._path / name).mkdir(parents=True, exist_ok=True)
            for path in sorted(files):
                digests[path.name] = digest_file(path)
                shutil.move(path, self._path / name / path.name)
        return digests

    def fetch(self, name: str, files: Files, folder: Path) -> None:
        with _told(str(self._path)):
            link([self._path / name / file for file in files], folder)
        _check(files, folder)

    def remove(self) -> None:
        _refuse_others(str(self._path))
        with _told(str(self._path)):
            if self._path.is_dir():
                shutil.rmtree(self._path)


class _Storage:
    """Object storage, or whatever else fsspec reaches."""

    def __init__(self, url: str) -> None:
        require_extra("fsspec", "s3")
        if url.startswith(("s3://", "s3a://")):
            require_extra("s3fs", "s3")
        import fsspec.core

        self._url = url
        with _told(url):
            found: tuple[Any, str] = fsspec.core.url_to_fs(url)
        self._fs, self._path = found

    def put(self, files: Iterable[Path], name: str) -> Files:
        files = sorted(files)
        digests = {path.name: digest_file(path) for path in files}
        with _told(self._url):
            self._fs.put([str(path) for path in files], [f"{self._path}/{name}/{file}" for file in digests])
        for path in files:
            path.unlink()
        return digests

    def fetch(self, name: str, files: Files, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with _told(self._url):
            self._fs.get(
                [f"{self._path}/{name}/{file}" for file in files], [str(folder / file) for file in files]
            )
        _check(files, folder)

    def remove(self) -> None:
        _refuse_others(self._path)
        with _told(self._url):
            self._fs.invalidate_cache()
            if self._fs.exists(self._path):
                self._fs.rm(self._path, recursive=True)


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Name the place in what a file system raises, which is of any kind."""
    try:
        yield
    except Exception as exc:
        raise PlaceFailed(url, exc) from exc


def _check(files: Files, folder: Path) -> None:
    for name, digest in files.items():
        if digest_file(folder / name) != digest:
            raise PreparedSpoilt(f"{name} is not what was prepared: begin anew with `almanac prepare`")


def _refuse_others(path: str) -> None:
    assert _OURS.search(path.rstrip("/")), f"{path} is no folder of a prepared generation"
