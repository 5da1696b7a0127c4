"""What the API says of itself: every route has a name and words, every parameter an example that is one."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from api.main import create_app
from api.settings import Settings

PAGE: dict[str, Any] = create_app(Settings()).openapi()
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, methods in PAGE["paths"].items()
    for method, operation in methods.items()
}
PARAMETERS = [
    pytest.param(parameter, id=f"{name} {parameter['name']}")
    for name, operation in OPERATIONS.items()
    for parameter in operation.get("parameters", [])
]


def references(value: object) -> Iterator[str]:
    """Yield every `$ref`."""
    if isinstance(value, dict):
        yield from (held for name, held in value.items() if name == "$ref")
        yield from (found for held in value.values() for found in references(held))
    elif isinstance(value, list):
        yield from (found for held in value for found in references(held))


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]

    assert len(names) == len(set(names)) > 8
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_and_every_answer_is_described(name: str) -> None:
    operation = OPERATIONS[name]

    assert operation["tags"]
    assert operation["summary"]
    assert re.fullmatch(r"[A-Z].*\.", operation["description"], re.DOTALL)
    assert operation["responses"]
    for status, answer in operation["responses"].items():
        assert answer["description"] not in ("", "Successful Response"), status


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_parameter_is_described_and_its_examples_fit(parameter: dict[str, Any]) -> None:
    schema = parameter["schema"]
    examples = [[one] for one in schema["items"]["examples"]] if "items" in schema else schema["examples"]

    assert re.fullmatch(r"(`|[A-Z]).*\.", parameter["description"], re.DOTALL)
    assert examples
    for example in examples:
        bare = {name: value for name, value in schema.items() if name != "format"}  # a time may have a blank
        assert jsonschema_rs.is_valid(bare, example), example


def test_the_examples_of_a_body_fit_its_schema() -> None:
    content = OPERATIONS["POST /events"]["requestBody"]["content"]["application/json"]

    assert len(content["examples"]) > 1
    for example in content["examples"].values():
        assert jsonschema_rs.is_valid(content["schema"], example["value"]), example


def test_every_reference_leads_somewhere() -> None:
    found = set(references(PAGE))

    assert found
    for reference in found:
        at: Any = PAGE
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]
