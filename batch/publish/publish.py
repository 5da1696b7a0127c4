"""Publish: a whole generation, all of its lists written anew."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from scipy import sparse

from api.contract.manifest import Manifest
from batch.arrays import Ints
from batch.publish import seen, shard
from batch.publish.config import PublishConfig
from batch.publish.fill import write_lists, write_shared
from batch.publish.folder import GenerationFolder
from batch.publish.gate.gate import judge
from batch.publish.gate.gate_inputs import gather_gate_inputs
from batch.publish.gate.stats import Sample
from batch.publish.generation import GenerationContent, choose_left_out
from batch.publish.memory.plan import Plan
from batch.publish.memory.room import reserve, share_held
from batch.publish.proof.inputs import INPUTS, Inputs
from batch.publish.seen_sets import write_seen
from batch.publish.store import GenerationStore
from batch.publish.topics import CHECKSUM, write_topics
from batch.publish.user_digests import UserDigests
from batch.publish.writer import Build, building
from batch.score.ranked import RankedBlock
from batch.store.cluster_wire import open_writer
from batch.store.wire import PipelinedWriter


def publish(
    store: GenerationStore,
    content: GenerationContent,
    blocks: Iterable[RankedBlock],
    config: PublishConfig,
    *,
    inputs: Inputs | None = None,
    keep: Callable[[GenerationFolder], None] | None = None,
) -> Manifest:
    """Write, judge, seal and promote one generation; then retire what is beyond the number kept.

    Args:
        store: Where to.
        content: Everything but the lists.
        blocks: Ranked lists of all users, in order; taken one at a time while the lease is held.
        config: How.
        inputs: What the blocks are computed from; kept in the generation's folder, so that `verify` and
            the gate can compute lists again.
        keep: Writes into the generation's folder, before it is sealed, what a later refresh needs.

    Returns:
        The manifest, as it stands in the store.

    Raises:
        StoreUnfit: The server's version or settings would break the lists, or its memory would not hold
            them; nothing was written.
        ValueError: The blocks do not cover the content's users.
        RuntimeError: What `building` raises.
    """

    def make_room(numbered: GenerationContent) -> Plan | None:
        if not config.plan_memory:
            return None
        return reserve(store, numbered, config.kept, share_held(store, numbered), layout=config.layout)

    with building(store, content, config, make_room) as build:
        sample = _fill(build, blocks)
        if inputs is not None:
            build.checksums[INPUTS] = inputs.save(build.folder.inputs)
            if content.topic_depth:
                build.checksums[CHECKSUM] = write_topics(build, inputs)
        if keep is not None:
            keep(build.folder)
        if config.gate != "off":
            with config.stage("gate"):
                found = gather_gate_inputs(build, sample, inputs)
                build.judge(judge(found, config.limits, is_ours=not content.holds_seen))
    return build.manifest


def _fill(build: Build, blocks: Iterable[RankedBlock]) -> Sample:
    """Write lists, shared keys, then seen posts; return what the gate looks at."""
    content, keys = build.content, build.store.keys
    sample = Sample(len(content.user_ids), _longest(content))
    newest = build.store.newest_of_facts()
    marks: dict[str, seen.Marks] = {}
    with open_writer(build.store.client) as wire:
        lists, n_short = _write_all(build, wire, blocks, sample)
        build.checksums["shared"] = write_shared(build, wire)
        for name, times, key in (("seen", content.views, keys.seen), ("likes", content.likes, keys.likes)):
            since_s = seen.held_until(content, times, name, newest)
            write_seen(
                wire,
                build.lease,
                content,
                times,
                key,
                since_s,
                build.config.progress,
                restores=build.restores,
            )
            marks[name] = seen.mark(content, times, content.as_of_s)
    build.keep_digests(UserDigests(content.user_ids, lists, n_short, marks["seen"], marks["likes"]))
    return sample


def _write_all(
    build: Build, wire: PipelinedWriter, blocks: Iterable[RankedBlock], sample: Sample
) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Write all lists; return each user's digest and how many of their lists are short."""
    content, digests, n_short = build.content, [b""], [np.empty(0, np.int64)]
    n_users = len(content.user_ids)
    with shard.Files(build.folder, content) as files, ThreadPoolExecutor(1) as disk:
        for block in shard.cut_at_shards(shard.check_cover(blocks, content)):
            kept = disk.submit(files.add, block)
            digests += write_lists(build, wire, shard.rows_of(block), block.posts)
            n_short.append(shard.count_short(block.posts, content.depth))
            sample.add(block)
            if content.caps is not None:
                n_over = content.caps.count_over(block.posts)
                build.counts["over_cap"] = build.counts.get("over_cap", 0) + n_over
            kept.result()
            build.config.progress("lists", block.first + len(block.posts), n_users)
    return shard.as_rows(digests), np.concatenate(n_short)


def _longest(content: GenerationContent) -> Ints:
    """Return int64 (users, buckets or 1): the posts that each user's lists could hold."""
    hidden = choose_left_out(content.seen_policy, content.views, content.likes)
    if content.windows is None:
        left = len(content.post_ids) - hidden.sizes[:, None]
    else:
        opened = content.windows.at(np.array(content.horizon.starts)).astype(np.int64)
        shape = (hidden.n_users, len(content.post_ids))
        pairs = sparse.csr_matrix((np.ones(len(hidden.post), np.int64), hidden.post, hidden.start), shape)
        left = opened.sum(axis=1) - pairs @ opened.T
    return np.asarray(np.minimum(content.depth, left), np.int64)
