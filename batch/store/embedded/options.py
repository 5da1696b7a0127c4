"""How the embedded store is set up: the same settings as redis/redis.conf, which gives each its reason."""

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
