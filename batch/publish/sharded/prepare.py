"""Begin a generation that shards will write: its number, its state in the store, and all they work from."""

import logging
import uuid
from contextlib import suppress
from dataclasses import asdict, replace

from api.contract.manifest import Manifest
from batch.publish.config import PublishConfig
from batch.publish.generation import GenerationContent
from batch.publish.kinds import refuse_other_kinds
from batch.publish.proof.inputs import Inputs
from batch.publish.publish import Keep, make_room
from batch.publish.retire import retire
from batch.publish.seen import find_held
from batch.publish.sharded.ledger import ABOUT, Prepared, find_open, note_prepared
from batch.publish.sharded.place import PlaceFailed, open_place
from batch.publish.sharded.state import put_state, scratch
from batch.publish.store import GenerationStore
from batch.publish.writer import begin, clear_on_failure
from batch.store.lease import hold

log = logging.getLogger(__name__)


def prepare(
    store: GenerationStore,
    content: GenerationContent,
    inputs: Inputs,
    config: PublishConfig,
    keep: Keep,
    *,
    n_shards: int,
    to: str,
) -> Manifest:
    """Take a number for a generation and put what its shards need where they find it.

    An earlier one of the variant that still waits for shards is retired: of two nights the later counts.

    Args:
        store: Where the generation will be.
        content: Everything but the lists.
        inputs: What the lists will be computed from.
        config: How it is published.
        keep: Writes what a later refresh needs.
        n_shards: How many parts the users are cut into.
        to: Folder that all machines see, or an fsspec URL; the generation gets a folder of its own in it.

    Returns:
        The manifest as it is so far.

    Raises:
        PlaceFailed: The files cannot be put there; nothing is left.
        ValueError: There are more shards than users, or less than one.
        RuntimeError: What `writer.building` raises before lists are written.
    """
    n_users = len(content.user_ids)
    if not 1 <= n_shards <= n_users:
        raise ValueError(f"{n_shards} shards of {n_users} users: give a number from 1 to that of the users")
    refuse_other_kinds(store, content.variant, content.user_names, content.post_names, config.ids)
    with hold(store.client, store.keys.lease(), config.now(), config.progress) as lease:
        for one in find_open(store, content.variant):
            retire(store, lease, config.root, one.generation, config.progress)
        build = begin(store, content, config, lease, make_room(store, config))
        url = f"{to.rstrip('/')}/prepared-{build.number}-{uuid.uuid4().hex[:8]}"
        held = find_held(build.content, store.newest_of_facts())
        plan = None if build.plan is None else asdict(build.plan)
        prepared = Prepared(build.number, url, n_shards, n_users, config.now(), held, {}, plan)
        with clear_on_failure(build):
            place = open_place(url)
            try:
                with scratch(config.root) as work:
                    files, n_bytes = put_state(place, work, build.content, inputs, keep, prepared)
                note = note_prepared(replace(prepared, files=files))
                lease.commit(lambda pipe: pipe.hset(store.keys.shards(build.number), ABOUT, note))
            except BaseException:
                with suppress(PlaceFailed):
                    place.remove()
                raise
    told = {"generation": build.number, "shards": n_shards, "n_users": n_users, "bytes": n_bytes}
    log.info("generation.prepared", extra=told)
    return build.manifest
