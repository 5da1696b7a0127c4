"""The store as the API reads it: every Redis read is here, one round trip a request.

A request reads the pointer, the user's list, what he saw and what was taken down in one pipeline; only who
goes below his own list needs a second trip. What all users share (posts, catalogue, popular and segment
lists) is read once per generation and kept in memory.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from api.contract.codec import decode
from api.contract.keys import SEGMENT_FIELD, Keys
from api.contract.manifest import Manifest
from api.feed import Generation, LookUp, Pointer, RankedLists, seen_after

log = logging.getLogger(__name__)

GENERATIONS_HELD = 3  # current, previous, and one that has just been published
POSTS_A_READ = 500  # at 1-2 KB a post about 1 MB: what the event loop parses without keeping others waiting


class NothingPublished(LookupError):
    """No generation is current under the variant."""

    def __init__(self, variant: str) -> None:
        super().__init__(f"nothing is published under variant {variant!r} yet: run `almanac run`")
        self.variant = variant


class GenerationUnreadable(LookupError):
    """The current generation lacks a part, or a part cannot be read."""

    def __init__(self, generation: int, why: str) -> None:
        super().__init__(f"generation {generation} cannot be served: {why}")
        self.generation = generation


class StoreUnavailable(Exception):
    """The store did not answer, or not in time, or not with what was asked for."""

    def __init__(self, why: object) -> None:
        super().__init__(f"the store does not answer: {why}")


Shelf = dict[Pointer, Generation]  # generations in memory, the one loaded longest ago first


class Store:
    """Reads for one event loop. `shelf` may outlive it: it holds plain values only."""

    def __init__(self, client: Redis, keys: Keys, variant: str, shelf: Shelf) -> None:
        self._client = client
        self._keys = keys
        self._variant = variant
        self._shelf = shelf
        self._pointer: Pointer | None = None
        self._loading: dict[Pointer, asyncio.Task[Generation]] = {}
        self._lost = False

    async def current(self) -> tuple[Pointer, Generation]:
        """Read the pointer and return the generation that it names, loaded.

        Raises:
            NothingPublished: There is no current generation.
            GenerationUnreadable: There is one, but it lacks a part.
            StoreUnavailable: The store did not answer in time.
        """
        with self._reading():
            pipe = self._client.pipeline(transaction=False)
            (named,) = await self._with_pointer(pipe).execute()
            pointer = self._pointed(named)
        return pointer, await self._generation(pointer)

    async def look_up(self, user_id: int, at_s: int) -> LookUp:
        """Read in one round trip what a user's own list needs at a time, all of the current generation.

        Where the pointer has moved, the generation that it names now is loaded and the look-up repeated.

        Raises:
            NothingPublished, GenerationUnreadable, StoreUnavailable: As `current`.
        """
        pointer, generation = self._last() or await self.current()
        named, found = await self._look_up(pointer, generation, user_id, at_s)
        if named != pointer:
            # What is named now was current during this request: its answer is right, even if the pointer
            # moves on while it is being loaded.
            generation = await self._generation(named)
            _, found = await self._look_up(named, generation, user_id, at_s)
        self._pointer = named
        return found

    async def see_all(self, found: LookUp) -> LookUp:
        """Return the look-up with all that the user saw by its time hidden, as fallback lists need it.

        Raises:
            StoreUnavailable: The store did not answer in time.
        """
        key = self._seen_key(found.generation.manifest, found.user_id)
        if found.sees_all or key is None:
            return replace(found, sees_all=True)
        with self._reading():
            seen = await self._client.zrangebyscore(key, "-inf", found.at_s)
            hidden = found.hidden | _ids(cast("list[bytes]", seen))
        return replace(found, hidden=hidden, sees_all=True)

    async def rest(self) -> None:
        """End what is still being loaded."""
        loading = list(self._loading.values())
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)

    async def _look_up(
        self, pointer: Pointer, generation: Generation, user_id: int, at_s: int
    ) -> tuple[Pointer, LookUp]:
        bucket_s = generation.manifest.horizon.bucket_for(at_s)
        after = seen_after(generation.manifest, at_s)
        seen_key = self._seen_key(generation.manifest, user_id)
        pipe = self._with_pointer(self._client.pipeline(transaction=False))
        pipe.smembers(self._keys.takedowns())
        pipe.hmget(self._keys.list(user_id, pointer.generation), [str(bucket_s), SEGMENT_FIELD])
        if seen_key is not None:
            pipe.zrangebyscore(seen_key, "-inf" if after is None else f"({after}", at_s)
        with self._reading():
            named, taken_down, (own, segment), *seen = await pipe.execute()
            return self._pointed(named), LookUp(
                user_id=user_id,
                at_s=at_s,
                bucket_s=bucket_s,
                pointer=pointer,
                generation=generation,
                own=tuple(decode(own)),
                segment=None if segment is None else segment.decode(),
                hidden=_ids(taken_down).union(*map(_ids, seen)),
                sees_all=after is None,
            )

    def _last(self) -> tuple[Pointer, Generation] | None:
        """Return what answered last, if it is still in memory: most likely it is current still."""
        generation = self._shelf.get(self._pointer) if self._pointer else None
        return (self._pointer, generation) if self._pointer and generation else None

    def _with_pointer(self, pipe: Pipeline) -> Pipeline:
        pipe.hmget(self._keys.current(self._variant), ["generation", "promoted_at"])
        return pipe

    def _pointed(self, reply: list[bytes | None]) -> Pointer:
        generation, promoted_at = reply
        if generation is None:
            raise NothingPublished(self._variant)
        return Pointer(int(generation), int(promoted_at or 0))

    def _seen_key(self, manifest: Manifest, user_id: int) -> str | None:
        match manifest.seen_policy:
            case "views":
                return self._keys.seen(user_id)
            case "likes":
                return self._keys.likes(user_id)
            case "none":
                return None

    async def _generation(self, pointer: Pointer) -> Generation:
        """Return what a pointer names, from the shelf; who comes while it is being loaded waits for it."""
        if pointer in self._shelf:
            return self._shelf[pointer]
        if pointer not in self._loading:
            task = asyncio.create_task(self._load(pointer))
            self._loading[pointer] = task
            task.add_done_callback(lambda _: self._loading.pop(pointer))
        # Shielded: one client that hangs up must not end the loading for all who wait.
        return await asyncio.shield(self._loading[pointer])

    async def _load(self, pointer: Pointer) -> Generation:
        with self._reading():
            manifest = await self._manifest(pointer.generation)
            held = (shelved for shelved in self._shelf.values() if shelved.manifest == manifest)
            loaded = next(held, None) or await self._shared(manifest)
        self._shelf[pointer] = loaded
        while len(self._shelf) > GENERATIONS_HELD:
            self._shelf.pop(next(iter(self._shelf)))
        return loaded

    async def _manifest(self, generation: int) -> Manifest:
        text = await self._client.get(self._keys.manifest(generation))
        if text is None:
            raise GenerationUnreadable(generation, "its manifest is missing")
        try:
            return Manifest.from_json(cast("bytes", text))
        except ValueError as exc:
            raise GenerationUnreadable(generation, str(exc)) from exc

    async def _shared(self, manifest: Manifest) -> Generation:
        number, keys = manifest.generation, self._keys
        pipe = self._client.pipeline(transaction=False)
        pipe.get(keys.catalogue(number))
        pipe.hgetall(keys.popular(number))
        for name in manifest.segments:
            pipe.hgetall(keys.segment(number, name))
        catalogue, popular, *segments = await pipe.execute()
        if catalogue is None:
            raise GenerationUnreadable(number, "its catalogue is missing")
        posts = self._client.hscan_iter(keys.posts(number), count=POSTS_A_READ)
        loaded = Generation(
            manifest=manifest,
            posts={int(post_id): text async for post_id, text in posts},
            catalogue=decode(catalogue),
            popular=_lists(popular),
            segments=dict(zip(manifest.segments, map(_lists, segments), strict=True)),
        )
        n_missing = len(set(loaded.catalogue) - loaded.posts.keys())
        if n_missing:
            raise GenerationUnreadable(
                number, f"{n_missing} of its {len(loaded.catalogue)} posts are missing"
            )
        return loaded

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn the client's errors into ours; log once when the store is lost, once when it is back."""
        try:
            yield
        except (RedisError, OSError) as exc:
            if not self._lost:
                self._lost = True
                log.warning("store.lost", extra={"why": repr(exc)})
            raise StoreUnavailable(str(exc)) from exc
        except ValueError as exc:
            raise StoreUnavailable(f"it holds a value that cannot be read: {exc}") from exc
        if self._lost:
            self._lost = False
            log.info("store.found")


def _ids(reply: Iterable[bytes]) -> frozenset[int]:
    return frozenset(map(int, reply))


def _lists(reply: Mapping[bytes, bytes]) -> RankedLists:
    return {int(start): decode(ids) for start, ids in reply.items()}
