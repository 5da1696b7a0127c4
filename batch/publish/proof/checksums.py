"""A generation's checksums, computed again from what the store holds."""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b

from api.contract.keys import SEGMENT_FIELD
from api.contract.manifest import EXPLORE, WINDOWS, Manifest
from batch.progress import Show
from batch.publish import shard
from batch.publish.store import GenerationStore
from batch.publish.topics import CHECKSUM, sum_topics
from batch.store import read

Hash = tuple[str, Mapping[bytes, bytes]]  # a user and the fields of their lists


def shard_names(checksums: Iterable[str]) -> list[str]:
    """Return the names of shards of lists among those of checksums, ascending."""
    return sorted(name for name in checksums if name.startswith("lists-"))


def bad_shards(
    store: GenerationStore, manifest: Manifest, users: list[str], checksums: Mapping[str, str]
) -> list[str]:
    """Return which of some shards' checksums are not those of what the store holds, ascending by name.

    Args:
        store: What is read.
        manifest: Gives generation and buckets; it need not be sealed.
        users: All users' canonical ids, in the order of their rows.
        checksums: Shard names to digests.
    """
    return [
        name
        for name in sorted(checksums)
        if _digest(manifest, _hashes(store, manifest, users, name)) != checksums[name]
    ]


def bad_checksums(
    store: GenerationStore, manifest: Manifest, users: list[str], progress: Show
) -> tuple[list[str], list[str]]:
    """Return the names of the checksums that do not agree, and the users whose hash is missing."""
    bad, missing = [], []
    for name in shard_names(manifest.checksums):
        found = _hashes(store, manifest, users, name)
        missing += [user_id for user_id, fields in found if not fields]
        if _digest(manifest, found) != manifest.checksums[name]:
            bad.append(name)
        progress("checksums", int(name.split("-")[2]) + 1, len(users))
    if _digest_shared(store, manifest) != manifest.checksums.get("shared"):
        bad.append("shared")
    sealed = manifest.checksums.get(CHECKSUM)
    if sealed is not None and sum_topics(store.topics(manifest.generation, users)) != sealed:
        bad.append(CHECKSUM)
    if shard.root(manifest.checksums) != manifest.root:
        bad.append("root")
    return bad, missing


def digest_users(store: GenerationStore, manifest: Manifest, users: list[str]) -> Iterator[bytes]:
    """Yield the digest of each user's lists as the store holds them; of an empty hash where they are gone."""
    return _digest_users(manifest, store.hashes(manifest, users))


def _hashes(store: GenerationStore, manifest: Manifest, users: list[str], name: str) -> list[Hash]:
    first, last = (int(part) for part in name.split("-")[1:])
    return list(store.hashes(manifest, users[first : last + 1]))


def _digest(manifest: Manifest, found: list[Hash]) -> str:
    return shard.checksum(b"".join(_digest_users(manifest, found)))


def _digest_users(manifest: Manifest, found: Iterable[Hash]) -> Iterator[bytes]:
    starts = [b"%d" % start for start in manifest.horizon.starts]
    for user_id, fields in found:
        yield shard.digest(user_id, _segment(fields), [fields.get(start, b"") + b"\n" for start in starts])


def _digest_shared(store: GenerationStore, manifest: Manifest) -> str:
    """Digest what is not a user's, as it was digested when it was written; posts ascend by number."""
    client, keys, number = store.client, store.keys, manifest.generation
    digest = blake2b(digest_size=shard.DIGEST_BYTES)
    shared = [keys.popular(number), *(keys.segment(number, name) for name in sorted(manifest.segments))]
    shared += [keys.profile(number, name) for name in read.words(client, keys.profiles(number))]
    for key in shared:
        fields = read.fields(client, key)
        for start in manifest.horizon.starts:
            digest.update(fields.get(b"%d" % start, b"") + b"\n")
    digest.update((read.value(client, keys.catalogue(number)) or b"") + b"\n")
    posts = read.fields(client, keys.posts(number))
    for post in sorted(posts, key=int):
        digest.update(posts[post] + b"\n")
    facets = read.fields(client, keys.facets(number)) if manifest.filter_by else {}
    for facet in sorted(facets):
        digest.update(facet + b"\n" + facets[facet] + b"\n")
    similar = read.fields(client, keys.similar(number)) if manifest.similar else {}
    for post in sorted(similar, key=int):
        digest.update(post + b" " + similar[post] + b"\n")
    windows = read.fields(client, keys.windows(number)) if WINDOWS in manifest.needs else {}
    for post in sorted(windows, key=int):
        digest.update(post + b" " + windows[post] + b"\n")
    weights = read.fields(client, keys.explore(number)) if EXPLORE in manifest.needs else {}
    for name in sorted(weights):
        digest.update(name + b"\n" + weights[name] + b"\n")
    return digest.hexdigest()


def _segment(fields: Mapping[bytes, bytes]) -> str | None:
    text = fields.get(SEGMENT_FIELD.encode())
    return text.decode() if text is not None else None
