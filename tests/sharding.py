"""Small generations in shards: what tests prepare, write and seal, with lists that are drawn by user."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import redis

from api.contract.manifest import Manifest
from batch.data.rows import find_rows
from batch.features.sides import Sides
from batch.publish.folder import GenerationFolder
from batch.publish.generation import GenerationContent, choose_left_out
from batch.publish.proof.inputs import Inputs
from batch.publish.sharded.ledger import Prepared, need_open
from batch.publish.sharded.prepare import prepare
from batch.publish.sharded.shard import Score, Shard, write_shard
from batch.score.ranked import RankedBlock
from tests.content import N_BUCKETS, blocks, config, generations

Pause = Callable[[], object]


def inputs_of(of: GenerationContent) -> Inputs:
    """Return inputs that hold the ids and nothing to compute from."""
    n_users, n_posts = len(of.user_ids), len(of.post_ids)
    sides = Sides(
        features=(),
        user_ids=of.user_ids,
        post_ids=of.post_ids,
        starts=np.array(of.horizon.starts, np.int64),
        user=np.zeros((n_users, 0), np.float32),
        post=np.zeros((n_posts, 0), np.float32),
        time=np.zeros((N_BUCKETS, 0), np.float32),
        user_group=np.zeros((0, n_users, 1), np.float32),
        group=np.zeros(n_posts, np.int32),
    )
    return Inputs("drawn", sides, choose_left_out("none", of.views, of.likes))


def keep(folder: GenerationFolder) -> None:
    """Leave what later refreshes would need."""
    folder.frozen.mkdir()
    (folder.frozen / "frozen.json").write_text("{}")


def scorer(of: GenerationContent, pause: Pause = lambda: None) -> Score:
    """Return what gives the drawn lists of whatever users are asked for, and pauses between its blocks."""
    drawn = list(blocks(of))
    posts, scores = (np.concatenate([getattr(one, name) for one in drawn]) for name in ("posts", "scores"))

    def score(inputs: Inputs, _depth: int) -> Iterator[RankedBlock]:
        rows = find_rows(of.user_ids, inputs.sides.user_ids)
        for low in range(0, len(rows), 5):
            some = rows[low : low + 5]
            yield RankedBlock(low, posts[some], scores[some])
            pause()

    return score


def prepared(
    store: redis.Redis, of: GenerationContent, folder: Path, n_shards: int = 3, to: str = ""
) -> Prepared:
    """Prepare a content for shards; where nothing else is told, beside the folder of generations."""
    how, place = config(folder / "generations"), to or str(folder / "prepared")
    begun = prepare(generations(store), of, inputs_of(of), how, keep, n_shards=n_shards, to=place)
    return need_open(generations(store), of.variant, begun.generation)


def written(store: redis.Redis, begun: Prepared, shard: int, score: Score, folder: Path) -> Shard:
    """Write a shard from a state folder of its own, as on another machine."""
    how = config(folder / f"machine-{shard}" / "generations")
    return write_shard(generations(store), begun, shard, how, score)


def told(manifest: Manifest) -> dict[str, object]:
    """Return what two manifests of the same lists have in common."""
    own = ("generation", "created_at_s")
    return {name: getattr(manifest, name) for name in manifest.__dataclass_fields__ if name not in own}
