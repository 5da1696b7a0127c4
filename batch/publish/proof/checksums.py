"""A generation's checksums, computed again from what the store holds."""

from collections.abc import Mapping
from hashlib import blake2b

import redis

from api.contract.keys import SEGMENT_FIELD, Keys
from api.contract.manifest import Manifest
from batch.publish import shard
from batch.publish.proof.lists import hashes
from batch.store import read
from batch.store.lease import Progress


def shard_names(manifest: Manifest) -> list[str]:
    """Return the names of a generation's shards of lists, ascending."""
    return sorted(name for name in manifest.checksums if name.startswith("lists-"))


def bad_shards(
    client: redis.Redis, keys: Keys, manifest: Manifest, users: list[int], checksums: Mapping[str, str]
) -> list[str]:
    """Return which of some shards' checksums are not those of what the store holds, ascending by name.

    Args:
        client: The store.
        keys: Names of the keys.
        manifest: Gives generation and buckets; it need not be sealed.
        users: All users' ids, ascending.
        checksums: Shard names to digests.
    """
    return [
        name
        for name in sorted(checksums)
        if _digest(manifest, _fields(client, keys, manifest, users, name)) != checksums[name]
    ]


def _fields(
    client: redis.Redis, keys: Keys, manifest: Manifest, users: list[int], name: str
) -> list[tuple[int, dict[bytes, bytes]]]:
    first, last = (int(part) for part in name.split("-")[1:])
    return list(hashes(client, keys, manifest.generation, users[first : last + 1]))


def _digest(manifest: Manifest, found: list[tuple[int, dict[bytes, bytes]]]) -> str:
    starts = [b"%d" % start for start in manifest.horizon.starts]
    digests = [
        shard.digest(user_id, _segment(fields), [fields.get(start, b"") + b"\n" for start in starts])
        for user_id, fields in found
    ]
    return shard.checksum(b"".join(digests))


def bad_checksums(
    client: redis.Redis, keys: Keys, manifest: Manifest, users: list[int], progress: Progress
) -> tuple[list[str], list[int]]:
    """Return the names of the checksums that do not agree, and the users whose hash is missing."""
    bad, missing = [], []
    for name in shard_names(manifest):
        found = _fields(client, keys, manifest, users, name)
        missing += [user_id for user_id, fields in found if not fields]
        if _digest(manifest, found) != manifest.checksums[name]:
            bad.append(name)
        progress("checksums", int(name.split("-")[2]) + 1, len(users))
    if _shared(client, keys, manifest) != manifest.checksums.get("shared"):
        bad.append("shared")
    if shard.root(manifest.checksums) != manifest.root:
        bad.append("root")
    return bad, missing


def _shared(client: redis.Redis, keys: Keys, manifest: Manifest) -> str:
    """Digest what is not a user's, as it was digested when it was written; posts ascend by id."""
    number, digest = manifest.generation, blake2b(digest_size=shard.DIGEST_BYTES)
    shared = [keys.popular(number), *(keys.segment(number, name) for name in sorted(manifest.segments))]
    shared += [keys.profile(number, name) for name in read.words(client, keys.profiles(number))]
    for key in shared:
        fields = read.fields(client, key)
        for start in manifest.horizon.starts:
            digest.update(fields.get(b"%d" % start, b"") + b"\n")
    digest.update((read.value(client, keys.catalogue(number)) or b"") + b"\n")
    posts = read.fields(client, keys.posts(number))
    for post_id in sorted(posts, key=int):
        digest.update(posts[post_id] + b"\n")
    return digest.hexdigest()


def _segment(fields: dict[bytes, bytes]) -> str | None:
    text = fields.get(SEGMENT_FIELD.encode())
    return text.decode() if text is not None else None
