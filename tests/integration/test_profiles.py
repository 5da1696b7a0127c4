"""Users of whom only the profile is known: who gets whose list over HTTP, from a generation of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import moment
from api.contract.codec import decode
from api.contract.manifest import Manifest
from api.main import create_app
from api.settings import Settings as ApiSettings
from batch.data.facts import Facts
from batch.data.ids import as_texts
from batch.data.live.events import LiveEvents
from batch.jobs import backfill
from batch.jobs.full import run
from batch.jobs.refresh.incremental import run_incremental
from batch.progress import Progress, silent
from batch.publish.backfilled import open_content
from batch.publish.config import PublishConfig
from batch.publish.ledger.entries import retire_one
from batch.publish.proof.verify import verify
from batch.publish.recall import recall
from batch.settings import Settings
from tests.content import KEYS, generations
from tests.facts import even_likes_even
from tests.integration.test_variants import beside

pytestmark = pytest.mark.integration
N_USERS, STRANGER = 60, 9_999
NONE = np.empty(0, np.int64)
PATH = "/post/recommendations/"
AGED = ["profile=gender=0", "profile=age=25"]


@pytest.fixture(scope="module")
def facts() -> Facts:
    """Make users of two genders, who like as their gender does, and two ages."""
    made = even_likes_even(n_users=N_USERS, n_posts=60, days=3)
    users = made.users.assign(age=np.where(np.arange(N_USERS) % 4 < 2, 25, 50))
    return replace(made, users=users)


def settings_of(folder: Path) -> Settings:
    return Settings(state_dir=folder, depth=10, n_buckets=3, segment_by="gender", n_trees=5, threads=1)


@dataclass(frozen=True, slots=True)
class Published:
    """A generation, and a client of an app whose clock stands in its first bucket."""

    store: redis.Redis
    settings: Settings
    manifest: Manifest
    client: TestClient

    def ranked(self, key: str) -> list[int]:
        """Return the list of the first bucket."""
        text = self.store.hget(key, str(self.manifest.start_s))
        assert isinstance(text, bytes)
        return decode(text)


@contextmanager
def publishing(url: str, folder: Path, facts: Facts) -> Iterator[Published]:
    """Publish into an empty database, and serve."""
    with redis.Redis.from_url(url) as store:
        store.flushdb()
        settings = settings_of(folder)
        run(settings, store, "nowhere", Progress(), evaluated=False, facts=facts)
        text = store.get(KEYS.manifest(1))
        assert isinstance(text, bytes)
        manifest = Manifest.from_json(text)
        with TestClient(create_app(ApiSettings(redis_url=url), clock=lambda: manifest.as_of_s)) as client:
            yield Published(store, settings, manifest, client)
        store.flushdb()


@pytest.fixture(scope="module")
def standing(facts: Facts, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """Publish once, for tests that change nothing."""
    with publishing(beside(valkey_url), tmp_path_factory.mktemp("state"), facts) as published:
        yield published


@pytest.fixture
def fresh(facts: Facts, valkey_url: str, tmp_path: Path) -> Iterator[Published]:
    """Publish anew, to be changed."""
    with publishing(beside(valkey_url, 2), tmp_path, facts) as published:
        yield published


def asked(client: TestClient, *query: str, user_id: int = STRANGER) -> tuple[list[int], str]:
    """Return the posts and the rung that both shapes of the feed answer with."""
    rest = "&".join(("limit=5", *query))
    checker = client.get(f"{PATH}?id={user_id}&{rest}")
    own = client.get(f"/users/{user_id}/feed?{rest}").json()
    ids = [post["id"] for post in checker.json()]
    assert ids == [post["id"] for post in own["posts"]]
    assert checker.headers["x-almanac-rung"] == own["rung"]
    return ids, own["rung"]


def test_frequent_profiles_have_the_models_lists(standing: Published) -> None:
    manifest, store = standing.manifest, standing.store

    assert manifest.profile == {"age": ["25", "50"], "gender": ["0", "1"]}
    assert manifest.counts["profiles"] == 4
    assert store.get(KEYS.profiles(1)) == b"0.0 0.1 1.0 1.1"
    odd = {}
    for signature in ("0.0", "0.1", "1.0", "1.1"):
        lists = store.hgetall(KEYS.profile(1, signature))
        assert set(lists) == {b"%d" % start for start in manifest.horizon.starts}
        own = standing.ranked(KEYS.profile(1, signature))
        assert len(set(own)) == 10
        odd[signature] = sum(post % 2 for post in own)
    assert odd["0.1"] + odd["1.1"] < odd["0.0"] + odd["1.0"]  # gender 0 are the rows 0, 2, …: odd ids


def test_an_unknown_user_who_tells_his_profile_gets_its_list(standing: Published) -> None:
    wanted, popular = standing.ranked(KEYS.profile(1, "0.0"))[:5], standing.ranked(KEYS.popular(1))[:5]

    assert asked(standing.client, *AGED) == (wanted, "profile")
    assert asked(standing.client, "profile=planet=Mars", *AGED[::-1]) == (wanted, "profile")
    assert asked(standing.client) == (popular, "popular")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(["profile=gender=1", "profile=age=33"], id="a profile that nobody has"),
        pytest.param(["profile=gender=1"], id="a part of the profile"),
    ],
)
def test_a_profile_without_a_list_falls_back_to_its_segment(standing: Published, fields: list[str]) -> None:
    wanted = standing.ranked(KEYS.segment(1, "gender=1"))[:5]

    assert asked(standing.client, *fields) == (wanted, "segment")


@pytest.mark.parametrize("fields", [["profile=age=25"], ["profile=gender=7", "profile=age=25"]])
def test_what_tells_no_segment_either_falls_back_to_what_is_popular(
    standing: Published, fields: list[str]
) -> None:
    assert asked(standing.client, *fields) == (standing.ranked(KEYS.popular(1))[:5], "popular")


def test_a_user_who_is_known_gets_his_own_list_whatever_he_tells(standing: Published) -> None:
    assert asked(standing.client, *AGED, user_id=2) == asked(standing.client, user_id=2)
    assert asked(standing.client, *AGED, user_id=2)[1] == "own"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("profile=gender", "profile='gender' is no field: a column, `=` and its value"),
        ("profile=age=", "profile='age=' is no field"),
        ("profile=age=1&profile=age=2", "profile='age=2' gives age twice"),
        ("&".join(f"profile=c{k}=1" for k in range(33)), "a profile of 33 fields has more than 32"),
    ],
)
def test_what_is_no_profile_is_refused(standing: Published, query: str, says: str) -> None:
    for path in (f"{PATH}?id=1&{query}", f"/users/1/feed?{query}"):
        reply = standing.client.get(path)

        assert reply.status_code == 422
        assert says in reply.json()["detail"][0]["msg"]
        assert reply.json()["detail"][0]["loc"] == ["query", "profile"]


def test_pages_of_a_profile_neither_repeat_nor_leave_out_a_post(standing: Published) -> None:
    found: list[int] = []
    rest, rungs, cursor = "&".join(AGED), [], ""

    while True:
        page: dict[str, Any] = standing.client.get(f"/users/{STRANGER}/feed?limit=7&{rest}{cursor}").json()
        found += [post["id"] for post in page["posts"]]
        rungs.append(page["rung"])
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert sorted(found) == list(range(1, 61))
    assert found[:10] == standing.ranked(KEYS.profile(1, "0.0"))
    assert rungs[:2] == ["profile", "segment"]


def test_a_number_that_is_none_is_refused_for_whoever_asks(
    facts: Facts, valkey_url: str, tmp_path: Path
) -> None:
    aged = replace(facts, users=facts.users.assign(age=np.linspace(14, 60, N_USERS)))

    with publishing(beside(valkey_url, 2), tmp_path, aged) as published:
        for user_id in (2, STRANGER):
            reply = published.client.get(f"{PATH}?id={user_id}&profile=age=old")

            assert reply.status_code == 422
            assert reply.json()["detail"][0]["msg"] == "profile=age='old' is not a number, as age is"
        told = published.client.get(f"{PATH}?id={STRANGER}&profile=age=31.5&profile=gender=1")
        assert told.status_code == 200


def test_what_an_unknown_user_sees_and_what_is_taken_down_leave_his_profiles_list(fresh: Published) -> None:
    wanted = fresh.ranked(KEYS.profile(1, "0.0"))
    fresh.store.zadd(KEYS.seen(STRANGER), {str(wanted[0]): fresh.manifest.as_of_s})
    fresh.store.sadd(KEYS.takedowns(), wanted[1])

    assert asked(fresh.client, *AGED) == (wanted[2:7], "profile")


def test_on_a_bad_day_a_profile_still_tells_the_segment(fresh: Published) -> None:
    wanted = fresh.ranked(KEYS.segment(1, "gender=0"))[:5]
    assert asked(fresh.client, *AGED)[1] == "profile"
    fresh.store.hset(KEYS.current("default"), "generation", 77)

    reply = fresh.client.get(f"{PATH}?id={STRANGER}&limit=5&{'&'.join(AGED)}")

    assert [post["id"] for post in reply.json()] == wanted
    assert (reply.headers["x-almanac-rung"], reply.headers["x-almanac-degraded"]) == ("segment", "generation")


def test_profiles_are_sealed_and_go_with_their_generation(fresh: Published, facts: Facts) -> None:
    store, folder, rng = fresh.store, fresh.settings.state_dir / "generations", np.random.default_rng(1)
    assert verify(generations(store), 1, folder, sample=3, rng=rng, progress=silent).ok

    store.hset(KEYS.profile(1, "1.0"), str(fresh.manifest.start_s), "1 2 3")
    changed = verify(generations(store), 1, folder, sample=3, rng=rng, progress=silent)
    run(fresh.settings, store, "nowhere", Progress(), evaluated=False, facts=facts)
    retire_one(generations(store), folder, 1, fresh.manifest.as_of_s, silent)

    assert changed.bad_shards == ("shared",)
    assert not store.keys("almanac:1:profile:1:*")
    assert not store.exists(KEYS.profiles(1))
    assert len(store.keys("almanac:1:profile:2:*")) == 4


def test_a_refresh_takes_over_the_profiles_of_the_full_run(
    fresh: Published, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = replace(
        facts,
        user=np.append(facts.user, np.int32(1)),
        post=np.append(facts.post, np.int32(1)),
        time=np.append(facts.time, facts.as_of_s + 60),
        action=np.append(facts.action, np.int8(0)),
        target=np.append(facts.target, np.int8(0)),
    )
    monkeypatch.setattr("batch.jobs.refresh.incremental.read_facts_now", lambda *_: moved)

    told = run_incremental(fresh.settings, fresh.store, "nowhere", Progress())

    assert (told["incremental"], told["generation"]) == (True, 2)
    for signature in ("0.0", "0.1", "1.0", "1.1"):
        own = fresh.store.hgetall(KEYS.profile(2, signature))
        assert own == fresh.store.hgetall(KEYS.profile(1, signature))
    text = fresh.store.get(KEYS.manifest(2))
    assert isinstance(text, bytes)
    assert Manifest.from_json(text).profile == fresh.manifest.profile


def test_a_generation_of_the_past_has_profiles_too(fresh: Published, facts: Facts) -> None:
    at_s = fresh.manifest.as_of_s - 7200
    nobody = LiveEvents(as_texts([]), as_texts([]), NONE, NONE.astype(np.int8), NONE)
    made = backfill.make(fresh.settings, facts, nobody, at_s, created_at_s=at_s)
    number = recall(generations(fresh.store), made, PublishConfig.of(fresh.settings, silent))
    content, time = open_content(made), moment(at_s + 60).isoformat()[:19]

    reply = fresh.client.get(f"{PATH}?id={STRANGER}&limit=5&time={time}&{'&'.join(AGED)}")

    assert sorted(content.profiles) == ["0.0", "0.1", "1.0", "1.1"]
    assert reply.headers["x-almanac-generation"] == str(number)
    assert reply.headers["x-almanac-rung"] == "profile"
    wanted = content.post_ids[content.profiles["0.0"][0][:5]].tolist()
    assert [post["id"] for post in reply.json()] == wanted


def test_no_profiles_are_made_where_none_are_wanted(fresh: Published, facts: Facts) -> None:
    own = fresh.settings.replace(profiles=0)

    run(own, fresh.store, "nowhere", Progress(), evaluated=False, facts=facts)

    assert not fresh.store.keys("almanac:1:profile*:2*")
    assert asked(fresh.client, *AGED)[1] == "segment"
