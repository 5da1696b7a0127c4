"""How the embedded store is set up: the same settings as redis/redis.conf, which gives each its reason."""

import os
from pathlib import Path

# A test holds redis/redis.conf to these.
SHARED = {
    "hash-max-listpack-value": "512",
    "hash-max-listpack-entries": "512",
    "zset-max-listpack-entries": "1024",
    "zset-max-listpack-value": "64",
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
}

# Every list and seen set that is loaded is checked entry by entry. Of the memory that this frees glibc keeps
# seven pieces of a size at hand; the rest are holes that it walks along later: a store of 1.6 GB was up in 61
# CPU seconds, and in 19 with a thousand at hand. What is not glibc does not read this.
TUNABLES = "glibc.malloc.tcache_count=1024"


def environment() -> dict[str, str]:
    """Return the environment of the server: ours, and how memory is given out unless that is set there."""
    return {"GLIBC_TUNABLES": TUNABLES, **os.environ}


def command(binary: Path, port: int, folder: Path) -> list[str]:
    """Return the command that starts the server on loopback with its data in `folder`."""
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "daemonize": "no",
        "logfile": str(folder / "server.log"),
        **SHARED,
    }
    return [str(binary), *(part for name, value in options.items() for part in (f"--{name}", value))]
