"""Posts like a post over HTTP: what the oracle says, whatever is seen, taken down or current."""

import random
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import DAY_S, moment
from api.contract.keys import Keys
from api.main import create_app
from api.settings import Settings
from tests.clients import NOW_S
from tests.oracle import expected_similar
from tests.world import AS_OF_S, TEXT, Names, World, draw_windows, events_of

pytestmark = pytest.mark.integration


def ask(client: TestClient, world: World, post: int, **query: Any) -> Any:
    """Ask for posts like one, given by its place."""
    return client.get(path_of(world.names.post(post)), params=query)


def path_of(post_id: int | str) -> str:
    """Return the path of a post; the test's client decodes it once more than a server does."""
    text = str(post_id).replace("%", "%25")
    return f"/posts/{quote(text, safe='')}/similar"


def places(world: World, reply: Any) -> list[int]:
    """Return the places of the posts of an answer."""
    assert reply.status_code == 200, reply.text
    return world.names.places([post["id"] for post in reply.json()["posts"]])


@pytest.mark.parametrize("policy", ["views", "likes", "none"])
def test_the_api_and_the_oracle_agree(store: redis.Redis, valkey_url: str, names: Names, policy: str) -> None:
    rng = random.Random(policy)
    windows = () if policy == "likes" else draw_windows(rng, World().posts, AS_OF_S + DAY_S)
    world = World(seen_policy=policy, names=names, windows=windows)  # type: ignore[arg-type]  # one of three
    world.publish(store).promote(store)
    key = Keys().likes if policy == "likes" else Keys().seen
    views = [] if policy == "likes" else list(world.views)
    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        for _ in range(150):
            view = (rng.choice(world.users), rng.choice(world.posts), AS_OF_S + rng.randrange(2 * DAY_S))
            views.append(view)
            store.zadd(key(names.user_key(view[0])), {str(names.number(view[1])): view[2]}, lt=True)
            change = rng.choice([world.take_down, world.put_back])
            change(store, rng.choice(world.posts))
            post, limit, at_s = (
                rng.choice(world.posts),
                rng.randrange(1, 45),
                AS_OF_S + rng.randrange(3 * DAY_S),
            )
            user = rng.choice([None, rng.randrange(0, 12)])
            query: dict[str, Any] = {"limit": limit, "at": moment(at_s).isoformat()}
            query |= {} if user is None else {"user_id": names.user(user)}

            reply = ask(client, world, post, **query)

            who = None if user is None else names.user(user)
            events, asked = events_of(views, names), names.post(post)
            wanted = expected_similar(store, events, asked, limit, who, at_s)
            given = [found["id"] for found in reply.json()["posts"]]
            assert given == wanted, (post, limit, user, at_s)
            assert asked not in given
            closed = {post for post, window in windows if not window.holds_at(at_s)}
            assert closed.isdisjoint(names.places(given))
            assert len(given) == len(set(given))
            assert (reply.json()["underfill"] is None) == (len(given) == limit)
            assert reply.json()["post_id"] == asked


def test_an_answer_says_where_its_posts_come_from(world: World, client: TestClient) -> None:
    first, more, all_of_them = (ask(client, world, 1, limit=limit) for limit in (6, 19, 39))

    assert places(world, first) == [3, 5, 7, 9, 11, 13]
    assert places(world, more) == [3, 5, 7, 9, 11, 13, *range(15, 40, 2)]
    assert [reply.json()["rung"] for reply in (first, more, all_of_them)] == ["similar", "topic", "catalogue"]
    assert first.headers["x-almanac-rung"] == "similar"
    assert first.headers["x-almanac-generation"] == "1"
    assert first.headers["x-almanac-age"] == "600"
    assert first.json()["underfill"] is None
    short = ask(client, world, 1, limit=40)
    assert (len(short.json()["posts"]), short.json()["underfill"]) == (39, "catalogue")
    assert short.headers["x-almanac-underfill"] == "catalogue"


def test_a_post_without_neighbours_has_its_topic_s_most_popular(world: World, client: TestClient) -> None:
    reply = ask(client, world, 8, limit=3)

    assert places(world, reply) == [2, 4, 6]
    assert reply.json()["rung"] == "topic"


def test_what_the_user_sees_from_now_on_is_left_out(
    store: redis.Redis, world: World, client: TestClient
) -> None:
    user = world.names.user(1)
    assert places(world, ask(client, world, 5, limit=2, user_id=user)) == [7, 9]

    world.see(store, 1, 7, NOW_S - 1)

    assert places(world, ask(client, world, 5, limit=2, user_id=user)) == [9, 11]
    assert places(world, ask(client, world, 5, limit=2, user_id=user, at=moment(AS_OF_S).isoformat())) == [
        7,
        9,
    ]
    assert places(world, ask(client, world, 5, limit=2)) == [7, 9]


def test_a_post_that_is_taken_down_still_has_neighbours_and_is_nobodys(
    store: redis.Redis, world: World, client: TestClient
) -> None:
    assert places(world, ask(client, world, 1, limit=2)) == [3, 5]

    world.take_down(store, 3)

    assert places(world, ask(client, world, 1, limit=2)) == [5, 7]
    assert places(world, ask(client, world, 3, limit=2)) == [5, 7]


def test_another_generation_answers_as_soon_as_it_is_current(
    store: redis.Redis, world: World, client: TestClient
) -> None:
    assert ask(client, world, 1).json()["generation"] == 1

    replace(world, generation=2).publish(store).promote(store)

    assert ask(client, world, 1).json()["generation"] == 2


def test_a_generation_without_similar_posts_answers_with_the_topic(
    store: redis.Redis, world: World, client: TestClient
) -> None:
    store.unlink(Keys().similar(1))

    assert ask(client, world, 1, limit=3).json()["rung"] == "topic"


def test_a_post_that_no_generation_knows_is_a_404_that_names_it(world: World, client: TestClient) -> None:
    reply = client.get("/posts/4999/similar")

    assert reply.status_code == 404
    assert reply.json()["detail"].startswith(
        "post '4999' is not in generation 1 of variant 'default': ask for"
    )


def test_an_unknown_variant_is_a_404_and_a_bad_parameter_a_422(world: World, client: TestClient) -> None:
    assert ask(client, world, 1, variant="other").status_code == 404
    assert ask(client, world, 1, limit=0).status_code == 422
    assert ask(client, world, 1, at="soon").status_code == 422
    assert ask(client, world, 1, user_id="").status_code == 422


def test_a_key_of_another_type_is_labelled_and_the_topic_answers(
    store: redis.Redis, world: World, client: TestClient
) -> None:
    store.unlink(Keys().similar(1))
    store.set(Keys().similar(1), "no hash")

    reply = ask(client, world, 1, limit=3)

    assert (reply.json()["rung"], reply.json()["degraded"]) == ("topic", "value")
    assert reply.headers["x-almanac-degraded"] == "value"


def test_ids_in_the_path_are_any_text_in_any_spelling(store: redis.Redis, valkey_url: str) -> None:
    world = World(names=TEXT).publish(store).promote(store)
    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        for post in world.posts:
            assert ask(client, world, post, limit=3).json()["post_id"] == TEXT.post(post)
        uuid = next(str(TEXT.post(post)) for post in world.posts if str(TEXT.post(post)).count("-") == 4)
        assert client.get(path_of(uuid.lower())).json()["post_id"] == uuid
        assert client.get(path_of(uuid.upper())).json()["post_id"] == uuid
