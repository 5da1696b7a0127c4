"""Pages of other origins read the API where ALMANAC_CORS_ORIGINS names them, hot path and all."""

from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient

from api.main import create_app
from api.settings import Settings
from tests.clients import NOW_S, serving
from tests.http_bytes import HEAD, NATIVE, PLAIN, exchange, request, served, status_of
from tests.world import World

pytestmark = pytest.mark.integration

SHOP, STRANGER = "https://shop.example", "http://localhost:3000"
ORIGINS = f"{SHOP}, https://app.example:8443"
MADE = "&exclude=1"  # with it a native request is none of the hot path


def said(answer: bytes) -> dict[str, str]:
    """Return what an answer says of origins."""
    lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    named = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return {
        name: value for name, value in named.items() if name == "vary" or name.startswith("access-control")
    }


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (ORIGINS, SHOP, SHOP),
        (ORIGINS, "https://app.example:8443", "https://app.example:8443"),
        (ORIGINS, STRANGER, None),
        (ORIGINS, "https://shop.example.evil", None),
        (ORIGINS, "", None),
        ("*", STRANGER, "*"),
        ("*", "", None),
        ("", SHOP, None),
    ],
)
def test_an_answer_names_the_origin_that_may_read_it_on_every_path(
    store: redis.Redis, valkey_url: str, origins: str, origin: str, allowed: str | None
) -> None:
    World().publish(store).promote(store)
    head = HEAD + (f"Origin: {origin}\r\n" if origin else "")
    targets = [PLAIN, PLAIN, NATIVE, NATIVE + MADE, "/health", "/users/200/feed?limit=0", "/nowhere"]

    with served(valkey_url, cors_origins=origins) as port:
        answers = exchange(port, [request(target, head) for target in targets], len(targets))

    assert [status_of(answer) for answer in answers] == [200] * 5 + [422, 404]
    found = {tuple(sorted(said(answer).items())) for answer in answers}
    assert len(found) == 1
    told = dict(next(iter(found)))
    assert told.get("access-control-allow-origin") == allowed
    assert ("vary" in told) == (origins == ORIGINS)
    assert ("X-Almanac-Rung" in told.get("access-control-expose-headers", "")) == (allowed is not None)


def test_two_origins_on_one_connection_each_get_their_own_name(store: redis.Redis, valkey_url: str) -> None:
    World().publish(store).promote(store)
    origins = [SHOP, STRANGER, "https://app.example:8443", SHOP]

    with served(valkey_url, cors_origins=ORIGINS) as port:
        asked = [request(PLAIN, f"{HEAD}Origin: {origin}\r\n") for origin in origins]
        answers = exchange(port, asked, len(asked))

    told = [said(answer).get("access-control-allow-origin") for answer in answers]
    assert told == [SHOP, None, "https://app.example:8443", SHOP]


@pytest.mark.parametrize(
    ("origin", "method", "header", "status"),
    [
        (SHOP, "GET", "authorization", 200),
        (SHOP, "POST", "content-type, x-api-key", 200),
        (SHOP, "PATCH", "", 400),
        (STRANGER, "GET", "", 400),
    ],
)
def test_a_browser_that_asks_beforehand_needs_no_token(
    valkey_url: str, tmp_path: Path, origin: str, method: str, header: str, status: int
) -> None:
    app = create_app(Settings(redis_url=valkey_url, state_dir=tmp_path, cors_origins=ORIGINS))
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if header:
        asked["Access-Control-Request-Headers"] = header

    with TestClient(app) as client:
        reply = client.options("/events", headers=asked)

    assert reply.status_code == status
    assert reply.headers.get("access-control-allow-origin") == (origin if origin == SHOP else None)
    assert reply.headers["x-request-id"]


def test_without_the_setting_nothing_is_said_of_origins(valkey_url: str, tmp_path: Path) -> None:
    with serving(valkey_url, tmp_path, NOW_S) as client:
        replies = [client.get("/health", headers={"Origin": SHOP}), client.options("/events")]

    assert [reply.status_code for reply in replies] == [200, 405]
    assert not [
        name for reply in replies for name in reply.headers if name.startswith(("vary", "access-control"))
    ]


@pytest.mark.parametrize(
    "value", ["shop.example", "https://shop.example/", "*, https://a.example", "https://a b"]
)
def test_what_is_no_origin_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="ALMANAC_CORS_ORIGINS"):
        Settings(cors_origins=value)
