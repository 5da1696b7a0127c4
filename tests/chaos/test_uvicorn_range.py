"""Our protocol under the oldest and the newest uvicorn that pyproject.toml allows, each in its own folder.

Runs with `ALMANAC_CHAOS=1`: it installs them.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ["test_api_http.py", "test_api_http_limits.py", "test_api_start.py", "test_api_stop.py"]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not os.environ.get("ALMANAC_CHAOS"), reason="installs uvicorn: set ALMANAC_CHAOS=1"),
]


def requirement(which: str) -> str:
    """Return what pip installs: the lower end of the range, or whatever it allows that is newest."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["api"]
    allowed = next(str(spec) for spec in declared if re.match(r"uvicorn\b", spec))
    return allowed.replace(">=", "==") if which == "oldest" else allowed


@pytest.mark.timeout(600)
@pytest.mark.parametrize("which", ["oldest", "newest"])
def test_the_server_works_under_every_uvicorn_of_the_range(which: str, tmp_path: Path) -> None:
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--upgrade",
        "--target",
        str(tmp_path),
    ]
    subprocess.run([*pip, requirement(which)], check=True)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}

    told = subprocess.run(
        [sys.executable, "-c", "import uvicorn; print(uvicorn.__file__, uvicorn.__version__)"],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    files = [str(ROOT / "tests" / "integration" / name) for name in TESTS]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *files],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.startswith(str(tmp_path))
    if which == "oldest":
        assert requirement(which).endswith(told.split()[-1].removesuffix(".0"))
    assert ended.returncode == 0, ended.stdout[-4000:]
