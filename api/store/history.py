"""Look-ups in generations that need not be current: of a past time, or of a cursor's page."""

import asyncio

from api.contract.facets import Filter
from api.contract.keys import Keys
from api.found import Lookup
from api.store.cache import GenerationCache, drop_posts, read_hash_of_pins, read_members, translate_errors
from api.store.commands import LookupCommands, check_reply, read_hidden, read_topics
from api.store.errors import LOADING, GenerationGone, GenerationTooNew, StoreUnavailable
from api.store.lifeline import Line


class HistoryReader:
    """Reads what is kept, in one or two round trips a look-up."""

    def __init__(self, lifeline: Line, keys: Keys, cache: GenerationCache, wait_s: float) -> None:
        """Read nothing yet; `wait_s` bounds the wait for a generation that is being loaded."""
        self._lifeline = lifeline
        self._keys = keys
        self._cache = cache
        self._wait_s = wait_s

    async def look_up_past(
        self, variant: str, user_id: str, at_s: int, wish: Filter | None = None
    ) -> Lookup | None:
        """Read all that the feed at a past time needs; None if no generation of that time is kept.

        What was current at the time answers; where nothing was served yet, the newest one made for a time
        not after it. One that is quarantined, retired or too new for us answers nothing.

        Raises:
            GenerationUnreadable: The generation lacks a part.
            StoreUnavailable: The store did not answer in time.
        """
        keys, newest = self._keys, ("-inf", "BYSCORE", "REV", "LIMIT", 0, 1)
        with translate_errors():
            promoted, made = map(
                check_reply,
                await self._lifeline.call(
                    ("ZRANGE", keys.promotions(variant), at_s, *newest),
                    ("ZRANGE", keys.past(variant), at_s, *newest),
                ),
            )
        numbers = [member.split()[1] for member in promoted] or made
        try:
            return await self.look_up_in(int(numbers[0]), None, user_id, at_s, wish) if numbers else None
        except (GenerationGone, GenerationTooNew):
            return None

    async def look_up_in(
        self, number: int, created_at_s: int | None, user_id: str, at_s: int, wish: Filter | None = None
    ) -> Lookup:
        """Read all that a feed needs of one generation; `created_at_s` None takes any of that number.

        Raises:
            GenerationGone: It is no longer kept.
            GenerationUnreadable: It lacks a part.
            StoreUnavailable: The store did not answer in time.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                pointer, generation = await self._cache.load_pinned(number, created_at_s)
        except TimeoutError as exc:
            raise StoreUnavailable(LOADING) from exc
        manifest, keys = generation.manifest, self._keys
        commands = LookupCommands(keys, manifest)
        bucket_s = manifest.horizon.bucket_for(at_s)
        topics = commands.list_topics(user_id, wish)
        with translate_errors():
            replies = await self._lifeline.call_then(
                # The state comes last: a generation is marked before its first list goes.
                ("HGET", keys.states(), str(number)),
                commands.layout.ask(commands.list_key(user_id), bucket_s),
                ("SMEMBERS", keys.takedowns()),
                ("HGETALL", keys.pins()),
                *topics,
                *commands.list_seen(user_id, at_s),
            )
            told, taken_down, pins, *further, state = map(check_reply, replies)
            wanted, seen = further[: len(topics)], further[len(topics) :]
            if state != b"sealed":
                raise GenerationGone(number)
            ranked, segment = commands.layout.read(told, bucket_s)
            return Lookup(
                user_id=user_id,
                at_s=at_s,
                bucket_s=bucket_s,
                pointer=pointer,
                generation=drop_posts(generation, read_members(taken_down)),
                own=ranked,
                segment=segment,
                hidden=read_hidden(seen, generation, at_s),
                sees_all=True,
                topics=read_topics(wanted),
                pins=generation.number_pins(read_hash_of_pins(pins)),
            )
