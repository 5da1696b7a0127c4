"""May a refresh stand for a full run? What it starts from, and every reason why not."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from api.contract.buckets import moment
from api.contract.ids import FEATURE, NUMBERS
from api.contract.manifest import Manifest
from batch.data.columns import USER_ID
from batch.data.facts import Facts
from batch.features.profile import fits
from batch.jobs.refresh.digests import Changes, FrozenMissing, InputDigests
from batch.jobs.refresh.frozen import Frozen
from batch.learn.baselines.named import find_baseline
from batch.publish.folder import GenerationFolder
from batch.publish.ledger.ledger import NothingServed
from batch.publish.names import load_names
from batch.publish.proof.inputs import INPUTS, Inputs, InputsMissing, load
from batch.publish.store import GenerationStore
from batch.publish.user_digests import UserDigests
from batch.settings import Settings

MOST_CHANGED = 0.2  # of the users: beyond it a full run costs little more, and learns from what they did


class FullRunNeeded(Exception):
    """A refresh cannot stand for a full run now; the message says why."""


@dataclass(frozen=True, slots=True)
class Base:
    """What a refresh starts from: the sealed generation that is served.

    Attributes:
        manifest: Its manifest.
        folder: Its folder.
        digests: Of its users' lists; their sums are the manifest's.
        frozen: What stays of the last full run.
        facts: Digests of the facts that it was made of.
    """

    manifest: Manifest
    folder: GenerationFolder
    digests: UserDigests
    frozen: Frozen
    facts: InputDigests

    def inputs(self) -> Inputs:
        """Read the inputs of all users.

        Raises:
            FullRunNeeded: They are not there, or not what was sealed.
        """
        sealed = self.manifest.checksums.get(INPUTS)
        if sealed is None:
            raise FullRunNeeded(f"generation {self.manifest.generation} was published without its inputs")
        try:
            return load(self.folder.inputs, None, sealed)
        except InputsMissing as exc:
            raise FullRunNeeded(str(exc)) from exc


def find_base(settings: Settings, store: GenerationStore, root: Path) -> Base:
    """Return what a refresh starts from, whole on this disk and proven to be what was sealed.

    Raises:
        FullRunNeeded: There is no such thing, or settings that shape lists are others by now.
    """
    if find_baseline(settings.variant) is not None:
        raise FullRunNeeded(
            f"variant {settings.variant!r} is a peer's, which keeps no model to refresh by: it learns anew"
        )
    try:
        manifest = store.current(settings.variant)
        if manifest.holds_seen:
            raise FullRunNeeded(
                f"generation {manifest.generation}, which is served, is of lists that somebody else made"
            )
        folder = GenerationFolder.of(root, manifest.generation)
        digests = _load_digests(store, manifest, folder)
        frozen, facts = Frozen.load(folder.frozen), InputDigests.load(folder.frozen)
    except NothingServed as exc:
        raise FullRunNeeded(f"nothing is served under variant {settings.variant!r}") from exc
    except FrozenMissing as exc:
        raise FullRunNeeded(str(exc)) from exc
    shapes = {
        "ALMANAC_BUCKET_WIDTH_S": (settings.bucket_width_s, manifest.width_s),
        "ALMANAC_N_BUCKETS": (settings.n_buckets, manifest.n_buckets),
        "ALMANAC_DEPTH": (min(settings.depth, len(frozen.post_ids)), manifest.depth),
        "ALMANAC_LAYOUT": (settings.layout, manifest.layout),
        "ALMANAC_SIMILAR": (settings.similar, manifest.similar),
        "ALMANAC_SEEN_POLICY": (settings.seen_policy, manifest.seen_policy),
        "ALMANAC_TOPIC_DEPTH": (settings.topic_depth, manifest.topic_depth),
        "ALMANAC_FILTER_BY": (",".join(sorted(settings.filter_columns)), ",".join(manifest.filter_by)),
        "ALMANAC_MAX_PER_TOPIC": (settings.max_per_topic or "none", manifest.max_per_topic or "none"),
    }
    for name, (wanted, was) in shapes.items():
        if wanted != was:
            raise FullRunNeeded(
                f"{name} is {wanted}, and generation {manifest.generation} has {was or 'none'}"
            )
    return Base(manifest, folder, digests, frozen, facts)


def _load_digests(store: GenerationStore, manifest: Manifest, folder: GenerationFolder) -> UserDigests:
    """Return the digests of a generation's lists.

    Raises:
        FullRunNeeded: They are not here or not what was sealed, or its lists have come to the end of their
            life.
    """
    number, path = manifest.generation, folder.user_digests
    if not path.is_file():
        raise FullRunNeeded(f"generation {number}, which is served, has no {path.name} in {folder.path}")
    digests = UserDigests.load(path)
    sums = digests.checksums()
    if sums != {name: manifest.checksums.get(name) for name in sums}:
        raise FullRunNeeded(f"what lies in {folder.path} is not what was sealed as generation {number}")
    if store.lists_expired(number):
        raise FullRunNeeded(f"the lists of generation {number} have come to the end of their life")
    return digests


def refuse(base: Base, facts: Facts, changes: Changes) -> None:
    """Return if the facts let a refresh stand for a full run.

    Raises:
        FullRunNeeded: The horizon is over, posts, kinds of ids, profile columns or the zone are others, or
            too many users changed.
    """
    horizon = base.manifest.horizon
    _refuse_other_ids(base, facts)
    if facts.zone != base.frozen.zone:
        raise FullRunNeeded(
            f"hours of the day are those of {facts.zone or 'UTC'}, "
            f"and generation {base.manifest.generation} was made by {base.frozen.zone or 'UTC'}"
        )
    if facts.as_of_s >= horizon.end_s:
        raise FullRunNeeded(
            f"the newest fact is of {moment(facts.as_of_s).isoformat()}, "
            f"and the lists' horizon ends at {moment(horizon.end_s).isoformat()}"
        )
    if len(changes.posts_gone):
        _, names = load_names(base.folder, base.manifest)
        raise FullRunNeeded(
            f"post {names.spelled(changes.posts_gone[:1])[0]} is not among the facts any more"
        )
    columns = [name for name in facts.users.columns if name != USER_ID]
    if columns != list(base.frozen.codes):
        raise FullRunNeeded(f"profiles have the columns {columns}, the model knows {list(base.frozen.codes)}")
    for name, of in base.frozen.codes.items():
        if not fits(facts.users[name], of):
            raise FullRunNeeded(f"profile column {name!r} holds other values than the model knows")
    if base.frozen.embedded != (facts.embeddings is not None):
        raise FullRunNeeded("posts have embeddings now and had none at the last full run, or the reverse")
    share = float(changes.users.mean()) if len(changes.users) else 0.0
    if share > MOST_CHANGED:
        raise FullRunNeeded(f"{share:.0%} of the users have moved, a refresh is for up to {MOST_CHANGED:.0%}")


def _refuse_other_ids(base: Base, facts: Facts) -> None:
    """Return if ids are in JSON what they were, and posts stand in the store under the numbers they have now.

    Raises:
        FullRunNeeded: They do not.
    """
    manifest, now = base.manifest, (facts.user_names.kind, facts.post_names.kind)
    number = manifest.generation
    if now != (manifest.user_ids, manifest.post_ids):
        was = f"{manifest.user_ids} and {manifest.post_ids}"
        raise FullRunNeeded(f"ids of users and posts are {' and '.join(now)}, in generation {number} {was}")
    posts = base.facts.post_ids
    if FEATURE not in manifest.needs and np.any((posts < 0) | (posts >= NUMBERS.stop)):
        raise FullRunNeeded(f"generation {number} is of a version that had no dictionary of posts' ids")
