"""How users' own lists stand in the store, what asks for them, and what the replies mean.

As text: a hash a user, a field a bucket and one for the segment. Packed: one value a user, see `packed.py`.
The manifest says which, for each generation by itself; whoever reads or writes own lists does it by this.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from api.contract import packed
from api.contract.codec import decode, encode
from api.contract.keys import SEGMENT_FIELD
from api.contract.manifest import Manifest

Command = tuple[str, ...]
OwnList = tuple[Sequence[int], str | None]  # numbers of posts, best first, and the user's segment

_SEGMENT = SEGMENT_FIELD.encode()


class ListLayout:
    """How the own lists of one generation are read. Replies are the store's, as bytes.

    Attributes:
        is_packed: Whether they are packed; else they are text.
    """

    def __init__(self, manifest: Manifest) -> None:
        """Take layout and buckets from the manifest."""
        self.is_packed = manifest.layout == "packed"
        self._start_s, self._width_s = manifest.start_s, manifest.width_s
        self._names = [b"%d" % start for start in manifest.horizon.starts] if self.is_packed else []

    def ask(self, key: str, bucket_s: int) -> Command:
        """Return what reads the list of the bucket that begins at `bucket_s`, and the segment."""
        return ("GET", key) if self.is_packed else ("HMGET", key, str(bucket_s), SEGMENT_FIELD)

    def read(self, reply: Any, bucket_s: int) -> OwnList:
        """Return the list and the segment; nothing where the user has no lists.

        Raises:
            ValueError: What the user has is no list.
        """
        if not self.is_packed:
            ranked, segment = reply
            return decode(ranked), segment.decode() if segment else None
        if reply is None:
            return [], None
        return self.unpack(reply, bucket_s), packed.read_segment(reply)

    def unpack(self, value: bytes | None, bucket_s: int) -> Sequence[int]:
        """Return the list of a bucket out of a packed value; an empty one where there is none.

        Raises:
            ValueError: The value is not packed lists.
        """
        return packed.unpack(value, (bucket_s - self._start_s) // self._width_s) if value is not None else ()

    def ask_segment(self, key: str) -> Command:
        """Return what reads the segment alone; of a packed value that is all of it."""
        return ("GET", key) if self.is_packed else ("HGET", key, SEGMENT_FIELD)

    def read_segment(self, reply: bytes | None) -> str | None:
        """Return the segment; None where the user has none, or no lists.

        Raises:
            ValueError: The value is not packed lists.
        """
        if not reply:
            return None
        return packed.read_segment(reply) if self.is_packed else reply.decode()

    def ask_all(self, key: str) -> Command:
        """Return what reads the lists of all buckets, and the segment."""
        return ("GET", key) if self.is_packed else ("HGETALL", key)

    def read_all(self, reply: Any) -> Mapping[bytes, bytes]:
        """Return all of a user as text lays it out: bucket start to list, `segment`; empty without lists.

        Raises:
            ValueError: The value is not packed lists.
        """
        if not self.is_packed:
            fields: Mapping[bytes, bytes] = reply
            return fields
        if reply is None:
            return {}
        lists = packed.unpack_all(reply)
        texts = {one: encode(ranked) for one, ranked in {id(ranked): ranked for ranked in lists}.items()}
        found = {name: texts[id(ranked)] for name, ranked in zip(self._names, lists, strict=True)}
        segment = packed.read_segment(reply)
        return found if segment is None else found | {_SEGMENT: segment.encode()}
