"""`redis/KEYS.md` against `api/contract/keys.py`: what people read is what the code does."""

import inspect
import itertools
import re
from pathlib import Path

import pytest
import redis

from api.contract.keys import Keys

ROOT = Path(__file__).parents[2]
COLUMNS = ["key", "type", "writer", "reader", "TTL", "bytes", "example"]
METHODS = {name: method for name, method in inspect.getmembers(Keys, inspect.isfunction) if name[0] != "_"}


def rows() -> list[dict[str, str]]:
    """Return the rows of the page's table of keys, by column."""
    lines = (ROOT / "redis" / "KEYS.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    body = itertools.takewhile(lambda row: len(row) > 1, cells[cells.index(COLUMNS) + 2 :])
    return [dict(zip(COLUMNS, row, strict=True)) for row in body]


def shape(key: str) -> str:
    """Return a key with every placeholder made alike."""
    return re.sub(r"<[^>]*>", "<>", key.strip("`"))


def spelled(name: str) -> str:
    """Return what a method of Keys gives for placeholders."""
    arguments = [f"<{argument}>" for argument in list(inspect.signature(METHODS[name]).parameters)[1:]]
    return str(METHODS[name](Keys(), *arguments))


@pytest.mark.parametrize("name", METHODS)
def test_every_key_has_one_row_with_its_type(name: str) -> None:
    described = [row for row in rows() if shape(row["key"]) == shape(spelled(name))]
    documented = (METHODS[name].__doc__ or "").split()[0].strip(":")

    assert len(described) == 1
    assert described[0]["type"].split()[0].upper() == documented


def test_every_row_is_a_key_and_has_no_empty_cell() -> None:
    known = {shape(spelled(name)) for name in METHODS}

    assert {shape(row["key"]) for row in rows()} == known
    assert all(cell for row in rows() for cell in row.values())


def test_redis_is_the_client_and_not_our_folder() -> None:
    imported = Path(inspect.getfile(redis)).resolve()

    assert ROOT / "redis" not in imported.parents
    assert hasattr(redis, "Redis")
    assert not list((ROOT / "redis").rglob("*.py"))
