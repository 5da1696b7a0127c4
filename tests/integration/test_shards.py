"""A generation in shards: the same as a single run's, a lost shard alone done again, late writers fenced."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis

from api.contract.manifest import Layout
from batch.learn.explore import NewPosts, Weighed
from batch.progress import silent
from batch.publish.folder import GenerationFolder
from batch.publish.generation import GenerationContent
from batch.publish.publish import publish
from batch.publish.retire import retire
from batch.publish.sharded.lease import ShardClosed, ShardTaken
from batch.publish.sharded.ledger import OPEN_S, NothingPrepared, find_open, need_open, read_written
from batch.publish.sharded.place import PreparedSpoilt
from batch.publish.sharded.seal import ShardsMissing, seal_shards
from batch.publish.sharded.shard import Shard
from batch.store.lease import hold
from tests.content import AS_OF_S, KEYS, blocks, config, content, generations, published, with_text_ids
from tests.own_lists import read_seen
from tests.sharding import inputs_of, keep, prepared, scorer, told, written

pytestmark = pytest.mark.integration


def everything(store: redis.Redis, generation: int) -> dict[str, object]:
    """Return what the store holds of a generation but its manifest, and all that users have seen."""
    found: dict[str, object] = {}
    for key in sorted(store.scan_iter("almanac:*", count=1000)):
        what, *rest = key.decode().split(":")[2:]
        if what in ("seen", "likes"):
            name = key.decode().removesuffix(":old")
            found[name] = read_seen(store, name)
        elif what not in ("manifest", "states", "shards") and str(generation) in rest:
            name = ":".join([what, *("n" if part == str(generation) else part for part in rest)])
            found[name] = store.hgetall(key) if store.type(key) == b"hash" else store.get(key)
    return found


def rich(of: GenerationContent) -> GenerationContent:
    """Return a content with places for exploration, too."""
    weights = {"*": Weighed(np.array([3, 1], np.int32), np.array([0.75, 0.25]))}
    return replace(of, explored=NewPosts(10, 2, weights))


@pytest.mark.parametrize("kind", ["numbers", "text"])
def test_the_union_of_shards_is_what_a_single_run_makes(
    store: redis.Redis, tmp_path: Path, kind: str, layout: Layout
) -> None:
    of = rich(content() if kind == "numbers" else with_text_ids(content()))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    store.set(KEYS.counter(), 50)
    one = publish(generations(store), of, blocks(of), config(whole), inputs=inputs_of(of), keep=keep)
    alone = everything(store, one.generation)
    store.flushall()
    store.set(KEYS.counter(), 70)

    begun = prepared(store, of, parts)
    for shard in (3, 1, 2):
        written(store, begun, shard, scorer(of), parts)
    made = seal_shards(generations(store), "default", None, config(parts / "generations"))

    assert (made.generation, made.root, made.layout) == (71, one.root, layout)
    assert told(made) == told(one)
    assert everything(store, 71) == alone
    assert generations(store).read_served("default") == (71, None)
    folders = GenerationFolder.of(whole, 51).path, GenerationFolder.of(parts / "generations", 71).path
    files = [{path.relative_to(folder) for path in folder.rglob("*.*")} for folder in folders]
    lists = [{path for path in found if path.name.startswith("lists-")} for found in files]
    assert (len(lists[0]), len(lists[1])) == (1, 3)
    assert files[0] - lists[0] == files[1] - lists[1]
    assert not list((parts / "prepared").iterdir())
    assert not store.exists(KEYS.shards(71))


def test_a_lost_shard_is_written_again_alone(store: redis.Redis, tmp_path: Path) -> None:
    of, root = content(), tmp_path / "generations"

    def die() -> None:
        raise MemoryError("the machine is gone")

    begun = prepared(store, of, tmp_path)
    written(store, begun, 1, scorer(of), tmp_path)
    with pytest.raises(MemoryError):
        written(store, begun, 2, scorer(of, die), tmp_path)
    written(store, begun, 3, scorer(of), tmp_path)
    before = read_written(generations(store), begun.generation)

    with pytest.raises(ShardsMissing, match=r"generation 1 lacks shards 2 of 3: .* --shard 2/3"):
        seal_shards(generations(store), "default", None, config(root))
    again = [written(store, begun, shard, scorer(of), tmp_path) for shard in (1, 2, 3)]
    after = read_written(generations(store), begun.generation)

    assert [one.was_there for one in again] == [True, False, True]
    assert set(before) == {1, 3}
    assert {shard: after[shard] for shard in before} == before
    made = seal_shards(generations(store), "default", None, config(root))
    store.flushall()
    assert (
        made.root
        == publish(
            generations(store), of, blocks(of), config(tmp_path / "whole"), inputs=inputs_of(of), keep=keep
        ).root
    )


def test_a_seal_that_fails_half_way_is_done_again(store: redis.Redis, tmp_path: Path) -> None:
    of, root = content(), tmp_path / "generations"
    begun = prepared(store, of, tmp_path)
    for shard in (1, 2, 3):
        written(store, begun, shard, scorer(of), tmp_path)
    store.set(KEYS.popular(1), "of another type")
    with pytest.raises(redis.ResponseError):
        seal_shards(generations(store), "default", None, config(root))
    store.delete(KEYS.popular(1))

    made = seal_shards(generations(store), "default", 1, config(root))

    assert generations(store).read_served("default") == (made.generation, None)


def test_an_older_attempt_at_a_shard_counts_for_nothing(store: redis.Redis, tmp_path: Path) -> None:
    of = content()
    begun = prepared(store, of, tmp_path)
    later = list[Shard]()

    def another_takes_over() -> None:
        if not later:
            store.delete(KEYS.shard(1, 1))  # as if this process had stalled until its right ended
            later.append(written(store, begun, 1, scorer(of), tmp_path / "other"))

    with pytest.raises(ShardClosed):
        written(store, begun, 1, scorer(of, another_takes_over), tmp_path)

    noted = read_written(generations(store), 1)[1]
    assert (later[0].was_there, list(read_written(generations(store), 1))) == (False, [1])
    assert [path.name for path in (Path(begun.place) / "parts").iterdir() if noted.token in path.name]


def test_two_processes_do_not_write_one_shard(store: redis.Redis, tmp_path: Path) -> None:
    of = content()
    begun = prepared(store, of, tmp_path)

    def another_tries() -> None:
        with pytest.raises(ShardTaken, match="shard 1 of generation 1: another run is publishing"):
            written(store, begun, 1, scorer(of), tmp_path / "other")

    store.delete(KEYS.shard(1, 1))
    assert not written(store, begun, 1, scorer(of, another_tries), tmp_path).was_there


def test_a_writer_of_a_retired_generation_leaves_nothing(
    store: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.publish.sharded.lease.SHARD_TTL_S", 0.4)
    of, root = content(), tmp_path / "generations"
    begun = prepared(store, of, tmp_path)

    def somebody_retires_it() -> None:
        if generations(store).state(1) == "building":
            with hold(store, KEYS.lease(), AS_OF_S, silent) as lease:
                retire(generations(store), lease, root, 1, silent)

    with pytest.raises(ShardClosed, match="shard 2 of generation 1 may not be written any more"):
        written(store, begun, 2, scorer(of, somebody_retires_it), tmp_path)

    assert not list(store.scan_iter("almanac:1:list:*"))
    assert not Path(begun.place).exists()
    with pytest.raises(ShardClosed, match="sealed or retired"):
        written(store, begun, 2, scorer(of), tmp_path)


def test_a_sealed_generation_takes_no_shard_any_more(store: redis.Redis, tmp_path: Path) -> None:
    of = content()
    begun = prepared(store, of, tmp_path, n_shards=1)
    written(store, begun, 1, scorer(of), tmp_path)
    seal_shards(generations(store), "default", None, config(tmp_path / "generations"))
    before = everything(store, 1)

    with pytest.raises(ShardClosed, match="sealed or retired"):
        written(store, begun, 1, scorer(content(5)), tmp_path)
    with pytest.raises(NothingPrepared, match="no generation waits for shards of variant default"):
        need_open(generations(store), "default")

    assert everything(store, 1) == before


def test_a_later_night_takes_the_place_of_one_that_waits_and_other_runs_leave_it(
    store: redis.Redis, tmp_path: Path
) -> None:
    of = content()
    first = prepared(store, of, tmp_path)
    written(store, first, 1, scorer(of), tmp_path)
    published(store, tmp_path / "generations", variant="other")
    published(store, tmp_path / "generations")
    assert [one.generation for one in find_open(generations(store), "default")] == [1]

    second = prepared(store, of, tmp_path)

    assert [one.generation for one in find_open(generations(store), "default")] == [second.generation]
    assert generations(store).state(1) == "retired"
    assert not store.exists(KEYS.users(1), KEYS.shards(1))
    assert not Path(first.place).exists()
    a_day_later = config(tmp_path / "generations", now=lambda: AS_OF_S + 60 + OPEN_S)
    publish(generations(store), of, blocks(of), a_day_later)
    assert generations(store).state(second.generation) == "retired"


def test_what_was_changed_since_it_was_prepared_is_refused(store: redis.Redis, tmp_path: Path) -> None:
    of = content()
    begun = prepared(store, of, tmp_path)
    (Path(begun.place) / "inputs" / "model.txt").write_text("another")

    with pytest.raises(PreparedSpoilt, match=r"model.txt is not what was prepared"):
        written(store, begun, 1, scorer(of), tmp_path)

    assert not read_written(generations(store), 1)


def test_what_cannot_be_prepared_leaves_nothing(store: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(RuntimeError, match="every machine must see that folder"):
        prepared(store, content(), tmp_path, to=str(tmp_path / "file"))
    with pytest.raises(ValueError, match="41 shards of 40 users"):
        prepared(store, content(), tmp_path, n_shards=41)

    assert generations(store).states() == {1: "retired"}
    assert not store.exists(KEYS.users(1))
