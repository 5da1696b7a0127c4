"""Verify and diff on a published night: what was sealed is what Redis holds and what the model gives."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import redis

from api.contract.codec import decode
from api.contract.manifest import Manifest
from batch.learn.factors.factor_table import fingerprint
from batch.progress import silent
from batch.publish.proof.diff import compare, diff
from batch.publish.proof.inputs import InputsMissing, digest, load
from batch.publish.proof.verify import Difference, Verdict, verify
from tests.content import generations, published
from tests.nights import KEYS, Night, night, publish_night
from tests.own_lists import read_own, write_own

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("some_layout")]
FIRST, NEXT = 22, 23


@pytest.fixture
def live(store: redis.Redis, tmp_path: Path) -> Manifest:
    """Publish one night and return its manifest."""
    return publish_night(store, tmp_path, night(FIRST))


def verified(store: redis.Redis, folder: Path, sample: int = 20) -> Verdict:
    """Verify generation 1."""
    rng = np.random.default_rng(0)
    return verify(generations(store), 1, folder, sample=sample, rng=rng, progress=silent)


def test_what_was_published_is_what_the_stored_model_gives(
    store: redis.Redis, live: Manifest, tmp_path: Path
) -> None:
    verdict = verified(store, tmp_path)

    assert verdict.ok
    assert (verdict.n_lists, verdict.n_positions, verdict.unscored) == (60, 1200, None)
    assert verdict.n_shards == sum(name.startswith("lists-") for name in live.checksums) + 2
    assert asdict(verdict)["ok"] is True


def test_two_posts_that_changed_places_are_found_by_checksum_and_by_place(
    store: redis.Redis, live: Manifest, tmp_path: Path
) -> None:
    user = int(night(FIRST).content.user_ids[7])
    start = live.start_s + 3600
    ids = decode(read_own(store, 1, user)[b"%d" % start])
    write_own(store, 1, user, start, [*ids[:4], ids[5], ids[4], *ids[6:]])

    verdict = verified(store, tmp_path, sample=1000)

    assert not verdict.ok
    assert verdict.bad_shards == (next(name for name in sorted(live.checksums) if name.startswith("lists-")),)
    assert verdict.differences == (Difference(user, start, 4, ids[4], ids[5]),)
    assert (verdict.n_different, verdict.n_lists) == (1, 3000)


def with_factors(run: Night, seed: int = 7) -> Night:
    """Return the same night with factors beside the trees, named by a fingerprint of both."""
    rng, sides = np.random.default_rng(seed), run.inputs.sides
    x, y = rng.normal(size=(len(sides.user_ids), 3)), rng.normal(size=(len(sides.post_ids), 3))
    content = replace(run.content, model=fingerprint(run.inputs.model, [x], y))
    return Night(content, replace(run.inputs, dense=(x, y)))


def test_lists_of_trees_and_factors_are_scored_again_with_both(store: redis.Redis, tmp_path: Path) -> None:
    run = with_factors(night(FIRST))
    publish_night(store, tmp_path, run)

    verdict = verified(store, tmp_path)

    assert verdict.ok
    assert (verdict.n_lists, verdict.unscored) == (60, None)
    dense = load(tmp_path / "1/inputs", np.array([3, 8]), digest(tmp_path / "1/inputs")).dense
    assert dense is not None
    assert run.inputs.dense is not None
    np.testing.assert_array_equal(dense[0], run.inputs.dense[0][[3, 8]])
    np.testing.assert_array_equal(dense[1], run.inputs.dense[1])


def test_factors_that_are_not_the_models_prove_nothing(store: redis.Redis, tmp_path: Path) -> None:
    run, other = with_factors(night(FIRST)), with_factors(night(FIRST), seed=8)
    publish_night(store, tmp_path, Night(run.content, other.inputs))

    verdict = verified(store, tmp_path)

    assert (verdict.n_lists, verdict.ok) == (0, False)
    assert verdict.unscored is not None
    assert run.content.model in verdict.unscored


def test_lost_lists_and_changed_shared_keys_are_found(
    store: redis.Redis, live: Manifest, tmp_path: Path
) -> None:
    user = int(night(FIRST).content.user_ids[299])
    store.unlink(KEYS.list(user, 1))
    store.hset(KEYS.popular(1), str(live.start_s), "1 2 3")

    verdict = verified(store, tmp_path, sample=1)

    assert (verdict.n_missing, verdict.missing_users) == (1, (user,))
    assert verdict.bad_shards[-1] == "shared"
    assert len(verdict.bad_shards) == 2


def test_a_changed_facet_is_found(store: redis.Redis, live: Manifest, tmp_path: Path) -> None:
    assert verified(store, tmp_path, sample=1).ok

    for facet in night(FIRST).content.facets:  # the first is changed, then all are gone
        store.hset(KEYS.facets(1), facet, "1")
        assert verified(store, tmp_path, sample=1).bad_shards == ("shared",)
        store.unlink(KEYS.facets(1))


def test_changed_similar_posts_are_found(store: redis.Redis, live: Manifest, tmp_path: Path) -> None:
    post = next(iter(store.hkeys(KEYS.similar(1))))
    store.hset(KEYS.similar(1), post, "1 2 3")

    assert verified(store, tmp_path, sample=1).bad_shards == ("shared",)
    assert live.similar == 50


def test_inputs_that_were_changed_prove_nothing(store: redis.Redis, live: Manifest, tmp_path: Path) -> None:
    model = tmp_path / "1/inputs/model.txt"
    model.write_text(model.read_text().replace("num_leaves", "num_lEaves", 1))

    verdict = verified(store, tmp_path)

    assert (verdict.n_lists, verdict.ok) == (0, False)
    assert "are not those that were sealed" in verdict.sentence()


def test_a_generation_whose_folder_is_gone_does_not_hold(
    store: redis.Redis, live: Manifest, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "1")

    verdict = verified(store, tmp_path)

    assert (verdict.n_lists, verdict.bad_shards, verdict.ok) == (0, (), False)
    assert verdict.sentence().startswith("generation 1 is not what was sealed: no list could be scored again")
    assert str(tmp_path / "1") in verdict.sentence()


def test_a_generation_without_inputs_has_its_checksums_compared(store: redis.Redis, tmp_path: Path) -> None:
    published(store, tmp_path)

    verdict = verified(store, tmp_path)

    assert verdict.ok
    assert verdict.unscored == "generation 1 was published without its inputs"
    with pytest.raises(LookupError, match="generation 9 is not in the store"):
        verify(generations(store), 9, tmp_path, sample=1, rng=np.random.default_rng(0), progress=silent)


@pytest.mark.parametrize("rows", [4, 8192])
def test_the_kept_inputs_come_back_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("batch.publish.proof.inputs.ROWS", rows)
    inputs = night(FIRST).inputs
    sealed = inputs.save(tmp_path)
    users = np.array([2, 3, 150, 299])

    found = load(tmp_path, users, sealed)

    wanted = inputs.part(users, np.arange(3))
    assert found.model == inputs.model
    assert found.sides.features == wanted.sides.features
    for name in ("user_ids", "post_ids", "starts", "user", "post", "time", "user_group", "group"):
        np.testing.assert_array_equal(getattr(found.sides, name), getattr(wanted.sides, name), err_msg=name)
    np.testing.assert_array_equal(found.left_out.start, wanted.left_out.start)
    np.testing.assert_array_equal(found.left_out.post, wanted.left_out.post)
    with pytest.raises(InputsMissing, match="are not those that were sealed"):
        load(tmp_path, users, "0" * 32)


def test_a_difference_counts_what_came_went_and_moved(
    store: redis.Redis, live: Manifest, tmp_path: Path
) -> None:
    publish_night(store, tmp_path, night(NEXT))

    change = diff(generations(store), 1, 2, user_id=None, sample=100, rng=np.random.default_rng(0))
    user = int(night(FIRST).content.user_ids[0])
    own = diff(generations(store), 1, 2, user_id=str(user), sample=1, rng=np.random.default_rng(0))

    assert (change.n_users, change.n_lists, sum(change.histogram)) == (100, 300, 300)
    assert change.added + change.moved + change.kept == pytest.approx(20)
    assert change.dropped == pytest.approx(change.added)
    assert 0 < change.overlap < 1
    assert change.winners[0][1] > 0 > change.losers[0][1]
    assert [sample["user_id"] for sample in own.samples] == [user] * 3
    start = night(NEXT).content.horizon.start_s
    assert own.samples[0]["b"] == decode(read_own(store, 2, user)[b"%d" % start])
    with pytest.raises(LookupError, match="user 5000000 has no lists in both generation 1 and generation 2"):
        diff(generations(store), 1, 2, user_id="5000000", sample=1, rng=np.random.default_rng(0))


def test_a_difference_worked_out_by_hand() -> None:
    old, new = np.array([[[1, 2, 3, 4]], [[5, 6, -1, -1]]]), np.array([[[1, 3, 2, 9]], [[5, 6, -1, -1]]])

    change = compare(old, new, numbers=(1, 2), users=[10, 20], starts=[0])

    assert (change.added, change.dropped, change.moved, change.kept) == (0.5, 0.5, 1.0, 1.5)
    assert change.histogram == (0, 0, 0, 0, 0, 0, 0, 1, 0, 1)
    assert (change.winners, change.losers) == (((9, 1),), ((4, -1),))
    assert change.samples[1] == {
        "user_id": 20,
        "bucket": "1970-01-01T00:00:00+00:00",
        "a": [5, 6],
        "b": [5, 6],
    }
