"""Whatever is sent to any documented route: no 5xx, and no answer that is not documented."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.main import create_app
from api.settings import Settings
from tests.clients import first_token, running
from tests.world import KINDS, World

pytestmark = pytest.mark.integration

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SCHEMA = schemathesis.openapi.from_dict(create_app(Settings()).openapi())


@pytest.fixture(scope="module", params=["numbers", "text"])
def api(
    request: pytest.FixtureRequest, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, str]]]:
    """Give the address of an API that serves the world, and the header of a token for everything."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    with redis.Redis.from_url(valkey_url) as store:
        store.flushall()
        World(names=KINDS[request.param]).publish(store).promote(store)
        with running(valkey_url, folder) as base:
            yield base, first_token(folder, "admin")
        store.flushall()


@pytest.mark.parametrize("brings_token", [True, False])
@SCHEMA.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_request_gets_a_5xx_or_an_undocumented_answer(
    case: Any, api: tuple[str, dict[str, str]], brings_token: bool
) -> None:
    base, token = api

    reply = case.call(base_url=base, headers=token if brings_token else None)

    case.validate_response(reply, checks=CHECKS)
