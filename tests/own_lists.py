"""Users' own lists in the store, read and changed by hand, whichever way they are laid out."""

from collections.abc import Sequence

import redis

from api.contract import packed
from api.contract.codec import decode, encode
from api.contract.ids import unquote
from api.contract.keys import SEGMENT_FIELD, Keys
from api.contract.layout import ListLayout
from api.contract.manifest import FOLDED, PACKED, Manifest
from api.contract.seen import pack_seen, unpack_seen
from batch.publish.ledger.ledger import Ledger
from batch.publish.replay.seen import read_numbers
from batch.store import read


def read_own(
    store: redis.Redis, generation: int, user: int | str, keys: Keys | None = None
) -> dict[bytes, bytes]:
    """Return a user's lists and segment as text has them; empty where there are none."""
    keys = keys or Keys()
    layout = ListLayout(_manifest(store, generation, keys))
    reply = store.execute_command(*layout.ask_all(keys.list(user, generation)))  # type: ignore[no-untyped-call]
    return dict(layout.read_all(reply))


def read_seen(store: redis.Redis, key: str) -> dict[int, int]:
    """Return what a user saw, or liked, by post: of the set under a key, and of what is packed of it."""
    return read_numbers(Ledger(store, Keys()), key, key + ":old")


def lose_seen(store: redis.Redis, key: str, post: int) -> None:
    """Take a post out of what a user saw, wherever it stands."""
    store.zrem(key, post)
    if old := read.value(store, key + ":old"):
        store.set(key + ":old", pack_seen([pair for pair in unpack_seen(old) if pair[0] != post]))


def needs_of(manifest: Manifest) -> tuple[str, ...]:
    """Return what a reader must know of a generation whichever way its lists are laid out."""
    return tuple(name for name in manifest.needs if name not in (PACKED, FOLDED))


def read_fields(store: redis.Redis, key: str) -> dict[bytes, bytes]:
    """Return the lists under a key of the prefix `almanac`, a user's or shared ones, as text has them."""
    _, _, what, user, generation = [*key.split(":"), "", ""][:5]
    return (
        read_own(store, int(generation), unquote(user[1:-1])) if what == "list" else read.fields(store, key)
    )


def write_own(
    store: redis.Redis, generation: int, user: int | str, bucket_s: int, posts: Sequence[int]
) -> None:
    """Change a user's list of a bucket; the life of their lists stays."""
    write_field(store, generation, user, b"%d" % bucket_s, encode(posts))


def write_field(store: redis.Redis, generation: int, user: int | str, name: bytes, text: bytes) -> None:
    """Change a user's list or segment, as text has it; the life of their lists stays."""
    keys = Keys()
    manifest, key = _manifest(store, generation, keys), keys.list(user, generation)
    if manifest.layout == "text":
        store.hset(key, name.decode(), text)
        return
    fields = read_own(store, generation, user) | {name: text}
    lists = [decode(fields[b"%d" % start]) for start in manifest.horizon.starts]
    depth = max(1, *map(len, lists))
    bits = packed.bits_for(max((post for ranked in lists for post in ranked), default=0))
    segment = fields.get(SEGMENT_FIELD.encode(), b"").decode()
    store.set(key, packed.pack(lists, depth, bits, segment), keepttl=True)


def _manifest(store: redis.Redis, generation: int, keys: Keys) -> Manifest:
    return Manifest.from_json(read.value(store, keys.manifest(generation)) or b"")
