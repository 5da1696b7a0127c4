"""Users' own lists of topics: what the model gives, sealed with the generation, and gone with it."""

from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest
import redis

from api.contract.keys import Keys
from batch.arrays import Floats
from batch.progress import silent
from batch.publish.folder import GenerationFolder
from batch.publish.forget.generation import forget_in_store
from batch.publish.generation import TOPICS_MOST
from batch.publish.proof.inputs import INPUTS, Inputs, load
from batch.publish.proof.verify import Verdict, verify
from batch.publish.retire import retire
from batch.publish.store import GenerationStore
from batch.publish.topics import rank_topics
from batch.score.predict import raw_scores
from batch.settings import Settings
from batch.store.lease import hold
from tests.changing import AS_OF_S, Feed, full_run, settings_of

pytestmark = [pytest.mark.integration, pytest.mark.own_rights]

DEPTH = 3  # as `settings_of` has it


@pytest.fixture
def of(store: redis.Redis, tmp_path: Path) -> Settings:
    """Publish a small feed's generation, number 1, with lists of topics."""
    settings = settings_of(tmp_path, "almanac")
    full_run(store, settings, Feed.drawn(3).facts())
    return settings


def generations(store: redis.Redis, of: Settings) -> GenerationStore:
    """Return the generations of the store."""
    return GenerationStore(store, Keys(of.prefix))


def kept(store: redis.Redis, of: Settings) -> Inputs:
    """Return what the lists were computed from."""
    folder = GenerationFolder.of(of.state_dir / "generations", 1)
    return load(folder.inputs, None, generations(store, of).need_manifest(1).checksums[INPUTS])


def verified(store: redis.Redis, of: Settings) -> Verdict:
    """Verify the generation, every checksum of it."""
    root, rng = of.state_dir / "generations", np.random.default_rng(0)
    return verify(generations(store, of), 1, root, sample=1, rng=rng, progress=silent)


def scores_of(inputs: Inputs) -> Floats:
    """Return float64 (users, posts): LightGBM's own scores in the first bucket, -inf for seen posts."""
    rows = np.arange(len(inputs.sides.user_ids))
    found = np.array(raw_scores(lgb.Booster(model_str=inputs.model), inputs.sides, rows, 0, inputs.dense, 1))
    found[inputs.left_out.user, inputs.left_out.post] = -np.inf
    return found


def best_by_hand(scores: Floats, topics: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return a user's lists of their best topics, by sorting everything."""
    ranked = {
        topic: sorted(
            (post for post in posts if scores[post] > -np.inf), key=lambda post: (-scores[post], post)
        )
        for topic, posts in topics.items()
    }
    full = [topic for topic, posts in ranked.items() if posts]
    best = sorted(full, key=lambda topic: -scores[ranked[topic][0]])[:TOPICS_MOST]
    return {topic: ranked[topic][:DEPTH] for topic in best}


def test_lists_are_the_models_best_unseen_posts_of_the_topics_that_suit_the_user_best(
    store: redis.Redis, of: Settings
) -> None:
    inputs = kept(store, of)
    topics = {
        f"t{k:02d}": np.flatnonzero(inputs.sides.post_ids % 13 == k).astype(np.int32) for k in range(13)
    }
    topics["every"] = np.arange(len(inputs.sides.post_ids), dtype=np.int32)[::-1]

    found = rank_topics(inputs, topics, DEPTH, threads=1, memory_mb=512)

    scores = scores_of(inputs)
    for user, own in enumerate(scores):
        shown = {
            found.names[topic]: [post for post in posts.tolist() if post >= 0]
            for topic, posts in zip(found.topic[user], found.posts[user], strict=True)
            if topic >= 0
        }
        assert shown == best_by_hand(own, {name: rows.tolist() for name, rows in topics.items()})


def test_they_stand_in_the_store_with_a_life_and_are_sealed_with_the_rest(
    store: redis.Redis, of: Settings
) -> None:
    keys, users = Keys(of.prefix), generations(store, of).user_ids(1)
    lists = dict(generations(store, of).topics(1, users))

    assert all(0 < len(fields) <= TOPICS_MOST for fields in lists.values())
    assert 0 < store.ttl(keys.topics(users[0], 1)) <= of.list_ttl_s
    assert verified(store, of).ok
    store.hset(keys.topics(users[0], 1), next(iter(lists[users[0]])), "1")
    assert verified(store, of).bad_shards == ("topics",)
    store.unlink(keys.topics(users[0], 1))
    assert verified(store, of).bad_shards == ("topics",)


def test_they_go_with_their_user_and_with_their_generation(store: redis.Redis, of: Settings) -> None:
    there, root = generations(store, of), of.state_dir / "generations"
    users = there.user_ids(1)
    with hold(store, there.keys.lease(), AS_OF_S, silent) as lease:
        forget_in_store(there, lease, root, 1, [users[0]])
        assert not store.exists(there.keys.topics(users[0], 1))
        assert verified(store, of).ok
        store.unlink(there.keys.current(of.variant))
        retire(there, lease, root, 1, silent)

    assert not any(b":topics:" in key for key in store.scan_iter(f"{of.prefix}:*"))


def test_lists_of_topics_without_filters_by_topic_are_refused() -> None:
    with pytest.raises(ValueError, match="name topic in ALMANAC_FILTER_BY too"):
        Settings(topic_depth=5, filter_by="brand")
