"""Filters over HTTP: every shape of the feed answers what is wanted, in full, or says why not."""

import random
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.facets import Filter
from api.contract.keys import Keys
from api.main import create_app
from api.settings import Settings
from tests.clients import first_token
from tests.world import AS_OF_S, HOUR_S, PROMOTED_AT_S, World

pytestmark = pytest.mark.integration

NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S
NOON = "2021-12-20T12:00:00"
CHECKER = "/post/recommendations/"


@pytest.fixture
def client(client: TestClient, tmp_path: Path) -> TestClient:
    """Give the client a token."""
    client.headers.update(first_token(tmp_path, "write"))
    return client


def feed_of(world: World, user: int) -> str:
    """Return the path of a user's feed."""
    return f"/users/{quote(str(world.names.user(user)), safe='')}/feed"


def matching(world: World, any_of: list[str], none_of: list[str]) -> set[int]:
    """Return the posts that a wish is for."""
    wish = world.wish(any_of, none_of)
    return {post for post in world.posts if wish.is_for(str(world.names.post(post)))}


def test_a_topic_answers_in_every_shape_the_same_posts(world: World, client: TestClient) -> None:
    user, ten = world.names.user(2), [40, 30, 20, 10]

    checker = client.get(CHECKER, params={"id": user, "topic": "ten", "limit": 4})
    native = client.get(feed_of(world, 2), params={"filter": "topic=ten", "limit": 4})
    shop = client.post("/recommendations/", params={"user_id": user, "k": 4, "topic": "ten"})
    course = client.get(f"/reco/default/{quote(str(user), safe='')}", params={"topic": "ten"})

    shown = [checker.json(), native.json()["posts"]]
    ids = [*([post["id"] for post in posts] for posts in shown), shop.json()["recs"], course.json()["items"]]
    assert [sorted(world.names.places(posts)) for posts in ids] == [sorted(ten)] * 4
    assert {reply.headers["x-almanac-rung"] for reply in (checker, native, shop)} == {"segment"}
    assert course.headers["x-almanac-underfill"] == "filter"


def test_the_own_list_answers_a_topic_in_its_order(world: World, client: TestClient) -> None:
    own = world.own(2, NOON_S)

    reply = client.get(CHECKER, params={"id": world.names.user(2), "time": NOON, "topic": "even", "limit": 3})

    assert world.names.places([post["id"] for post in reply.json()]) == own[:3]
    assert reply.headers["x-almanac-rung"] == "own"


def test_what_no_post_has_is_an_empty_list_with_a_reason(world: World, client: TestClient) -> None:
    checker = client.get(CHECKER, params={"id": world.names.user(2), "topic": "gardening"})
    native = client.get(feed_of(world, 2), params={"filter": "third=a"}).json()

    assert (checker.status_code, checker.json()) == (200, [])
    assert checker.headers["x-almanac-underfill"] == "filter"
    assert (native["posts"], native["underfill"], native["next"]) == ([], "filter", None)
    counted = client.get("/metrics").text
    assert 'almanac_underfilled_total{reason="filter"} 2.0' in counted


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("filter=colour=red", "'colour' is no column that generation 1 filters by: it has third, topic"),
        ("filter=colour", "filter='colour' is no filter: a column, `=` and a value"),
        ("filter=%3Dred", "filter='=red' is no filter"),
        ("filter=topic%3D", "filter='topic=' is no filter"),
        ("topic=", "topic='' is no topic: a text of 1 to 256 bytes"),
        (f"not_topic={'x' * 257}", "is no topic"),
        ("&".join(f"topic={n}" for n in range(21)), "topic is given 21 times and takes at most 20 values"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_sentence(
    world: World, client: TestClient, query: str, says: str
) -> None:
    user = world.names.user(2)
    name = quote(str(user), safe="")
    replies = [
        client.get(f"{CHECKER}?id={name}&{query}"),
        client.get(f"{feed_of(world, 2)}?{query}"),
        client.post(f"/recommendations/?user_id={name}&{query}"),
    ]
    course = client.get(f"/reco/default/{name}?{query}")

    for reply in replies:
        assert reply.status_code == 422
        assert says in reply.json()["detail"][0]["msg"]
    assert course.status_code == 422
    assert says in course.json()["errors"][0]["error_message"]


def test_a_generation_without_facets_refuses_filters_and_answers_all_else(
    world: World, store: redis.Redis, valkey_url: str
) -> None:
    store.set(Keys().manifest(1), replace(world.manifest, counts={}).to_json())
    asked = {"id": world.names.user(2)}

    with TestClient(create_app(Settings(redis_url=valkey_url), clock=lambda: PROMOTED_AT_S + 60)) as client:
        refused = client.get(CHECKER, params={**asked, "topic": "even"})
        plain = client.get(CHECKER, params=asked)

    assert (refused.status_code, plain.status_code) == (422, 200)
    assert "it has none; name it in ALMANAC_FILTER_BY" in refused.text


def test_a_cursor_goes_on_under_its_own_filter_alone(world: World, client: TestClient) -> None:
    first = client.get(feed_of(world, 2), params={"at": NOON, "topic": "even", "limit": 8}).json()

    def status(**query: object) -> int:
        asked: dict[str, object] = {"cursor": first["next"], "limit": 8, **query}
        reply = client.get(feed_of(world, 2), params=asked)  # type: ignore[arg-type]  # as clients do
        if reply.status_code == 422:
            assert "belongs to another filter: give topic" in reply.json()["detail"][0]["msg"]
        return reply.status_code

    wish = Filter.of(["topic=even"])
    assert wish is not None
    assert first["next"].endswith(f".f{wish.digest}")
    assert status(topic="even") == status(filter="topic=even") == 200
    assert status() == status(topic="odd") == status(topic=["even", "odd"]) == 422
    plain = client.get(feed_of(world, 2), params={"at": NOON, "limit": 8}).json()["next"]
    refused = client.get(feed_of(world, 2), params={"cursor": plain, "topic": "even"})
    assert refused.status_code == 422


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_asked_no_page_holds_what_it_may_not_and_pages_hold_all_that_they_can(
    world: World, store: redis.Redis, client: TestClient, seed: int
) -> None:
    rng, names = random.Random(seed), world.names
    seen: dict[int, set[int]] = {user: {1, 2, 3, 4} for user in world.users}
    # The test client decodes a path twice, so no `%`.
    users = [user for user in range(1, 12) if "%" not in str(names.user(user))]
    for _ in range(40):
        user, limit = rng.choice(users), rng.randrange(1, 15)
        if rng.random() < 0.3:
            post = rng.choice(world.posts)
            world.see(store, user, post, NOON_S)
            seen.setdefault(user, set()).add(post)
        down = set(rng.sample(world.posts, rng.randrange(4)))
        store.delete(Keys().takedowns())
        if down:
            world.take_down(store, *down)
        excluded = set(rng.sample(world.posts, rng.randrange(5)))
        any_of = rng.sample(world.wishes, rng.randrange(4))
        none_of = rng.sample(["topic=odd", "topic=ten", "topic=none"], rng.choice([0, 0, 1]))
        query: dict[str, object] = {
            "limit": limit,
            "exclude": ",".join(str(names.post(post)).replace(",", ",,") for post in excluded),
            "filter": any_of,
            "not_topic": [facet[6:] for facet in none_of],
        }

        shown, pages, cursor = list[int](), list[int](), {"at": NOON}
        while cursor:
            reply = client.get(feed_of(world, user), params={**query, **cursor})  # type: ignore[dict-item]
            assert reply.status_code == 200, reply.text
            page = reply.json()
            pages.append(len(page["posts"]))
            shown += names.places([post["id"] for post in page["posts"]])
            cursor = {"cursor": page["next"]} if page["next"] else {}

        free = matching(world, any_of, none_of) - seen.get(user, set()) - down - excluded
        assert len(set(shown)) == len(shown)
        assert set(shown) == free, (user, query)
        assert all(n == limit for n in pages[:-1])
