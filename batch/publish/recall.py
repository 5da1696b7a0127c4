"""Backfilled generations into the store, beside those that are served."""

from batch.publish import shard
from batch.publish.backfilled import Backfilled, open_content, open_lists
from batch.publish.config import PublishConfig
from batch.publish.fill import write_lists, write_shared
from batch.publish.folder import link
from batch.publish.generation import GenerationContent
from batch.publish.memory.room import reserve
from batch.publish.proof.inputs import INPUTS, load
from batch.publish.store import GenerationStore
from batch.publish.topics import CHECKSUM, spell_sum, write_topics
from batch.publish.writer import Build, building
from batch.store.cluster_wire import open_writer


def recall(store: GenerationStore, made: Backfilled, config: PublishConfig) -> int:
    """Write a backfilled generation into the store, sealed and never current; return its number there.

    From then on it answers the times from its as_of to that of the next one, as far as nothing was served
    then. One that the store already has is not written again.

    Args:
        store: Where to.
        made: The generation on disk.
        config: How; the served generations that stay must have room beside it and the next run.

    Raises:
        StoreUnfit: The store's settings would break the lists, or its memory would not hold them beside the
            next run's.
        NothingServed: Nothing is current, so there are no seen sets and nobody answers.
        LeaseTaken: A run is publishing.
        LeaseLost: This process stalled and lost its turn.
    """
    variant, as_of_s = made.manifest.variant, made.manifest.as_of_s
    there = [number for number, at_s in store.read_backfilled(variant).items() if at_s == as_of_s]
    if not there:
        store.current(variant)
        content = open_content(made)

        def make_room(numbered: GenerationContent) -> None:
            reserve(store, numbered, config.kept, held=1.0, layout=config.layout, n_more=1)

        with building(store, content, config, make_room, past_s=as_of_s) as build:
            _fill(build, made)
        there = [build.number]
    store.announce_backfilled(variant)  # also of one whose writer was killed before doing so
    return there[0]


def _fill(build: Build, made: Backfilled) -> None:
    """Write lists and shared keys; the inputs are linked, and no byte of them is copied."""
    digests: list[bytes] = []
    link(made.folder.inputs.iterdir(), build.folder.inputs)
    with open_writer(build.store.client) as wire:
        for block in shard.cut_at_shards(open_lists(made, build.content)):
            digests += write_lists(build, wire, shard.rows_of(block), block.posts)
            build.config.progress("lists", len(digests), len(build.content.user_ids))
        build.checksums["shared"] = write_shared(build, wire)
    if build.content.topic_depth:
        inputs = load(build.folder.inputs, None, made.manifest.checksums[INPUTS])
        build.checksums[CHECKSUM] = spell_sum(write_topics(build, inputs))
    build.checksums |= made.manifest.checksums | shard.checksums(shard.as_rows(digests))
