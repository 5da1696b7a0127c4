"""The lists and seen posts of some users, next to one another: written, and what follows from them."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from batch.arrays import Bools, Ints
from batch.publish import seen, shard
from batch.publish.asleep import empty_lists, find_asleep
from batch.publish.fill import write_lists
from batch.publish.gate.stats import Sample
from batch.publish.generation import GenerationContent, choose_left_out
from batch.publish.proof.inputs import Inputs
from batch.publish.seen_sets import write_seen
from batch.publish.topics import write_topics
from batch.publish.user_digests import UserDigests
from batch.publish.writer import Build
from batch.score.ranked import RankedBlock
from batch.store.cluster_wire import open_writer
from batch.store.wire import PipelinedWriter


@dataclass(frozen=True, slots=True)
class Part:
    """What follows from the lists of some users.

    Attributes:
        digests: Of each of them.
        sample: What the gate looks at.
        n_over: Lists that break their cap.
        topics: Sum of the digests of their lists of topics.
        n_asleep: Users whose lists are empty since they sleep; the sample has what would be theirs.
    """

    digests: UserDigests
    sample: Sample
    n_over: int = 0
    topics: int = 0
    n_asleep: int = 0


def write_part(
    build: Build,
    blocks: Iterable[RankedBlock],
    inputs: Inputs | None,
    held: Mapping[str, int | None],
    *,
    first: int = 0,
    n_users: int = 0,
) -> Part:
    """Write lists, seen posts and likes, and lists of topics, of all users of the build's content.

    Args:
        build: Whose content has these users and no others.
        blocks: Their ranked lists, in order, counted from 0.
        inputs: What the blocks are computed from; lists of topics need it.
        held: What the store holds of `seen` and `likes`, as `seen.find_held` says it of all users.
        first: Row of the first of them in the whole generation.
        n_users: Users of the whole generation; 0: these are all.

    Raises:
        ValueError: The blocks do not cover the users.
    """
    content, keys = build.content, build.store.keys
    sample = Sample(n_users or len(content.user_ids), _longest(content), first)
    marks: dict[str, seen.Marks] = {}
    with open_writer(build.store.client) as wire:
        asleep = find_asleep(content, build.config.sleep_days)
        lists, n_short, n_over = _write_all(build, wire, blocks, sample, first, asleep)
        for name, times, key in (("seen", content.views, keys.seen), ("likes", content.likes, keys.likes)):
            write_seen(
                wire,
                build.lease,
                content,
                times,
                key,
                held[name],
                build.config.progress,
                restores=build.restores,
            )
            marks[name] = seen.mark(content, times, content.as_of_s)
        wire.flush()
    digests = UserDigests(content.user_ids, lists, n_short, marks["seen"], marks["likes"])
    topics = write_topics(build, inputs) if inputs is not None and content.topic_depth else 0
    return Part(digests, sample, n_over, topics, int(asleep.sum()))


def _write_all(
    build: Build,
    wire: PipelinedWriter,
    blocks: Iterable[RankedBlock],
    sample: Sample,
    first: int,
    asleep: Bools,
) -> tuple[npt.NDArray[np.uint8], Ints, int]:
    """Write all lists; return each user's digest, how many of their lists are short, and over their cap."""
    content, digests, n_short = build.content, [b""], [np.empty(0, np.int64)]
    n_users, n_over = len(content.user_ids), 0
    with shard.Files(build.folder, content, first) as files, ThreadPoolExecutor(1) as disk:
        for whole in shard.cut_at_shards(shard.check_cover(blocks, content)):
            block = empty_lists(whole, asleep)
            kept = disk.submit(files.add, block)
            digests += write_lists(build, wire, shard.rows_of(block), block.posts)
            n_short.append(shard.count_short(whole.posts, content.depth))
            sample.add(whole)
            n_over += 0 if content.caps is None else content.caps.count_over(block.posts)
            kept.result()
            build.config.progress("lists", block.first + len(block.posts), n_users)
    return shard.as_rows(digests), np.concatenate(n_short), n_over


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
