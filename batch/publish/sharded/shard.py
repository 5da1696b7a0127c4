"""One shard: its users' lists and seen posts written into the store, and what follows from them noted."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import orjson

from batch.publish.config import PublishConfig
from batch.publish.folder import GenerationFolder
from batch.publish.gate.stats import Sample
from batch.publish.part import Part, write_part
from batch.publish.proof.inputs import Inputs
from batch.publish.sharded.lease import hold_shard
from batch.publish.sharded.ledger import Prepared, Written, read_written
from batch.publish.sharded.place import open_place
from batch.publish.sharded.state import fetch_slice, scratch
from batch.publish.store import GenerationStore
from batch.publish.user_digests import UserDigests
from batch.publish.writer import Build, takes_whole_keys
from batch.score.ranked import RankedBlock

Score = Callable[[Inputs, int], Iterator[RankedBlock]]
_SAMPLE, _SUMS = "sample.npz", "sums.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard of a generation, and whether an earlier attempt had written it already."""

    generation: int
    shard: int
    shards: int
    users: int
    was_there: bool
    took_s: float
    cpu_s: float


def write_shard(
    store: GenerationStore, prepared: Prepared, shard: int, config: PublishConfig, score: Score
) -> Shard:
    """Score and write the users of a shard, unless that is done; killed at any point, it can be done again.

    Args:
        store: Where to.
        prepared: The generation.
        shard: From 1 to as many as there are.
        config: How; `root` is this machine's, and nothing stays there.
        score: Ranks the users of inputs, to a depth.

    Raises:
        ShardTaken: Another process writes it.
        ShardClosed: The generation is sealed or retired, or another attempt has the shard: what this one
            has written is the same byte for byte, or gone with its generation.
        PlaceFailed: The state cannot be fetched; PreparedSpoilt: it is not what was prepared.
    """
    if not 1 <= shard <= prepared.n_shards:
        raise ValueError(f"shard {shard} is none of the {prepared.n_shards} that were prepared")
    began, cpu_began = time.monotonic(), time.process_time()
    first, last = prepared.span(shard)
    about = {"generation": prepared.generation, "shard": shard, "shards": prepared.n_shards}
    with hold_shard(store, prepared.generation, shard, config.progress) as (lease, token):
        done = read_written(store, prepared.generation).get(shard)
        if done is not None:
            log.info("shard.kept", extra=about)
            return Shard(**about, users=last - first, was_there=True, took_s=done.took_s, cpu_s=done.cpu_s)
        place, manifest = open_place(prepared.place), store.need_manifest(prepared.generation)
        with scratch(config.root) as work:
            content, inputs = fetch_slice(place, work, prepared, shard)
            build = Build(store, replace(config, root=work), lease, content, manifest)
            build.restores = takes_whole_keys(store, last - first)
            build.folder.create()
            blocks = score(inputs, content.depth)
            part = write_part(build, blocks, inputs, prepared.held, first=first, n_users=prepared.n_users)
            _save_part(build.folder, part)
            files = place.put(build.folder.path.iterdir(), part_name(shard, token))
        took_s, cpu_s = round(time.monotonic() - began, 3), round(time.process_time() - cpu_began, 3)
        note = orjson.dumps(asdict(Written(token, files, socket.gethostname(), os.getpid(), took_s, cpu_s)))
        lease.commit(lambda pipe: pipe.hset(store.keys.shards(prepared.generation), str(shard), note))
    log.info("shard.written", extra={**about, "n_users": last - first, "took_s": took_s, "cpu_s": cpu_s})
    return Shard(**about, users=last - first, was_there=False, took_s=took_s, cpu_s=cpu_s)


def part_name(shard: int, token: str) -> str:
    """Return the name of what an attempt at a shard leaves: a later attempt never writes over it."""
    return f"parts/{shard}-{token}"


def read_part(folder: GenerationFolder, sample: Sample) -> Part:
    """Read what a shard left, all but its lists; the sample is added to."""
    sample.add_saved(folder.path / _SAMPLE)
    sums = orjson.loads((folder.path / _SUMS).read_bytes())
    digests, topics = UserDigests.load(folder.user_digests), int(sums["topics"], 16)
    return Part(digests, sample, sums["n_over"], topics, sums["n_asleep"])


def empty_sample(n_users: int) -> Sample:
    """Return what the samples of all shards are added to."""
    return Sample(n_users, np.empty((0, 1), np.int64))


def _save_part(folder: GenerationFolder, part: Part) -> None:
    part.digests.save(folder.user_digests)
    part.sample.save(folder.path / _SAMPLE)
    sums = {"n_over": part.n_over, "topics": f"{part.topics:x}", "n_asleep": part.n_asleep}
    Path(folder.path / _SUMS).write_bytes(orjson.dumps(sums))
