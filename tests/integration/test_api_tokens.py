"""Who is let in: every route refuses who may not, as its documentation says."""

import time
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient

from api.tokens import FILE, FIRST, add_token, revoke_token
from tests.clients import first_token, serving
from tests.world import World

pytestmark = pytest.mark.integration

WRITES = [
    ("POST", "/events", "write"),
    ("PUT", "/posts/1/takedown", "admin"),
    ("DELETE", "/posts/1/takedown", "admin"),
]
READS = [
    ("GET", "/post/recommendations/?id=2"),
    ("GET", "/users/2/feed"),
    ("POST", "/recommendations/?user_id=2"),
    ("GET", "/metrics"),
]
OPEN = ["/health", "/ready"]


def documented(client: TestClient) -> set[tuple[str, str, str]]:
    """Return (method, path, status) of every documented answer."""
    paths = client.get("/openapi.json").json()["paths"]
    return {
        (method.upper(), path, status)
        for path, methods in paths.items()
        for method, operation in methods.items()
        for status in operation["responses"]
    }


@pytest.mark.parametrize(("method", "path", "scope"), WRITES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic eDp5"},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
    ],
)
def test_a_write_or_admin_route_refuses_a_missing_or_wrong_token(
    store: redis.Redis,
    valkey_url: str,
    tmp_path: Path,
    method: str,
    path: str,
    scope: str,
    headers: dict[str, str],
) -> None:
    with serving(valkey_url, tmp_path) as client:
        reply = client.request(
            method, path, headers=headers, json={"user_id": 1, "post_id": 1, "action": "view"}
        )

    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert f"scope {scope}" in reply.json()["detail"]
    assert not store.keys("*")


@pytest.mark.parametrize(("method", "path", "scope"), WRITES)
def test_a_token_of_a_lesser_scope_is_403(
    store: redis.Redis, valkey_url: str, tmp_path: Path, method: str, path: str, scope: str
) -> None:
    with serving(valkey_url, tmp_path) as client:
        add_token(tmp_path / FILE, "read", "app")
        lesser = {"X-API-Key": add_token(tmp_path / FILE, "read" if scope == "write" else "write", "x")[1]}
        reply = client.request(method, path, headers=lesser, json={})

    assert reply.status_code == 403
    assert reply.json() == {"detail": f"this token does not allow it: one of scope {scope} does"}


def test_every_route_that_needs_a_token_documents_its_refusals(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    with serving(valkey_url, tmp_path) as client:
        said = documented(client)

    for method, path, _ in WRITES:
        path = path.replace("/1/", "/{post_id}/")
        assert {(method, path, "401"), (method, path, "403")} <= said
    guarded = {(method, path) for method, path, status in said if status == "401"}
    assert guarded == {(method, path) for method, path, _ in said} - {("GET", path) for path in OPEN}


def test_reading_is_open_until_there_is_a_read_token(
    store: redis.Redis, valkey_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    World().publish(store).promote(store)

    with serving(valkey_url, tmp_path) as client:
        before = [client.request(method, path).status_code for method, path in READS]
        _, text = add_token(tmp_path / FILE, "read", "app")
        give_up = time.monotonic() + 10
        while client.get("/metrics").status_code == 200 and time.monotonic() < give_up:
            time.sleep(0.05)
        without = [client.request(method, path).status_code for method, path in READS]
        key = [
            client.request(method, path, headers={"X-API-Key": text}).status_code for method, path in READS
        ]
        bearer = {"Authorization": f"Bearer {text}"}
        named = [client.request(method, path, headers=bearer).status_code for method, path in READS]
        alive = [client.get(path).status_code for path in OPEN]

    said = [record.message for record in caplog.records]
    assert before == key == named == [200] * len(READS)
    assert without == [401] * len(READS)
    assert alive == [200, 200]
    assert "reads.opened" in said
    assert "tokens.read" in said


def test_a_token_is_rotated_without_a_restart(store: redis.Redis, valkey_url: str, tmp_path: Path) -> None:
    event = {"user_id": 1, "post_id": 1, "action": "view"}
    with serving(valkey_url, tmp_path) as client:
        token, text = add_token(tmp_path / FILE, "write", "importer")
        admitted = client.post("/events", json=event, headers={"X-API-Key": text})
        revoke_token(tmp_path / FILE, token.token_id)
        refused = client.post("/events", json=event, headers={"X-API-Key": text})

    assert (admitted.status_code, refused.status_code) == (200, 401)


def test_no_token_is_logged_or_kept_as_text(
    store: redis.Redis, valkey_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    with serving(valkey_url, tmp_path) as client:
        headers = first_token(tmp_path, "write")
        client.post("/events", json={"user_id": 1, "post_id": 1, "action": "view"}, headers=headers)
        client.post("/events", json={}, headers={"X-API-Key": "a-secret-of-mine"})

    text = headers["Authorization"].removeprefix("Bearer ")
    kept = [path.read_text() for path in tmp_path.iterdir() if path.name != FIRST]
    logged = "\n".join(str(vars(record)) for record in caplog.records)
    assert len(kept) == 1
    assert text not in kept[0] + logged
    assert "a-secret-of-mine" not in logged
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
