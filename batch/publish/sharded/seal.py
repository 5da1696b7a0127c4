"""Join what shards wrote into one generation, as one run would have made it."""

from api.contract.manifest import Manifest
from batch.publish.config import PublishConfig
from batch.publish.folder import GenerationFolder, link
from batch.publish.memory.plan import Plan
from batch.publish.names import save_names
from batch.publish.part import Part
from batch.publish.proof.inputs import INPUTS, digest, load
from batch.publish.publish import finish
from batch.publish.retire import retire
from batch.publish.sharded.ledger import Prepared, need_open, read_written
from batch.publish.sharded.place import clear_place, open_place
from batch.publish.sharded.shard import empty_sample, part_name, read_part
from batch.publish.sharded.state import fetch_whole, scratch
from batch.publish.store import GenerationStore
from batch.publish.writer import Build, GateClosed, release, seal
from batch.store.lease import hold


class ShardsMissing(RuntimeError):
    """Some shards have not been written yet."""

    exit_code = 7


def seal_shards(
    store: GenerationStore, variant: str, generation: int | None, config: PublishConfig
) -> Manifest:
    """Write what all users share, sum up the shards, judge, seal and promote; then clear what was prepared.

    Killed at any point, or where the store was away, it can be done again, and no shard need be.

    Args:
        store: Where the shards are.
        variant: Of the generation.
        generation: Its number; None: the newest that waits.
        config: How it is published.

    Raises:
        NothingPrepared: None waits.
        ShardsMissing: Some shards are not there; it waits on.
        GateClosed: The gate did not let it through.
        LeaseTaken: Another run is publishing.
    """
    with hold(store.client, store.keys.lease(), config.now(), config.progress) as lease:
        prepared = need_open(store, variant, generation)
        place = open_place(prepared.place)
        manifest = store.need_manifest(prepared.generation)
        target = GenerationFolder.of(config.root, prepared.generation)
        names = _name_parts(store, prepared)
        target.create()
        with scratch(config.root) as work:
            content = fetch_whole(place, work, prepared, target)
            plan = None if prepared.plan is None else Plan(**prepared.plan)
            build = Build(store, config, lease, content, manifest, plan=plan)
            save_names(target, content)
            sample, parts = empty_sample(prepared.n_users), list[Part]()
            for name, files in names.items():
                place.fetch(name, files, work / name)
                part = GenerationFolder(work / name)
                link(part.lists(), target.path)
                parts.append(read_part(part, sample))
        build.checksums[INPUTS] = digest(target.inputs)
        inputs = load(target.inputs, None, build.checksums[INPUTS])
        try:
            finish(build, parts, sample, inputs, keep=None)
        except GateClosed:
            retire(store, lease, config.root, prepared.generation, config.progress)
            raise
        seal(build)
        clear_place(prepared.place, prepared.generation)
        release(build)
    return build.manifest


def _name_parts(store: GenerationStore, prepared: Prepared) -> dict[str, dict[str, str]]:
    """Return the folder and files of each shard, in their order.

    Raises:
        ShardsMissing: Some are not there.
    """
    written = read_written(store, prepared.generation)
    numbers = range(1, prepared.n_shards + 1)
    missing = [number for number in numbers if number not in written]
    if missing:
        raise ShardsMissing(
            f"generation {prepared.generation} lacks shards {', '.join(map(str, missing))} of "
            f"{prepared.n_shards}: write them, as by `almanac run --shard {missing[0]}/{prepared.n_shards}`, "
            "then seal again"
        )
    return {part_name(number, written[number].token): dict(written[number].files) for number in numbers}
