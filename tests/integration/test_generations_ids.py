"""What reads generations whose ids are text: looking inside, replay, differences, folders in a new store."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis

from api.contract.ids import canonical
from api.contract.keys import Keys
from batch.jobs.inspect import inspect, look
from batch.progress import silent
from batch.publish.backfilled import list_backfilled, save_backfilled
from batch.publish.generation import GenerationContent
from batch.publish.proof.diff import diff
from batch.publish.proof.verify import verify
from batch.publish.publish import publish
from batch.publish.recall import recall
from batch.publish.replay.kept import Kept, from_disk, from_store
from batch.publish.replay.replay import open_replayer
from batch.settings import Settings
from tests.content import AS_OF_S, KEYS, N_BUCKETS, blocks, config, content, generations, with_text_ids
from tests.sharding import inputs_of

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("some_layout")]


def texts(seed: int = 0, **changes: object) -> GenerationContent:
    """Return a drawn content with text ids, some of its parts changed."""
    return replace(with_text_ids(content(seed)), **changes)  # type: ignore[arg-type] # parts that exist


def ranked(of: GenerationContent, user: str, bucket: int, seed: int = 0) -> list[str]:
    """Return the ids of the posts in a user's list, as they are spelled."""
    row, spelled = of.user_names.canonical(of.user_ids).index(user), of.post_names.spelled(of.post_ids)
    lists = np.concatenate([block.posts for block in blocks(of, seed)])
    return [spelled[post] for post in lists[row, bucket] if post >= 0]


def seen(of: GenerationContent, user: str) -> dict[str, int]:
    """Return what a user saw when, posts as they are spelled."""
    row, spelled = of.user_names.canonical(of.user_ids).index(user), of.post_names.spelled(of.post_ids)
    pairs = slice(of.views.start[row], of.views.start[row + 1])
    return {
        spelled[post]: int(at) for post, at in zip(of.views.post[pairs], of.views.time[pairs], strict=True)
    }


def test_looking_inside_shows_ids_as_the_table_spells_them(store: redis.Redis, tmp_path: Path) -> None:
    of, at_s = texts(), AS_OF_S + 3600
    publish(generations(store), of, blocks(of), config(tmp_path))
    user = next(
        one for one in of.user_names.spelled(of.user_ids) if one != one.lower() and seen(of, one.lower())
    )
    own, known = ranked(of, user.lower(), 1), seen(of, user.lower())
    store.sadd(KEYS.takedowns(), canonical(own[1]), "nobody knows it")
    store.zadd(KEYS.seen_live(user.lower()), {canonical(own[2]): 7, "a new one": AS_OF_S + 9})

    found = inspect(store, Settings(), user, at_s, 3)

    assert (found["user_id"], found["list"]) == (user, own)
    assert found["taken_down"] == sorted([own[1], "nobody knows it"], key=lambda text: (len(text), text))
    shown = found["seen"]
    assert isinstance(shown, dict)
    assert shown.keys() == known.keys() | {own[2], "a new one"}
    answer = found["answer"]
    assert isinstance(answer, dict)
    left = [post for post in own if post not in (own[1], own[2]) and known.get(post, at_s + 1) > at_s]
    assert answer["post_ids"][: len(left)] == left[:3]
    assert not look(store, KEYS, "default", "nobody", at_s).found.own


def test_a_replay_answers_in_ids(store: redis.Redis, tmp_path: Path) -> None:
    of = texts(seen_policy="none")
    publish(generations(store), of, blocks(of), config(tmp_path / "generations"))
    own = ranked(of, "{brace}", 2)
    store.sadd(KEYS.takedowns(), canonical(own[0]))
    store.zadd(KEYS.takedown_log(), {f"{(AS_OF_S + 100) * 1000} {canonical(own[0])} down": AS_OF_S + 100})
    at_s = of.horizon.starts[2]

    found = open_replayer(Keys(), store, "default", tmp_path).replay("{brace}", at_s, 3)

    assert (found.user_id, found.post_ids) == ("{brace}", tuple(own[1:4]))


def test_a_folder_loads_into_a_store_that_numbers_posts_otherwise(store: redis.Redis, tmp_path: Path) -> None:
    past = texts(seen_policy="none", as_of_s=AS_OF_S - 86_400)
    made = save_backfilled(tmp_path / "backfill", past, blocks(past), inputs_of(past), AS_OF_S)
    served = with_text_ids(content(1), seed=5)  # other posts, so that the lowest numbers are taken
    publish(generations(store), served, blocks(served, 1), config(tmp_path))

    number = recall(
        generations(store), list_backfilled(tmp_path / "backfill", "default")[0], config(tmp_path)
    )

    def answered(kept: Kept, user: str) -> tuple[list[int | str], set[int | str]]:
        found = kept.look_up(user, past.horizon.starts[1], frozenset(), frozenset({"007"}), {})
        own = [kept.shared.id_of(post) for post in found.own]
        return own, {kept.shared.id_of(post) for post in found.generation.posts}

    for user in past.user_names.spelled(past.user_ids):
        own, posts = answered(from_store(store, KEYS, number), user)
        assert own == ranked(past, canonical(user), 1)
        assert posts == {*past.post_names.spelled(past.post_ids)} - {"007"}
        assert answered(from_disk(made), user) == (own, posts)
    assert int(max(store.hkeys(KEYS.posts(number)), key=int)) >= 30


def test_generations_are_compared_by_ids_whatever_their_numbers(store: redis.Redis, tmp_path: Path) -> None:
    of = texts()
    for seed in (0, 0, 3):
        publish(generations(store), of, blocks(of, seed), config(tmp_path, kept=3))
    rng = np.random.default_rng(0)

    same = diff(generations(store), 1, 2, user_id=None, sample=50, rng=rng)
    other = diff(generations(store), 2, 3, user_id="ann smith", sample=50, rng=rng)

    assert (same.n_users, same.overlap, same.winners) == (40, 1.0, ())
    assert [sample["user_id"] for sample in other.samples] == ["ann smith"] * N_BUCKETS
    assert other.samples[0]["a"] == ranked(of, "ann smith", 0)
    assert other.samples[0]["b"] == ranked(of, "ann smith", 0, 3)
    assert {post for post, _ in other.winners + other.losers} <= {*of.post_names.spelled(of.post_ids)}


def test_the_store_is_verified_and_a_broken_list_is_named(store: redis.Redis, tmp_path: Path) -> None:
    of = texts()
    publish(generations(store), of, blocks(of), config(tmp_path))

    def verified() -> tuple[bool, tuple[str, ...], tuple[int | str, ...]]:
        rng = np.random.default_rng(0)
        found = verify(generations(store), 1, tmp_path, sample=5, rng=rng, progress=silent)
        return found.ok, found.bad_shards, found.missing_users

    assert verified() == (True, (), ())
    store.delete(KEYS.list("100%", 1))
    assert verified() == (False, ("lists-0000000-0000039",), ("100%",))
