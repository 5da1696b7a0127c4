"""Users who sleep: empty lists, answers from their segment's, and lists of their own once they stir."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.keys import Keys
from api.contract.manifest import SLEEPERS, Manifest
from api.main import create_app
from api.settings import Settings as ApiSettings
from batch.jobs.refresh.refresh import refresh
from batch.progress import Progress, silent
from batch.publish.asleep import find_asleep
from batch.publish.proof.verify import verify
from batch.publish.publish import publish
from batch.publish.store import GenerationStore
from tests.changing import AS_OF_S, Feed, full_run, settings_of
from tests.content import blocks, config, content, expected, generations
from tests.own_lists import read_own

pytestmark = pytest.mark.integration


def test_who_saw_and_liked_nothing_new_has_empty_lists_and_all_others_theirs(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    of = content()
    made = publish(generations(store), of, blocks(of), config(tmp_path, layout="packed", sleep_days=1))
    asleep = find_asleep(of, 1)

    assert made.counts[SLEEPERS] == asleep.sum() == 20  # every other user never saw anything
    for user, wanted, sleeps in zip(of.user_ids.tolist(), expected(of).values(), asleep, strict=True):
        found = read_own(store, 1, user)
        assert {name: text for name, text in found.items() if text} == (
            {name: text for name, text in wanted.items() if name == b"segment" or (text and not sleeps)}
        )
    with TestClient(create_app(ApiSettings(redis_url=valkey_url))) as client:
        rungs = [client.get(f"/users/{user}/feed?limit=3").json()["rung"] for user in of.user_ids[:4]]
    assert rungs == ["own", "segment", "own", "segment"]
    assert not find_asleep(replace(of, holds_seen=True), 1).any()
    assert not find_asleep(of, 0).any()


def test_a_sleeper_has_own_lists_at_the_next_refresh_once_they_stir(
    store: redis.Redis, tmp_path: Path
) -> None:
    feed = Feed.drawn(1)
    sleepers = feed.users["user_id"].to_numpy()[::2]
    gone = np.isin(feed.events[:, 0], sleepers) & (feed.events[:, 2] > AS_OF_S - 2 * 86_400)
    feed.events = feed.events[~gone]
    of = settings_of(tmp_path, "almanac").model_copy(update={"sleep_days": 2})
    first = full_run(store, of, feed.facts())
    folders = GenerationStore(store, Keys())

    def empty(manifest: Manifest) -> set[str]:
        users = folders.user_ids(manifest.generation)
        found = folders.read_lists(manifest, users, manifest.horizon.starts)
        return {user for user, lists in zip(users, found, strict=True) if (lists < 0).all()}

    assert empty(first) >= set(map(str, sleepers))
    assert first.counts[SLEEPERS] == len(empty(first))
    stirred = sleepers[:3]
    feed.happen(9, AS_OF_S + 1, AS_OF_S + 600, stirred)
    feed.new_posts()
    outcome = refresh(of, store, feed.facts(), Progress(), now=lambda: AS_OF_S + 60)

    second = folders.need_manifest(outcome.generation)
    awake = {str(user) for user in stirred if (feed.events[:, 0] == user).any()} & empty(first)
    assert outcome.base == 1
    assert empty(first) - empty(second) == awake
    assert second.counts[SLEEPERS] == len(empty(second))
    root = of.state_dir / "generations"
    rng = np.random.default_rng(0)
    assert verify(folders, 2, root, sample=50, rng=rng, progress=silent).ok
