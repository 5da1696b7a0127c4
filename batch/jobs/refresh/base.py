"""The generation that a refresh starts from: served, whole on this disk, and proven to be what was sealed."""

from dataclasses import dataclass
from pathlib import Path

import redis

from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.publish.retire import served
from batch.publish.user_digests import USER_DIGESTS, UserDigests
from batch.store import read


class NoBase(LookupError):
    """There is no generation to start a refresh from; the message says why."""


@dataclass(frozen=True, slots=True)
class Base:
    """A sealed generation, its folder, and its digests, whose sums are those of the manifest."""

    manifest: Manifest
    home: Path
    user_digests: UserDigests


def find(client: redis.Redis, keys: Keys, variant: str, folder: Path) -> Base:
    """Return the generation that is served now.

    Args:
        client: The store.
        keys: Names of the keys.
        variant: Under which it is served.
        folder: Where generations lie on disk.

    Raises:
        NoBase: Nothing is served, its folder or digests are not here or not what was sealed, or its lists
            have come to the end of their life.
    """
    number, _ = served(client, keys, variant)
    text = None if number is None else read.value(client, keys.manifest(number))
    if number is None or text is None:
        raise NoBase(f"nothing is served under variant {variant!r}")
    manifest, home = Manifest.from_json(text), folder / str(number)
    if not (home / USER_DIGESTS).is_file():
        raise NoBase(f"generation {number}, which is served, has no {USER_DIGESTS} in {home}")
    user_digests = UserDigests.load(home)
    sums = user_digests.checksums()
    known = {name: sum_ for name, sum_ in manifest.checksums.items() if name in sums}
    if sums != known:
        raise NoBase(f"what lies in {home} is not what was sealed as generation {number}")
    if len(user_digests.user_ids) and not client.exists(keys.list(int(user_digests.user_ids[0]), number)):
        raise NoBase(f"the lists of generation {number} have come to the end of their life")
    return Base(manifest, home, user_digests)
