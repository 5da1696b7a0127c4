"""The wheel, built from this checkout, works where there is none."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
CHAOS = "ALMANAC_CHAOS" in os.environ
EXTRAS = "api,batch,embedded"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, from a copy, as whoever has the sources builds it."""
    sources, built = tmp_path_factory.mktemp("sources") / "almanac", tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(".*", "__pycache__", "tests", "docs")
    shutil.copytree(ROOT, sources, ignore=left_out)
    offline = ["--no-build-isolation"] if find_spec("hatchling") else []
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *offline]
    run([*pip, "--wheel-dir", str(built), str(sources)], built)
    return next(built.glob("almanac_feed-*.whl"))


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command in a folder, without any setting or path of ours, and return what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ALMANAC_", "PYTHON"))}
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_it_works_outside_the_checkout_beside_what_it_needs(wheel: Path, tmp_path: Path) -> None:
    """The packages that it needs are those of this environment; the long form below installs them anew."""
    python = make_environment(tmp_path / "env")
    needed = python.parents[1] / sysconfig.get_path("purelib", vars={"base": "."})
    needed.mkdir(parents=True, exist_ok=True)
    (needed / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install(python, "--no-deps", "--no-index", str(wheel))
    folder, almanac = tmp_path / "empty", python.with_name("almanac")
    folder.mkdir()

    run([almanac, "simulate", "--users", "20", "--posts", "100"], folder)
    told = json.loads(run([almanac, "plan", "--users", "20", "--json"], folder).splitlines()[-1])
    where = run([python, "-c", "import api, batch; print(api.__file__, batch.__file__)"], folder)

    assert told["fits"]
    assert all(path.startswith(str(tmp_path / "env")) for path in where.split())


@pytest.mark.skipif(not CHAOS, reason="part of make chaos: every package is installed and compiled anew")
@pytest.mark.timeout(1800)
def test_it_brings_all_that_the_demo_needs(wheel: Path, tmp_path: Path) -> None:
    python = make_environment(tmp_path / "env")
    install(python, f"almanac-feed[{EXTRAS}] @ {wheel.as_uri()}")
    folder = tmp_path / "empty"
    folder.mkdir()

    report = json.loads(
        run([python.with_name("almanac"), "demo", "--once", "--json"], folder).splitlines()[-1]
    )

    assert report["generation"] == 1
    assert report["lists_written"] == report["users"] * 24 > 0
    assert all(feed["posts"] for feed in report["feeds"])
    assert report["expected_hitrate_at_5"]["almanac"] > report["expected_hitrate_at_5"]["random"]
    assert [path.name for path in folder.iterdir()] == [".almanac"]


def make_environment(folder: Path) -> Path:
    """Make an environment without pip, and return its Python."""
    run([sys.executable, "-m", "venv", "--without-pip", folder], folder.parent)
    return folder / "bin" / "python"


def install(python: Path, *arguments: str) -> None:
    """Install into an environment, by the pip of ours."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    run([*pip, *arguments], python.parent)
