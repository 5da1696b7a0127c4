"""Look-ups of a past time: of the generation that answered then, or would have."""

import asyncio
from collections.abc import Callable
from typing import cast

from redis.asyncio import Redis

from api.contract.codec import decode
from api.contract.history import Reach
from api.contract.keys import Keys
from api.feed import LookUp
from api.store.cache import Loader, read_manifest, reading, without
from api.store.errors import GenerationGone, GenerationTooNew, StoreUnavailable
from api.store.pending import Ask, ids_of

GENERATIONS_HELD = 32  # one weighs half a megabyte: its posts are mostly those of the others


class LookBack:
    """Lets generations of the past answer one variant's look-ups, each in a task of its own."""

    def __init__(self, past: "Past", variant: str, wait_s: float, again: Callable[[Ask], None]) -> None:
        """Give back by `again` what only the current generation can answer; nobody waits beyond `wait_s`."""
        self._past = past
        self._variant = variant
        self._wait_s = wait_s
        self._again = again
        self._tasks: set[asyncio.Task[None]] = set()

    def takes(self, ask: Ask, reach: Reach) -> bool:
        """Take a look-up of a time that another generation than the current one may answer; say whether."""
        if ask.is_current or not reach.holds(ask.at_s):
            return False
        task = asyncio.create_task(self._answer(ask))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def rest(self) -> None:
        """End what is under way."""
        under_way = list(self._tasks)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _answer(self, ask: Ask) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                found = await self._past.look_up(self._variant, ask.user_id, ask.at_s)
        except TimeoutError:
            ask.failed(StoreUnavailable("a generation of the past is still being loaded"))
        except Exception as exc:  # told to whoever asked: else he would wait for ever
            ask.failed(exc)
        except asyncio.CancelledError:
            ask.failed(StoreUnavailable("we are stopping"))
            raise
        else:
            if found is not None:
                ask.found(found)
                return
            ask.is_current = True
            self._again(ask)


class Past:
    """Reads through redis-py, two round trips a look-up: who asks for the past is no user who waits."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        """Load nothing yet."""
        self._client = client
        self._keys = keys
        self._loader = Loader(client, keys, {}, held=GENERATIONS_HELD)

    async def look_up(self, variant: str, user_id: int, at_s: int) -> LookUp | None:
        """Read all that the feed at a past time needs; None if no generation of that time is kept.

        What was current at the time answers; where nothing was served yet, the newest one made for a time
        not after it. One that is quarantined, retired or too new for us answers nothing.

        Raises:
            GenerationUnreadable: The generation lacks a part.
            StoreUnavailable: The store did not answer in time.
        """
        with reading():
            number = await self._named(variant, at_s)
            text = None if number is None else await self._client.get(self._keys.manifest(number))
        if number is None or text is None:
            return None
        try:
            created_at_s = read_manifest(number, cast("bytes", text)).created_at_s
            return await self._read(number, created_at_s, user_id, at_s)
        except (GenerationGone, GenerationTooNew):
            return None

    async def rest(self) -> None:
        """End what is still being loaded."""
        await self._loader.rest()

    async def _named(self, variant: str, at_s: int) -> int | None:
        """Return the generation of a time."""
        pipe = self._client.pipeline(transaction=False)
        for key in (self._keys.promotions(variant), self._keys.past(variant)):
            pipe.zrange(key, at_s, cast("int", "-inf"), byscore=True, desc=True, offset=0, num=1)
        served, made = cast("list[list[bytes]]", await pipe.execute())
        if served:
            return int(served[0].split()[1])
        return int(made[0]) if made else None

    async def _read(self, number: int, created_at_s: int, user_id: int, at_s: int) -> LookUp:
        pointer, generation = await self._loader.pinned(number, created_at_s)
        manifest, keys = generation.manifest, self._keys
        bucket_s = manifest.horizon.bucket_for(at_s)
        seen_key = keys.likes if manifest.seen_policy == "likes" else keys.seen
        pipe = self._client.pipeline(transaction=False)
        pipe.hmget(keys.list(user_id, number), str(bucket_s), "segment")
        pipe.zrange(seen_key(user_id), cast("int", "-inf"), at_s, byscore=True)
        pipe.smembers(keys.takedowns())
        # The state comes last: a generation is marked before its first list goes.
        pipe.hget(keys.states(), str(number))
        with reading():
            (ranked, segment), seen, taken_down, state = await pipe.execute()
            if state != b"sealed":
                raise GenerationGone(number)
            own = decode(ranked)
        hidden = frozenset[int]()
        if manifest.seen_policy != "none":
            hidden = ids_of([seen])
        return LookUp(
            user_id=user_id,
            at_s=at_s,
            bucket_s=bucket_s,
            pointer=pointer,
            generation=without(generation, map(int, taken_down)),
            own=own,
            segment=segment.decode() if segment else None,
            hidden=hidden,
            sees_all=True,
        )
