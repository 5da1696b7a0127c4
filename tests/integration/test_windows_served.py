"""From facts with windows to answers: nothing is answered outside its window, and answers are full."""

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import moment
from api.contract.keys import Keys
from api.contract.window import Window
from api.main import create_app
from api.settings import Settings
from batch.jobs.export import export
from batch.jobs.inspect import inspect
from batch.progress import SILENT
from batch.publish.functions import load
from tests.changing import AS_OF_S, Feed, full_run, settings_of
from tests.feed_function import call_feed
from tests.oracle import Events, Wish, expected, expected_similar

pytestmark = pytest.mark.integration

PATH = "/post/recommendations/"
HOUR_S = 3600


def feed_of(seed: int) -> Feed:
    """Draw a feed of which about half of the posts have windows, some of them outside the horizon."""
    feed = Feed.drawn(seed)
    for _ in range(8):
        feed.edited_windows()
    return feed


def test_all_who_answer_agree_on_the_windows_of_a_run_and_are_full(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    rng, feed = random.Random(1), feed_of(1)
    settings = settings_of(tmp_path, "almanac").replace(redis_url=valkey_url)
    made = full_run(store, settings, feed.facts())
    load(store)
    users = feed.users["user_id"].tolist()
    edges = [side for window in feed.windows.values() for side in window if side]
    events = Events.of(*(feed.events[:, column].tolist() for column in range(3)))
    posts = [int(post) for post in store.hkeys(Keys().posts(made.generation))]
    topic = dict(zip(feed.posts["post_id"].tolist(), feed.posts["topic"].tolist(), strict=True))
    facets = {str(post): [f"topic={topic[post]}"] for post in posts}
    n_closed = 0
    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        for turn in range(120):
            user, limit = rng.choice([*users, 10**6]), rng.choice([3, 10, 40, 100])
            at_s = (
                rng.choice(edges) - rng.randrange(2) if turn % 2 else AS_OF_S + rng.randrange(-9, 18) * HOUR_S
            )
            at = moment(at_s).isoformat()
            wish = Wish(["topic=tech"], [], facets) if turn % 3 == 0 else None
            query: dict[str, Any] = {"id": user, "time": at, "limit": limit}

            reply = client.get(PATH, params=query | ({"topic": "tech"} if wish else {}))
            near = client.get(f"/posts/{rng.choice(posts)}/similar", params={"limit": 100, "at": at}).json()

            given = [post["id"] for post in reply.json()]
            assert given == expected(store, events, user, at_s, limit, wish=wish)
            assert [post["id"] for post in near["posts"]] == expected_similar(
                store, events, near["post_id"], 100, None, at_s
            )
            valid = {post for post in posts if Window(*feed.windows.get(post, (None, None))).holds_at(at_s)}
            seen = {post for who, post, when in feed.events[:, :3].tolist() if who == user and when <= at_s}
            may = {post for post in valid - seen if wish is None or topic[post] == "tech"}
            assert {*given} <= may
            assert len(given) == min(limit, len(may))
            assert {post["id"] for post in near["posts"]} == valid - {near["post_id"]}
            n_closed += len(posts) - len(valid)
            if wish is None:
                answer: Any = inspect(store, settings, user, at_s, limit)["answer"]
                assert answer["post_ids"] == given
                assert [int(post) for post in call_feed(store, made, str(user), at_s, limit)[3:]] == given
    assert n_closed > 500


def test_an_export_of_a_run_is_what_the_api_answers_within_windows(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    feed = feed_of(3)
    settings = settings_of(tmp_path, "almanac").replace(redis_url=valkey_url)
    full_run(store, settings, feed.facts())
    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        for hours in (-2, 0, 3, 9):
            at_s, found = AS_OF_S + hours * HOUR_S + 1800, defaultdict[int, list[int]](list)

            export(settings, store, SILENT, at_s=at_s, limit=10, form="parquet", out=tmp_path / "mails")

            for row in pq.read_table(tmp_path / "mails").to_pylist():
                found[row["user_id"]].append(row["post_id"])
            for user in feed.users["user_id"].tolist()[:30]:
                reply = client.get(PATH, params={"id": user, "time": moment(at_s).isoformat(), "limit": 10})
                assert found[user] == [post["id"] for post in reply.json()]
            closed = {post for post, window in feed.windows.items() if not Window(*window).holds_at(at_s)}
            assert closed
            assert closed.isdisjoint(post for posts in found.values() for post in posts)
