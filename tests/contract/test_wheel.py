"""The built wheel holds what an installed Almanac needs, and nothing else; no network is needed."""

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARKS = ("api/py.typed", "batch/py.typed")  # that the packages bring types
ELSEWHERE = ("batch/publish/almanac.lua",)  # lies in redis/functions


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Build the wheel and give the names of its files."""
    if find_spec("hatchling") is None:
        pytest.skip("hatchling, of the extra dev, builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("almanac_feed-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def files(pattern: str) -> set[str]:
    """Return the files of both packages whose names fit."""
    return {str(path.relative_to(ROOT)) for room in ("api", "batch") for path in (ROOT / room).rglob(pattern)}


PAGES = {name for kind in ("html", "css", "js", "svg") for name in files(f"*.{kind}")}  # the inspector's


def test_the_wheel_holds_every_module_of_both_packages_and_their_data(names: set[str]) -> None:
    packages = {name for name in names if ".dist-info/" not in name}
    assert packages == {*files("*.py"), *files("*.toml"), *files("*.lua"), *PAGES, *ELSEWHERE, *MARKS}


def test_the_wheel_brings_its_licence_and_its_command(names: set[str]) -> None:
    meta = {name.partition(".dist-info/")[2] for name in names if ".dist-info/" in name}

    assert {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"} == meta
