"""Publish: a whole generation, all of its lists written anew."""

from collections.abc import Callable, Iterable, Sequence

from api.contract.manifest import SLEEPERS, Manifest
from batch.publish.config import PublishConfig
from batch.publish.fill import write_shared
from batch.publish.folder import GenerationFolder
from batch.publish.gate.gate import judge
from batch.publish.gate.gate_inputs import gather_gate_inputs
from batch.publish.gate.stats import Sample
from batch.publish.generation import GenerationContent
from batch.publish.memory.plan import Plan
from batch.publish.memory.room import reserve, share_held
from batch.publish.part import Part, write_part
from batch.publish.proof.inputs import INPUTS, Inputs
from batch.publish.seen import find_held
from batch.publish.store import GenerationStore
from batch.publish.topics import CHECKSUM, spell_sum
from batch.publish.user_digests import UserDigests
from batch.publish.writer import Build, building
from batch.score.ranked import RankedBlock
from batch.store.cluster_wire import open_writer

Keep = Callable[[GenerationFolder], None]


def publish(
    store: GenerationStore,
    content: GenerationContent,
    blocks: Iterable[RankedBlock],
    config: PublishConfig,
    *,
    inputs: Inputs | None = None,
    keep: Keep | None = None,
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
    with building(store, content, config, make_room(store, config)) as build:
        held = find_held(build.content, store.newest_of_facts())
        part = write_part(build, blocks, inputs, held)
        if inputs is not None:
            build.checksums[INPUTS] = inputs.save(build.folder.inputs)
        finish(build, [part], part.sample, inputs, keep)
    return build.manifest


def make_room(store: GenerationStore, config: PublishConfig) -> Callable[[GenerationContent], Plan | None]:
    """Return what makes sure that there is room for a whole generation, where the config wants that."""

    def plan(numbered: GenerationContent) -> Plan | None:
        if not config.plan_memory:
            return None
        return reserve(store, numbered, config.kept, share_held(store, numbered), layout=config.layout)

    return plan


def finish(
    build: Build, parts: Sequence[Part], sample: Sample, inputs: Inputs | None, keep: Keep | None
) -> None:
    """Write what all users share, sum up what was written of them, and judge it.

    Args:
        build: With the content of all users.
        parts: What was written of them, in their order.
        sample: Of all of them.
        inputs: As `publish` takes it.
        keep: As `publish` takes it.

    Raises:
        GateClosed: The lists are incomplete.
    """
    content = build.content
    with open_writer(build.store.client) as wire:
        build.checksums["shared"] = write_shared(build, wire)
    build.keep_digests(UserDigests.join([part.digests for part in parts]))
    if n_asleep := sum(part.n_asleep for part in parts):
        build.counts[SLEEPERS] = n_asleep
    if content.caps is not None:
        build.counts["over_cap"] = sum(part.n_over for part in parts)
    if inputs is not None and content.topic_depth:
        build.checksums[CHECKSUM] = spell_sum(sum(part.topics for part in parts))
    if keep is not None:
        keep(build.folder)
    if build.config.gate != "off":
        with build.config.stage("gate"):
            found = gather_gate_inputs(build, sample, inputs)
            build.judge(judge(found, build.config.limits, is_ours=not content.holds_seen))
