"""Exploration places, published and served: weighed by a run, sealed, kept by a refresh, drawn by the API."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import redis

from api.contract.buckets import Horizon
from api.contract.codec import decode
from api.contract.explore import EVERYBODY, UNKNOWN, decode_weights
from api.contract.keys import Keys
from api.contract.manifest import EXPLORE, Manifest
from batch.data.facts import Facts
from batch.jobs.backfill import make
from batch.jobs.full import run
from batch.progress import Progress, silent
from batch.publish.backfilled import open_content
from batch.publish.proof.verify import verify
from batch.publish.retire import retire
from batch.publish.store import GenerationStore
from batch.settings import Settings
from batch.store import read
from batch.store.lease import hold
from tests.changing import AS_OF_S, Feed, full_run, settings_of, whole_on_frozen
from tests.clients import serving
from tests.integration.test_backfill import NOBODY
from tests.own_lists import read_own

pytestmark = pytest.mark.integration


def settings_on(folder: Path) -> Settings:
    """Return the settings of a feed with exploration places, half of whose posts are new."""
    return settings_of(folder, "almanac").replace(explore="1/5", explore_impressions=40)


def is_ok(store: redis.Redis, of: Settings, number: int) -> bool:
    """Say whether a generation is what was sealed."""
    folder, rng = of.state_dir / "generations", np.random.default_rng(0)
    generations = GenerationStore(store, Keys())
    return verify(generations, number, folder, sample=5, rng=rng, progress=silent, threads=1).ok


def weights_of(store: redis.Redis, number: int) -> dict[str, dict[int, float]]:
    """Return what a generation draws from."""
    fields = read.fields(store, Keys().explore(number))
    told = {name.decode(): decode_weights(text) for name, text in fields.items()}
    return {name: dict(zip(one.posts, one.weights, strict=True)) for name, one in told.items()}


def new_posts(facts: Facts) -> set[int]:
    """Count views: which posts have fewer than forty."""
    views = np.bincount(facts.post[facts.views], minlength=len(facts.posts))
    return set(facts.post_ids[views < 40].tolist())


def test_a_run_seals_weights_of_new_posts_for_each_segment_and_a_refresh_keeps_them(
    store: redis.Redis, tmp_path: Path
) -> None:
    of, feed = settings_on(tmp_path), Feed.drawn(3)
    facts = feed.facts()
    made = full_run(store, of, facts)
    found, new = weights_of(store, 1), new_posts(facts)

    assert 3 < len(new) < len(facts.posts)
    assert (made.explore, made.counts["explore_new"]) == ("1/5", len(new))
    assert EXPLORE in made.needs
    assert found.keys() == {*made.segments, EVERYBODY, UNKNOWN}
    assert all(weights.keys() == new for name, weights in found.items() if name != UNKNOWN)
    assert found[UNKNOWN].keys() > new
    assert all(sum(weights.values()) == pytest.approx(1, abs=1e-4) for weights in found.values())
    assert is_ok(store, of, 1)

    feed.new_posts()
    again = whole_on_frozen(store, of, made, feed.facts())
    assert (again.explore, weights_of(store, 2)) == ("1/5", found)
    assert is_ok(store, of, 2)

    field = store.hget(Keys().explore(2), EVERYBODY)
    assert isinstance(field, bytes)
    store.hset(Keys().explore(2), EVERYBODY, field.replace(b":", b":1", 1))
    assert not is_ok(store, of, 2)

    with hold(store, Keys().lease(), AS_OF_S, silent) as lease:
        retire(GenerationStore(store, Keys()), lease, of.state_dir / "generations", 1, silent)
    assert not store.exists(Keys().explore(1))


def test_without_it_nothing_is_written_and_the_lists_are_the_same(store: redis.Redis, tmp_path: Path) -> None:
    facts = Feed.drawn(3).facts()

    def made(folder: str, of: Settings) -> tuple[Manifest, dict[str, str]]:
        store.flushall()
        manifest = full_run(store, of.replace(state_dir=tmp_path / folder), facts)
        lists = {name: digest for name, digest in manifest.checksums.items() if name != "shared"}
        return replace(manifest, checksums={}, root=""), lists

    having, lists = made("on", settings_on(tmp_path))
    without, same = made("off", settings_of(tmp_path, "almanac"))

    assert lists == same
    assert not list(store.scan_iter("*explore*"))
    assert without.explore == ""
    counts = {name: n for name, n in having.counts.items() if not name.startswith("explore")}
    needs = tuple(name for name in having.needs if name != EXPLORE)
    assert replace(having, counts=counts, needs=needs) == without


def test_the_api_names_what_it_drew_and_draws_nothing_that_was_seen(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    of, facts = settings_on(tmp_path), Feed.drawn(3).facts()
    made = full_run(store, of, facts)
    found, segment = weights_of(store, 1), set[str]()
    with serving(valkey_url, tmp_path, AS_OF_S + 60) as client:
        for user in [10**9, *facts.user_ids[::-10].tolist()]:
            page = client.get(f"/users/{user}/feed", params={"limit": 10}).json()
            plain = client.get("/post/recommendations/", params={"id": user, "limit": 10})
            if "explored" not in page:  # they have seen all that is new
                assert "x-almanac-explored" not in plain.headers
                continue
            said = [part.split(":") for part in plain.headers["x-almanac-explored"].split(",")]
            told = read_own(store, 1, user).get(b"segment")
            name = told.decode() if isinstance(told, bytes) else UNKNOWN if user == 10**9 else EVERYBODY
            segment.add(name)

            assert [post["id"] for post in plain.json()] == [post["id"] for post in page["posts"]]
            assert page["explored"] == [int(unquote(post)) for post, _ in said]
            assert {*page["explored"]} <= found[name].keys()
            assert 0 < len(page["explored"]) <= 2
            first, chance = said[0]
            assert found[name][int(first)] * 0.999 <= float(chance) <= 1
            shown = [post["id"] for post in page["posts"]]
            while page["next"]:
                page = client.get(f"/users/{user}/feed", params={"limit": 10, "cursor": page["next"]}).json()
                assert "explored" not in page
                shown += [post["id"] for post in page["posts"]]
            assert len(shown) == len({*shown})
            deep = client.get("/post/recommendations/", params={"id": user, "limit": 100}).json()
            seen = store.zrange(Keys().seen(user), 0, -1)
            assert isinstance(seen, list)
            assert {int(post) for post in seen if isinstance(post, bytes)}.isdisjoint(
                [*shown, *(post["id"] for post in deep)]
            )

        drawn = client.get(f"/users/{user}/feed?limit=5").json()["explored"][0]
        store.zadd(Keys().seen(user), {str(drawn): AS_OF_S + 30})
        assert drawn not in [post["id"] for post in client.get(f"/users/{user}/feed?limit=5").json()["posts"]]
    assert segment > {UNKNOWN}
    assert made.explore == "1/5"


def test_two_stages_ask_who_liked_nothing_by_what_is_popular_and_by_the_new(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    pytest.importorskip("implicit", reason="the extra zoo brings it")
    of, feed = settings_on(tmp_path).replace(candidates="item_knn_cosine,user_knn"), Feed.drawn(3)
    cold, stranger = int(feed.users["user_id"].iloc[4]), 10**9
    feed.events = feed.events[feed.events[:, 0] != cold]
    facts, asked = feed.facts(), {}
    for variant in ("popular", "two_stage"):
        run(of.replace(variant=variant), store, "nowhere", Progress(), evaluated=False, facts=facts)
    found, new = weights_of(store, 2), new_posts(facts)
    start_s = Horizon.after(facts.as_of_s, 3600, 1).start_s
    popular = decode(read_own(store, 1, cold).get(b"%d" % start_s))

    with serving(valkey_url, tmp_path, facts.as_of_s + 60) as client:
        for user in (cold, stranger):
            page = client.get(f"/users/{user}/feed", params={"limit": 10, "variant": "two_stage"}).json()
            asked[user] = [post["id"] for post in page["posts"]], set(page["explored"])

    posts, drawn = asked[cold]
    assert len(drawn) == 2
    assert drawn <= new
    assert [post for post in posts if post not in drawn] == [one for one in popular if one not in drawn][:8]
    _, drawn = asked[stranger]
    assert len(drawn) == 2
    assert drawn <= found[UNKNOWN].keys()


def test_a_generation_made_for_the_past_has_no_exploration_places(tmp_path: Path) -> None:
    facts = Feed.drawn(3).facts()
    made = make(settings_on(tmp_path), facts, NOBODY, AS_OF_S - 86_400, 0)

    assert made.manifest.explore == ""
    assert open_content(made).explored is None
