"""The ways of serving that were tried, one worker each, and what they are measured against.

    ours      a protocol of our own, `python -m api.main`: the way that is kept
    lane      what it replaced, a subclass of uvicorn's private protocol
    hot_asgi  the ASGI route of that time, whose hot part passes no middleware, on plain uvicorn
    granian   the same on Granian

The last three run from the commit before the first one replaced them, so that none of their code is kept.
"""

import io
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

BEFORE = "8bab6cb0012fda1361c2a2a0c32f721e7ceacbee"  # 2026-11-25: the last commit with the lane
ROOT = Path(__file__).parents[2]

UVICORN = ("-m", "uvicorn", "--port", "{port}", "--no-access-log", "--log-level", "warning")
GRANIAN = ("-m", "granian", "--interface", "asgi", "--no-ws", "--port", "{port}", "--log-level", "warning")
OWN = "from api.http import server; from api.settings import Settings; from tests.bench import rivals; "
OWN += "server.serve(rivals.empty(), server.Life(), Settings(port={port}))"

TRIED: Mapping[str, tuple[str, ...]] = {
    "lane": ("-m", "api.main"),
    "hot_asgi": (*UVICORN, "api.main:app"),
    "granian": (*GRANIAN, "api.main:app"),
}
# The empty FastAPI endpoint on the servers of the ways; on uvicorn it is what every way is measured against.
EMPTY: Mapping[str, tuple[str, ...]] = {
    "empty_on_own": ("-c", OWN),
    "empty_on_granian": (*GRANIAN, "--factory", "tests.bench.rivals:empty"),
}
ITS_SERVER = {
    "ours": "empty_on_own",
    "lane": "empty",
    "hot_asgi": "empty",
    "granian": "empty_on_granian",
}


def rival(name: str) -> tuple[str, ...]:
    """Return the command of a rival on uvicorn."""
    return (*UVICORN, "--factory", f"tests.bench.rivals:{name}")


def unpack_before(folder: Path) -> Path:
    """Write the API as it was to a folder of its own, and return that.

    Raises:
        RuntimeError: This is no checkout with that commit.
    """
    packed = subprocess.run(["git", "archive", BEFORE, "api"], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        raise RuntimeError(f"the ways tried need the history up to {BEFORE[:8]}: {packed.stderr.decode()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
        files.extractall(folder / "before", filter="data")
    return folder / "before"
