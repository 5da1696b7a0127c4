"""What every user of a generation shares, read once per generation and kept in memory.

Nothing here is hot: it reads through redis-py, each generation once, however many wait for it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError

from api.contract.codec import decode
from api.contract.explore import Exploration, decode_weights, read_places
from api.contract.facets import Facets
from api.contract.ids import FEATURE, canonical
from api.contract.keys import Keys
from api.contract.manifest import EXPLORE, WINDOWS, Manifest, NeedsMore
from api.contract.pin import Pins, read_pins
from api.contract.window import Windows, decode_window
from api.found import Generation, Pointer, RankedLists
from api.store.errors import GenerationGone, GenerationTooNew, GenerationUnreadable, StoreUnavailable
from api.store.texts import MappedPosts, SharedTexts

# Current ones and those of the past; one weighs a megabyte, since its texts are mostly those of others.
GENERATIONS_HELD = 32
POSTS_A_READ = 500  # at 1-2 KB a post about 1 MB: what the event loop parses without keeping others waiting
IDS_A_READ = 2000  # likewise: up to 500 KB
WINDOWS_A_READ = 2000  # likewise: each takes 2 µs
SEGMENTS_A_READ = 4  # likewise: a thousand posts with weights each take 1 ms
FACETS_A_READ = 500  # likewise, where values have hundreds of posts each
AGAIN_S = 0.25  # what could not be loaded is not tried again sooner, however many ask

Shelf = dict[Pointer, Generation]  # generations in memory, the one loaded longest ago first


class GenerationCache:
    """Loads generations onto a shelf, each once. `shelf` may outlive it: it holds plain values only."""

    def __init__(self, client: Redis, keys: Keys, shelf: Shelf, texts: SharedTexts | None = None) -> None:
        """Load nothing yet; `texts` is where the processes of an address share posts."""
        self.shelf = shelf
        self._texts = texts
        self._client = client
        self._keys = keys
        self._loading: dict[Pointer, asyncio.Task[Generation]] = {}
        self._failed: dict[Pointer, tuple[float, Exception]] = {}

    async def load(self, pointer: Pointer) -> Generation:
        """Return what a pointer names, from memory, or load it once for all who wait.

        Raises:
            GenerationUnreadable: It lacks a part.
            StoreUnavailable: The store did not answer in time.
        """
        if pointer in self.shelf:
            return self.shelf[pointer]
        failed_at, failure = self._failed.get(pointer, (0.0, None))
        if failure is not None and time.monotonic() < failed_at + AGAIN_S:
            raise failure
        if pointer not in self._loading:
            task = asyncio.create_task(self._put(pointer))
            self._loading[pointer] = task
            task.add_done_callback(lambda _: self._loading.pop(pointer))
        # Shielded: one client that hangs up must not end the loading for all who wait.
        return await asyncio.shield(self._loading[pointer])

    def call_when_loaded(self, pointer: Pointer, call: Callable[[], None]) -> None:
        """Call once what a pointer names is no longer being loaded, for better or worse."""
        if pointer in self._loading:
            self._loading[pointer].add_done_callback(lambda _: call())
        else:
            call()

    async def load_pinned(self, number: int, created_at_s: int | None) -> tuple[Pointer, Generation]:
        """Return a generation by number and birth, which need not be current; None: of any birth.

        Raises:
            GenerationGone: There is none of that number, or it is another one.
            GenerationUnreadable, StoreUnavailable: As `load`.
        """
        wanted = (number, created_at_s)
        for pointer, held in self.shelf.items():
            if (pointer.generation, held.manifest.created_at_s) == wanted:
                return pointer, held
        with translate_errors():
            born_s = (await self._read_manifest(number, GenerationGone(number))).created_at_s
        if created_at_s is None:
            return await self.load_pinned(number, born_s)
        if born_s != created_at_s:
            raise GenerationGone(number)
        pointer = Pointer(number, created_at_s)
        return pointer, await self.load(pointer)

    async def aclose(self) -> None:
        """End what is still being loaded."""
        loading = list(self._loading.values())
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)

    async def _put(self, pointer: Pointer) -> Generation:
        try:
            with translate_errors():
                loaded = await self._read(pointer.generation)
        except (GenerationUnreadable, StoreUnavailable) as exc:
            self._failed = {pointer: (time.monotonic(), exc)}
            raise
        self.shelf[pointer] = loaded
        while len(self.shelf) > GENERATIONS_HELD:
            self.shelf.pop(next(iter(self.shelf)))
        return loaded

    async def _read(self, number: int) -> Generation:
        missing = GenerationUnreadable(number, "its manifest is missing")
        manifest = await self._read_manifest(number, missing)
        held = (shelved for shelved in self.shelf.values() if shelved.manifest == manifest)
        return next(held, None) or await self._read_shared(manifest)

    async def _read_manifest(self, number: int, missing: LookupError) -> Manifest:
        text = cast("bytes | None", await self._client.get(self._keys.manifest(number)))
        if text is None:
            raise missing
        try:
            return Manifest.from_json(text)
        except NeedsMore as exc:
            raise GenerationTooNew(number, str(exc)) from exc
        except ValueError as exc:
            raise GenerationUnreadable(number, str(exc)) from exc

    async def _read_shared(self, manifest: Manifest) -> Generation:
        number, keys = manifest.generation, self._keys
        pipe = self._client.pipeline(transaction=False)
        pipe.get(keys.catalogue(number))
        pipe.hgetall(keys.popular(number))
        for name in manifest.segments:
            pipe.hgetall(keys.segment(number, name))
        catalogue, popular, *segments = await pipe.execute()
        if catalogue is None:
            raise GenerationUnreadable(number, "its catalogue is missing")
        read = self._client.hscan_iter(keys.posts(number), count=POSTS_A_READ)
        posts: Mapping[int, bytes]
        if self._texts is None:
            posts = {int(post): text async for post, text in read}
        else:
            posts = await self._texts.load(manifest, read)
        numbers = await self._read_numbers(manifest, list(posts)) if FEATURE in manifest.needs else {}
        windows = await self._read_windows(number) if WINDOWS in manifest.needs else {}
        # Generations mostly have the same posts: a text that is alike is held once.
        newest = next(reversed(self.shelf.values()), None)
        if newest is not None:
            held = newest.posts
            if isinstance(posts, dict):
                posts = {i: held[i] if held.get(i) == text else text for i, text in posts.items()}
            numbers = newest.numbers if newest.numbers == numbers else numbers
            windows = newest.windows if newest.windows == windows else windows
        ranked = decode(catalogue)
        loaded = Generation(
            manifest=manifest,
            posts=posts,
            catalogue=ranked,
            popular=_lists(popular),
            segments=dict(zip(manifest.segments, map(_lists, segments), strict=True)),
            numbers=numbers,
            facets=await self._read_facets(manifest, ranked),
            windows=windows,
            exploration=await self._read_exploration(manifest) if EXPLORE in manifest.needs else None,
        )
        n_missing = len(set(loaded.catalogue) - loaded.posts.keys())
        if n_missing:
            raise GenerationUnreadable(
                number, f"{n_missing} of its {len(loaded.catalogue)} posts are missing"
            )
        return loaded

    async def _read_facets(self, manifest: Manifest, catalogue: Sequence[int]) -> Facets:
        """Return which posts have which value of the columns to filter by."""
        if not manifest.filter_by:
            return Facets({}, catalogue)
        held = {post: post for post in catalogue}  # one object a number, not two
        read = self._client.hscan_iter(self._keys.facets(manifest.generation), count=FACETS_A_READ)
        lists = {
            facet.decode(): [held.get(post, post) for post in decode(text)] async for facet, text in read
        }
        return Facets(lists, catalogue)

    async def _read_windows(self, number: int) -> Windows:
        """Return when posts may be answered.

        Raises:
            GenerationUnreadable: There are none, so that posts would be answered for any time.
        """
        read = self._client.hscan_iter(self._keys.windows(number), count=WINDOWS_A_READ)
        windows = {int(post): decode_window(text) async for post, text in read}
        if not windows:
            raise GenerationUnreadable(number, "the windows of its posts are missing")
        return windows

    async def _read_exploration(self, manifest: Manifest) -> Exploration:
        """Return what exploration places draw from: a field a segment, some thousand posts each.

        Raises:
            GenerationUnreadable: There is nothing.
        """
        number = manifest.generation
        read = self._client.hscan_iter(self._keys.explore(number), count=SEGMENTS_A_READ)
        weights = {name.decode(): decode_weights(text) async for name, text in read}
        if not weights:
            raise GenerationUnreadable(number, "the weights of its new posts are missing")
        return Exploration(read_places(manifest.explore), weights)

    async def _read_numbers(self, manifest: Manifest, posts: Sequence[int]) -> Mapping[str, int]:
        """Return which id each number stands for, the other way round; one without an entry is the id."""
        numbers: dict[str, int] = {}
        for first in range(0, len(posts), IDS_A_READ):
            part = posts[first : first + IDS_A_READ]
            found = await self._client.hmget(self._keys.ids(), list(map(str, part)))
            for number, spelled in zip(part, cast("list[bytes | None]", found), strict=True):
                post_id = str(number) if spelled is None else spelled.decode()
                numbers[canonical(post_id, manifest.post_ids)] = number
        return numbers


def drop_posts(generation: Generation, taken_down: Iterable[str]) -> Generation:
    """Return a generation that no longer knows the posts taken down, given by ids; it shares all else."""
    gone = generation.posts.keys() & generation.numbers_of(taken_down)
    if not gone:
        return generation
    if isinstance(generation.posts, MappedPosts):
        return replace(generation, posts=generation.posts.without(gone))
    posts = {post: text for post, text in generation.posts.items() if post not in gone}
    return replace(generation, posts=posts)


def read_members(reply: Iterable[bytes]) -> frozenset[str]:
    """Return the ids of a set that anyone may have written to."""
    return frozenset(member.decode(errors="replace") for member in reply)


def read_hash_of_pins(reply: Mapping[bytes, bytes] | Sequence[bytes]) -> Pins:
    """Return the pins of a hash that anyone may have written to; RESP2 has its names and values in turns."""
    return read_pins(
        reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
    )


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as exc:
        raise StoreUnavailable(str(exc)) from exc
    except ValueError as exc:
        raise StoreUnavailable(f"it holds a value that cannot be read: {exc}") from exc


def _lists(reply: Mapping[bytes, bytes]) -> RankedLists:
    return {int(start): decode(ids) for start, ids in reply.items()}
