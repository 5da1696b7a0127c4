"""Peers of the extras, published by a run like any variant, and served by the API."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from batch.evaluate.contest import find_absent
from batch.learn.baselines.named import BASELINES
from tests.clients import first_token, serving
from tests.facts import even_likes_even
from tests.integration.test_variants import (
    COLD,
    DEPTH,
    N_POSTS,
    N_USERS,
    Published,
    beside,
    publish,
    settings_of,
)

pytestmark = pytest.mark.integration
PEERS = ("slim", *(one.name for one in BASELINES if {*one.needs} - {"implicit"}))
DATABASE = 3  # of the tests' store, which no other test uses


@pytest.fixture(scope="module")
def published(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """Publish every peer whose packages are there, each as a generation of its own."""
    made = even_likes_even(n_users=N_USERS, n_posts=N_POSTS, days=4)
    there = [name for name in PEERS if name not in find_absent(N_POSTS, PEERS)]
    with redis.Redis.from_url(beside(valkey_url, DATABASE)) as store:
        store.flushdb()
        settings = settings_of(tmp_path_factory.mktemp("state"))
        yield publish(settings, store, made.select(made.user != COLD - 1), *there)
        store.flushdb()


@pytest.mark.parametrize("name", PEERS)
def test_lists_are_full_without_seen_posts_and_the_api_answers_with_them(
    published: Published, valkey_url: str, tmp_path: Path, name: str
) -> None:
    absent = find_absent(N_POSTS, (name,))
    if absent:
        pytest.skip(f"{absent[name]}; `make test-zoo` brings it")
    manifest = published.manifest(name)
    now_s = manifest.as_of_s + 600

    assert manifest.model.startswith(f"peer:{name}:")
    for user_id in range(1, N_USERS + 1):
        own = published.lists(name, user_id)[0]
        assert len(set(own)) == DEPTH
        assert published.seen(user_id).isdisjoint(own)
    url = beside(valkey_url, DATABASE)
    with serving(url, tmp_path, now_s) as client:
        told = client.get("/users/1/feed", params={"variant": name, "limit": 5}).json()
        courses = client.get(f"/reco/{name}/1", headers=first_token(tmp_path, "write")).json()
    assert [post["id"] for post in told["posts"]] == published.lists(name, 1)[0][:5]
    assert courses == {"user_id": 1, "items": published.lists(name, 1)[0][:10]}
