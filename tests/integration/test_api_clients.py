"""Clients that exist already, replayed call by call: what they send is answered in the shape they expect."""

from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import moment
from api.contract.keys import Keys
from api.main import create_app
from api.settings import Settings
from tests.clients import NOW_S, first_token
from tests.world import HOUR_S, TEXT, World

pytestmark = pytest.mark.integration

BUCKET_S = NOW_S - NOW_S % HOUR_S


@pytest.fixture
def world(store: redis.Redis) -> World:
    """Publish the world and make it current, under a second name, too."""
    world = World().publish(store).promote(store)
    store.hset(Keys().current("bold"), mapping={"generation": 1, "promoted_at": NOW_S})
    return world


@pytest.fixture
def headers(client: TestClient, tmp_path: Path) -> dict[str, str]:
    """Return what the course service's client brings."""
    return first_token(tmp_path, "write")


class TestFeedChecker:
    """`GET /post/recommendations/?id=&time=&limit=`."""

    def test_a_datetime_is_sent_as_the_test_client_sends_it(self, world: World, client: TestClient) -> None:
        reply = client.get(
            "/post/recommendations/",
            params={"id": 1, "time": datetime(2021, 12, 20, 12), "limit": 5},  # type: ignore[dict-item]  # noqa: DTZ001 - as it does
        )

        posts: list[dict[str, Any]] = reply.json()
        assert [post["id"] for post in posts] == world.own(1, world.manifest.start_s + 2 * HOUR_S)[:5]
        assert [set(post) for post in posts] == [{"id", "text", "topic"}] * 5

    @pytest.mark.parametrize(
        "time",
        [
            "2021-12-20 12:00:00",
            "2021-12-20T12:00:00",
            "2021-12-20%2012:00",
            "2021-12-20+12:00:00",
            "2021-12-20T12:00Z",
        ],
    )
    @pytest.mark.parametrize("path", ["/post/recommendations/", "/post/recommendations"])
    def test_a_space_a_t_and_a_plus_are_the_same(
        self, world: World, client: TestClient, path: str, time: str
    ) -> None:
        reply = client.get(f"{path}?id=1&time={time}&limit=5", follow_redirects=False)

        assert reply.status_code == 200
        assert [post["id"] for post in reply.json()] == world.own(1, world.manifest.start_s + 2 * HOUR_S)[:5]


class TestCourseService:
    """`GET /reco/{model_name}/{user_id}`."""

    @pytest.mark.parametrize("model", ["default", "bold"])
    def test_ten_distinct_items_of_the_user_come_by_the_models_name(
        self, world: World, client: TestClient, headers: dict[str, str], model: str
    ) -> None:
        reply = client.get(f"/reco/{model}/2", headers=headers)

        assert reply.json() == {"user_id": 2, "items": world.own(2, BUCKET_S)}
        assert reply.headers["x-almanac-rung"] == "own"

    @pytest.mark.parametrize("user", [0, 999, 10**9])
    def test_a_cold_user_still_gets_ten_distinct_items(
        self, world: World, client: TestClient, headers: dict[str, str], user: int
    ) -> None:
        items = client.get(f"/reco/default/{user}", headers=headers).json()["items"]

        assert len(set(items)) == len(items) == 10
        assert all(isinstance(item, int) for item in items)

    @pytest.mark.parametrize("user", [1, 3, 5, 7, 8])  # the test client decodes a path twice, so no `%`
    def test_items_of_text_come_as_they_are_spelled(
        self, store: redis.Redis, client: TestClient, headers: dict[str, str], user: int
    ) -> None:
        world = World(names=TEXT).publish(store).promote(store)

        reply = client.get(f"/reco/default/{quote(str(TEXT.user(user)), safe='')}", headers=headers)

        wanted = [TEXT.post(post) for post in world.own(user, BUCKET_S)]
        assert reply.json() == {"user_id": TEXT.user(user), "items": wanted}

    @pytest.mark.parametrize(
        ("path", "key", "message"),
        [
            ("/reco/some_model/2", "model_not_found", "Model some_model not found"),
            ("/reco/a%20b/2", "model_not_found", "Model a b not found"),
            ("/reco/default/1000000001", "user_not_found", "User 1000000001 not found"),
        ],
    )
    def test_what_is_unknown_is_404_in_the_envelope(
        self, world: World, client: TestClient, headers: dict[str, str], path: str, key: str, message: str
    ) -> None:
        reply = client.get(path, headers=headers)

        error = {"error_key": key, "error_message": message, "error_loc": None}
        assert (reply.status_code, reply.json()) == (404, {"errors": [error]})

    @pytest.mark.parametrize("brought", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "wrong"}])
    def test_without_a_good_token_it_is_401_in_the_envelope(
        self, world: World, client: TestClient, brought: dict[str, str]
    ) -> None:
        reply = client.get("/reco/default/2", headers=brought)

        (error,) = reply.json()["errors"]
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert (error["error_key"], error["error_loc"]) == ("unauthorized", None)

    def test_a_user_id_that_is_none_is_422_in_the_envelope(
        self, world: World, client: TestClient, headers: dict[str, str]
    ) -> None:
        reply = client.get("/reco/default/", headers=headers)

        (error,) = reply.json()["errors"]
        assert reply.status_code == 422
        assert error["error_loc"] == ["path", "user_id"]
        assert error["error_key"] == "user_id"

    def test_a_fault_of_ours_is_500_in_the_envelope_and_is_logged(
        self, world: World, valkey_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken() -> float:
            raise ZeroDivisionError

        with TestClient(
            create_app(Settings(redis_url=valkey_url, state_dir=tmp_path), clock=broken)
        ) as client:
            reply = client.get("/reco/default/2", headers=first_token(tmp_path, "write"))

        error = {"error_key": "server_error", "error_message": "Internal Server Error", "error_loc": None}
        assert (reply.status_code, reply.json()) == (500, {"errors": [error]})
        assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
            "request.failed"
        ]

    def test_nothing_published_is_503_in_the_envelope(
        self, store: redis.Redis, client: TestClient, headers: dict[str, str]
    ) -> None:
        reply = client.get("/reco/default/2", headers=headers)

        assert (reply.status_code, int(reply.headers["retry-after"]) >= 1) == (503, True)
        assert reply.json()["errors"][0]["error_key"] == "unavailable"

    def test_health_is_200(self, store: redis.Redis, client: TestClient) -> None:
        assert client.get("/health").status_code == 200


class TestShop:
    """`POST /recommendations/?user_id=&k=` and `POST /events`."""

    @pytest.mark.parametrize("path", ["/recommendations/", "/recommendations"])
    def test_k_ids_come_best_first(self, world: World, client: TestClient, path: str) -> None:
        reply = client.post(f"{path}?user_id=1&k=5", follow_redirects=False)

        assert reply.json() == {"user_id": 1, "recs": world.own(1, BUCKET_S)[:5]}

    def test_ids_of_text_come_as_they_are_spelled(self, store: redis.Redis, client: TestClient) -> None:
        world = World(names=TEXT).publish(store).promote(store)

        reply = client.post("/recommendations/", params={"user_id": TEXT.user(4), "k": 5})

        wanted = [TEXT.post(post) for post in world.own(4, BUCKET_S)[:5]]
        assert reply.json() == {"user_id": TEXT.user(4), "recs": wanted}

    @pytest.mark.parametrize(
        "query", ["", "user_id=", "user_id=1&k=0", "user_id=1&k=101", "user_id=1&k=five"]
    )
    def test_a_bad_query_is_422(self, world: World, client: TestClient, query: str) -> None:
        assert client.post(f"/recommendations/?{query}").status_code == 422

    def test_what_a_visitor_bought_is_not_recommended_again(
        self, world: World, client: TestClient, headers: dict[str, str]
    ) -> None:
        event = {
            "visitorid": 1,
            "itemid": 39,
            "event": "transaction",
            "transactionid": 7,
            "timestamp": NOW_S * 1000,
        }
        before = client.post("/recommendations/?user_id=1&k=5").json()["recs"]

        told = client.post("/events", json=event, headers=headers)
        after = client.post("/recommendations/?user_id=1&k=5").json()["recs"]

        assert told.status_code == 200
        assert told.json()["results"][0]["occurred_at"] == moment(NOW_S).isoformat()
        assert (39 in before or before != after, 39 in after) == (True, False)
