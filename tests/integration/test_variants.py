"""Peers published beside our own model: full lists for everybody, asked for by name, ours as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

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
from batch.jobs.backfill import Period, backfill
from batch.jobs.full import run
from batch.jobs.refresh.incremental import run_incremental
from batch.progress import Progress, silent
from batch.publish.ledger.entries import entries, show
from batch.publish.proof.diff import diff
from batch.publish.proof.verify import verify
from batch.settings import Settings
from tests.clients import first_token, serving
from tests.content import KEYS, generations
from tests.facts import even_likes_even
from tests.integration.test_cli import almanac, env
from tests.own_lists import read_own, write_own

pytestmark = pytest.mark.integration
__all__ = ["env"]
N_USERS, N_POSTS, DEPTH, N_BUCKETS = 30, 90, 10, 3
COLD = 8  # id of a user in the facts without any event
STRANGER = 9_999
PATH = "/post/recommendations/"
PEERS = ("bm25", "popular_by_segment", "popular")
SILENT = Progress()


@pytest.fixture(scope="module")
def facts() -> Facts:
    made = even_likes_even(n_users=N_USERS, n_posts=N_POSTS, days=4)
    return made.select(made.user != COLD - 1)


@dataclass(frozen=True, slots=True)
class Published:
    """Our own model's generation, then one of each peer."""

    settings: Settings
    store: redis.Redis
    facts: Facts

    def manifest(self, variant: str) -> Manifest:
        number = self.store.hget(KEYS.current(variant), "generation")
        assert isinstance(number, bytes)
        text = self.store.get(KEYS.manifest(int(number)))
        assert isinstance(text, bytes)
        return Manifest.from_json(text)

    def lists(self, variant: str, user_id: int) -> list[list[int]]:
        manifest = self.manifest(variant)
        fields = read_own(self.store, manifest.generation, user_id)
        return [decode(fields[b"%d" % start]) for start in manifest.horizon.starts]

    def seen(self, user_id: int) -> set[int]:
        rows = self.facts.user == user_id - 1
        return set((self.facts.post[rows] + 1).tolist())


def settings_of(folder: Path) -> Settings:
    return Settings(
        state_dir=folder, depth=DEPTH, n_buckets=N_BUCKETS, segment_by="gender", n_trees=5, threads=1
    )


def publish(settings: Settings, store: redis.Redis, facts: Facts, *variants: str) -> Published:
    """Publish one variant after another."""
    for variant in variants:
        own = settings.replace(variant=variant)
        run(own, store, "nowhere", SILENT, evaluated=False, facts=facts)
    return Published(settings, store, facts)


@contextmanager
def asked(published: Published, url: str) -> Iterator[TestClient]:
    """Give a client of an app whose clock stands in the first bucket."""
    now_s = published.manifest("bm25").as_of_s + 600
    with TestClient(create_app(ApiSettings(redis_url=url), clock=lambda: now_s)) as opened:
        yield opened


@pytest.fixture(scope="module")
def standing(facts: Facts, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """Publish ours and three peers in a database of their own, which no test changes."""
    with redis.Redis.from_url(beside(valkey_url)) as store:
        store.flushdb()
        yield publish(settings_of(tmp_path_factory.mktemp("state")), store, facts, "default", *PEERS)
        store.flushdb()


@pytest.fixture(scope="module")
def client(standing: Published, valkey_url: str) -> Iterator[TestClient]:
    """Give a client of what stands."""
    with asked(standing, beside(valkey_url)) as opened:
        yield opened


@pytest.fixture
def peer(facts: Facts, valkey_url: str, tmp_path: Path) -> Iterator[Published]:
    """Publish bm25 alone, to be changed."""
    with redis.Redis.from_url(beside(valkey_url, 2)) as store:
        store.flushdb()
        yield publish(settings_of(tmp_path), store, facts, "bm25")
        store.flushdb()


def beside(url: str, database: int = 1) -> str:
    """Return the address of another database of the same server."""
    return f"{url.removesuffix('/0')}/{database}"


def test_each_peer_is_a_generation_of_its_own_beside_ours(standing: Published) -> None:
    found = {known.row()["variant"]: known.state for known in entries(generations(standing.store))}

    assert found == dict.fromkeys(("default", *PEERS), "current")
    own, peer = standing.manifest("default"), standing.manifest("bm25")
    assert peer.model.startswith("peer:bm25:")
    assert (peer.features, set(peer.metrics), peer.counts["short_lists"]) == ((), {"similar_text_weight"}, 0)
    assert (peer.as_of_s, peer.horizon, peer.depth) == (own.as_of_s, own.horizon, own.depth)
    folder = standing.settings.state_dir / "generations"
    assert show(generations(standing.store), 2, folder)["manifest"]["variant"] == "bm25"
    change = diff(generations(standing.store), 1, 2, user_id=None, sample=50, rng=np.random.default_rng(1))
    assert change.n_users == N_USERS
    assert change.added > 0


@pytest.mark.parametrize("variant", PEERS)
def test_a_peers_lists_are_full_without_seen_posts_and_alike_in_every_bucket(
    standing: Published, variant: str
) -> None:
    users = list(map(int, generations(standing.store).user_ids(standing.manifest(variant).generation)))

    assert users == list(range(1, N_USERS + 1))
    for user_id in users:
        lists = standing.lists(variant, user_id)
        assert len(lists) == N_BUCKETS
        assert lists[1:] == lists[:-1]
        assert len(set(lists[0])) == DEPTH
        assert standing.seen(user_id).isdisjoint(lists[0])


def test_a_user_without_history_gets_a_peers_popular_posts(standing: Published) -> None:
    assert not standing.seen(COLD)
    assert standing.lists("bm25", COLD) == standing.lists("popular", COLD)
    assert standing.lists("bm25", 1) != standing.lists("popular", 1)


def test_the_api_answers_by_the_name_of_a_variant(standing: Published, client: TestClient) -> None:
    for variant in ("default", *PEERS):
        for user_id in (1, 2, COLD):
            wanted = standing.lists(variant, user_id)[0][:5]
            own = client.get(f"/users/{user_id}/feed", params={"limit": 5, "variant": variant})
            checker = client.get(PATH, params={"id": user_id, "limit": 5, "variant": variant})

            assert [post["id"] for post in own.json()["posts"]] == wanted
            assert own.json()["variant"] == variant
            assert [post["id"] for post in checker.json()] == wanted
            assert checker.headers["x-almanac-rung"] == "own"
    stranger = client.get(f"/users/{STRANGER}/feed", params={"limit": 5, "variant": "bm25"}).json()
    assert (len(stranger["posts"]), stranger["rung"]) == (5, "popular")


def test_the_courses_service_answers_by_the_name_of_any_variant(
    standing: Published, valkey_url: str, tmp_path: Path
) -> None:
    now_s = standing.manifest("bm25").as_of_s + 600

    with serving(beside(valkey_url), tmp_path, now_s) as client:
        client.headers.update(first_token(tmp_path, "write"))
        for variant in ("default", *PEERS):
            for user_id in (1, 2, COLD):
                wanted = {"user_id": user_id, "items": standing.lists(variant, user_id)[0][:10]}
                assert client.get(f"/reco/{variant}/{user_id}").json() == wanted
            strangers = client.get(f"/reco/{variant}/{STRANGER}").json()["items"]
            assert len(set(strangers)) == 10


def test_who_names_no_variant_gets_ours(standing: Published, client: TestClient) -> None:
    plain = client.get(PATH, params={"id": 1, "limit": 5})

    assert [post["id"] for post in plain.json()] == standing.lists("default", 1)[0][:5]
    assert plain.headers["x-almanac-generation"] == "1"


def test_a_variant_that_nobody_published_is_not_found(client: TestClient) -> None:
    for path in (f"{PATH}?id=1&variant=ease", "/users/1/feed?variant=ease"):
        reply = client.get(path)

        assert reply.status_code == 404
        assert "'ease'" in reply.json()["detail"]


def test_a_past_time_is_answered_by_the_peer_that_was_served_then(
    standing: Published, client: TestClient
) -> None:
    at = moment(standing.manifest("bm25").as_of_s + 60).isoformat()

    reply = client.get("/users/1/feed", params={"variant": "bm25", "at": at, "limit": 5}).json()

    assert (reply["variant"], reply["time"]) == ("bm25", "exact")
    assert [post["id"] for post in reply["posts"]] == standing.lists("bm25", 1)[0][:5]


def test_any_other_name_is_our_own_models(standing: Published, peer: Published) -> None:
    bold = publish(peer.settings, peer.store, peer.facts, "bold").manifest("bold")

    own = standing.manifest("default")
    assert (bold.variant, bold.model, bold.root) == ("bold", own.model, own.root)


def test_what_is_seen_since_leaves_a_peers_answer(peer: Published, valkey_url: str) -> None:
    wanted = peer.lists("bm25", 1)[0]
    peer.store.zadd(KEYS.seen(1), {str(wanted[0]): peer.manifest("bm25").as_of_s + 1})

    with asked(peer, beside(valkey_url, 2)) as client:
        posts = client.get("/users/1/feed", params={"limit": 3, "variant": "bm25"}).json()["posts"]

    assert [post["id"] for post in posts] == wanted[1:4]


def test_more_variants_than_the_shelf_holds_are_not_loaded_again_for_a_takedown(
    peer: Published, valkey_url: str
) -> None:
    names = ("bm25", "popular", "user_knn", "ease", "random")
    publish(peer.settings, peer.store, peer.facts, *names[1:])

    with asked(peer, beside(valkey_url, 2)) as client:
        for name in names:
            client.get("/users/1/feed", params={"variant": name})
        peer.store.config_resetstat()
        peer.store.sadd(KEYS.takedowns(), N_POSTS)
        answers = [
            client.get("/users/1/feed", params={"variant": name, "limit": 90}).json() for name in names
        ]

    assert [answer["variant"] for answer in answers] == list(names)
    assert all(N_POSTS not in [post["id"] for post in answer["posts"]] for answer in answers)
    assert "cmdstat_hscan" not in peer.store.info("commandstats")


def test_the_same_facts_give_a_peer_the_same_lists_and_the_same_name(peer: Published) -> None:
    before = peer.manifest("bm25")
    other = replace(peer.facts, target=np.zeros_like(peer.facts.target))

    same = publish(peer.settings, peer.store, peer.facts, "bm25").manifest("bm25")
    changed = publish(peer.settings, peer.store, other, "bm25").manifest("bm25")

    assert (same.model, same.root, same.generation) == (before.model, before.root, 2)
    assert changed.model != before.model


def test_verify_proves_what_is_sealed_and_says_that_a_peer_is_not_scored_again(peer: Published) -> None:
    folder, rng = peer.settings.state_dir / "generations", np.random.default_rng(1)

    verdict = verify(generations(peer.store), 1, folder, sample=5, rng=rng, progress=silent)
    write_own(peer.store, 1, 1, peer.manifest("bm25").start_s, [1, 2, 3])
    changed = verify(generations(peer.store), 1, folder, sample=5, rng=rng, progress=silent)

    assert (verdict.ok, verdict.n_lists, changed.ok) == (True, 0, False)
    assert verdict.unscored == (
        "generation 1 is the peer bm25's, which keeps no model to score again by: "
        "what is proven is that the store holds what was sealed"
    )


def test_a_refresh_of_a_peer_learns_anew_and_says_why(
    peer: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.jobs.refresh.incremental.read_facts_now", lambda *_: peer.facts)

    told = run_incremental(peer.settings.replace(variant="bm25"), peer.store, "nowhere", SILENT)

    assert (told["incremental"], told["variant"], told["generation"]) == (False, "bm25", 2)
    assert told["full_because"] == (
        "variant 'bm25' is a peer's, which keeps no model to refresh by: it learns anew"
    )


def test_a_past_is_made_by_our_own_model_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ALMANAC_VARIANT=bm25 is a peer's"):
        backfill(settings_of(tmp_path).replace(variant="bm25"), "nowhere", Period(0, 0, 3600), SILENT)


def test_a_missing_package_is_said_before_anything_is_read(
    tmp_path: Path, store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    with pytest.raises(
        LookupError, match=r"implicit, which is not installed: pip install 'almanac-feed\[zoo\]'"
    ):
        run(settings_of(tmp_path).replace(variant="als"), store, "nowhere", SILENT)


@pytest.mark.own_rights
def test_the_command_publishes_a_peer_by_its_name(env: dict[str, str]) -> None:
    almanac(env, "simulate", "--users", "40", "--posts", "300")

    code, peer, _ = almanac(env, "run", "--variant", "bm25")

    assert (code, peer["variant"], peer["lists_written"]) == (0, "bm25", 120)
    assert peer["model"].startswith("peer:bm25:")
