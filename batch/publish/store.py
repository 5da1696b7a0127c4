"""The generations of one store: the ledger, and users' lists as they stand in Redis."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from api.contract.codec import decode
from api.contract.ids import LONGEST, unquote
from api.contract.layout import Command, ListLayout
from api.contract.manifest import Manifest
from batch.arrays import Ints
from batch.publish.ledger.ledger import Ledger
from batch.store import read

CHUNK = 250  # users a round trip: 1.5 MB of lists
FIRST_BYTES = 3 * LONGEST + 1  # of the key `users`: the first id is in them, each of its bytes quoted


class GenerationStore(Ledger):
    """A store of generations, through a client whose replies are bytes."""

    __slots__ = ()

    def user_ids(self, generation: int) -> list[str]:
        """Return the canonical ids of the users who have lists, in the order of their rows."""
        text = (read.value(self.client, self.keys.users(generation)) or b"").decode()
        return list(map(unquote, text.split())) if "%" in text else text.split()

    def list_ttl_s(self, generation: int) -> int | None:
        """Return the life left in users' lists, by the first user's, seconds; None: there are no users.

        -1: the list has no end; -2: it is gone.
        """
        start = read.narrow(self.client.getrange(self.keys.users(generation), 0, FIRST_BYTES))
        first = unquote(start.partition(b" ")[0].decode())
        return int(self.client.ttl(self.keys.list(first, generation))) if first else None

    def lists_expired(self, generation: int) -> bool:
        """Say whether the lists of a generation's users have come to the end of their life."""
        return self.list_ttl_s(generation) == -2

    def topics(self, generation: int, users: Sequence[str]) -> Iterator[tuple[str, dict[bytes, bytes]]]:
        """Yield each user with the HASH of their lists of topics, empty where it is missing."""
        return self._ask(users, lambda user_id: ("HGETALL", self.keys.topics(user_id, generation)))

    def hashes(self, manifest: Manifest, users: Sequence[str]) -> Iterator[tuple[str, Mapping[bytes, bytes]]]:
        """Yield each user with their lists as text lays them out, whatever the layout.

        Empty where the lists are missing, or are a value that is not packed lists though it should be.
        """
        layout, number = ListLayout(manifest), manifest.generation
        for user_id, reply in self._ask(
            users, lambda user_id: layout.ask_all(self.keys.list(user_id, number))
        ):
            try:
                yield user_id, layout.read_all(reply)
            except ValueError:
                yield user_id, {}

    def segments(self, manifest: Manifest, users: Sequence[str]) -> Iterator[str | None]:
        """Yield each user's segment; None for who has none, or no lists.

        Raises:
            ValueError: A user's lists are not laid out as the manifest says.
        """
        layout, number = ListLayout(manifest), manifest.generation
        replies = self._ask(users, lambda user_id: layout.ask_segment(self.keys.list(user_id, number)))
        return (layout.read_segment(reply) for _, reply in replies)

    def _ask(self, users: Sequence[str], ask: Callable[[str], Command]) -> Iterator[tuple[str, Any]]:
        for low in range(0, len(users), CHUNK):
            some = users[low : low + CHUNK]
            with self.client.pipeline(transaction=False) as pipe:
                for user_id in some:
                    pipe.execute_command(*ask(user_id))  # type: ignore[no-untyped-call]
                yield from zip(some, pipe.execute(), strict=True)

    def read_lists(self, manifest: Manifest, users: Sequence[str], starts: Sequence[int]) -> Ints:
        """Read some users' lists of some buckets.

        Returns:
            int64 (users, buckets, depth). Numbers of posts, best first; -1 fills, and stands where there is
            no list.
        """
        out = np.full((len(users), len(starts), manifest.depth), -1, np.int64)
        names = [b"%d" % start for start in starts]
        for own, (_, fields) in zip(out, self.hashes(manifest, users), strict=True):
            for row, name in zip(own, names, strict=True):
                ids = decode(fields.get(name))
                row[: len(ids)] = ids
        return out
