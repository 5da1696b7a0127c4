"""What the API writes: live events, and which posts are taken down. What it acknowledges is safe.

Safe means: in the store's log, as the kernel has it, so that killing the store loses nothing. A server that
syncs its log every second writes to it before it answers, except while a sync is under way: then it answers
first and writes later (`flushAppendOnlyFile` in aof.c). So each write asks in its round trip whether one is.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError, RedisError, ResponseError

from api.contract.buckets import DAY_S
from api.contract.event import Event
from api.contract.forgotten import tombstone
from api.contract.ids import canonical, own_number, quote
from api.contract.keys import Keys
from api.found import Generation
from api.session import HALF_LIFE_S, KEPT_S
from api.store.cache import translate_errors
from api.store.connection import Command
from api.store.errors import StoreUnavailable
from api.topics import read_topic

log = logging.getLogger(__name__)

REMEMBERED_S = DAY_S  # an event sent again within this is a `duplicate`; later, only the drain notices
# An event stays in a user's live set until every list that was made without knowing it has ended: lists live
# for ALMANAC_LIST_TTL_S, 14 days, and a run reads the events before it makes them.
LIVE_S = 30 * DAY_S
PAUSE_S = 0.002  # a sync takes milliseconds
TRIES = 3  # a server may have lost the script, and then have another key of tombstones
FORGOTTEN, OTHER_KEY = -1, -2  # replies of the script
UNSAFE_S = 2.5  # a server that is told to write writes after two seconds, whatever the sync does


class Write(NamedTuple):
    """An event as `accept.lua` is told of it: keys that all share, the user's, facts, the stream's entry."""

    shared: tuple[str, ...]
    own: tuple[str, ...]
    gone: str
    about: tuple[str | bytes | int, ...]
    entry: tuple[str | int, ...]


class Journal:
    """Writes for one event loop."""

    def __init__(
        self,
        client: Redis,
        keys: Keys,
        *,
        counts_sessions: bool = False,
        n_copies: int = 0,
        wait_s: float = 1.0,
    ) -> None:
        """Open nothing. `client` waits only so long for anything; the overlay wants sessions counted.

        What is acknowledged `n_copies` replicas have, too: if not within half of `wait_s`, it is not.
        """
        self._client = client
        self._n_copies, self._wait_ms = n_copies, int(wait_s * 500)
        self._keys = keys
        self._counts_sessions = counts_sessions
        self._script = (files("api") / "accept.lua").read_text("utf-8")
        self._sha = ""
        self._key = b""  # of the tombstones of forgotten users, as last read; empty: nobody is
        self._is_warned = False  # that the store does not let us ask about its log

    async def aclose(self) -> None:
        """End what is open of our own: nothing, the client is another's."""

    async def accept(self, events: Sequence[Event], served: Generation | None = None) -> list[bool | None]:
        """Record events, each once and whole; return whether each is new; None: its user is forgotten.

        What is served says which users and posts they are of.

        Raises:
            StoreUnavailable: The store did not answer in time, or refused; some may be recorded. To send
                all of them again, with their ids, is safe.
        """
        attempt = secrets.token_hex(8)
        for _ in range(TRIES):
            replies = await self._record(attempt, events, served)
            if any(isinstance(reply, NoScriptError) for reply in replies):  # a server that has just started
                self._sha = ""
            elif OTHER_KEY in replies:  # somebody was forgotten for the first time
                with translate_errors():
                    key = await self._client.get(self._keys.forgotten_key())
                self._key = cast("bytes | None", key) or b""
            else:
                break
        for reply in replies:
            if isinstance(reply, Exception):
                raise StoreUnavailable(reply)
            if reply == OTHER_KEY:
                raise StoreUnavailable("the key of its tombstones changes again and again")
        return [None if reply == FORGOTTEN else bool(reply) for reply in replies]

    async def take_down(self, post_id: str, now_s: float, who: str = "") -> bool:
        """Keep a post from every answer from now on, by its canonical id; return whether that is new.

        `who` does it, for the note; empty: unknown.

        Raises:
            StoreUnavailable: The store did not answer in time, or refused.
        """
        return await self._change("SADD", post_id, "down", now_s, who)

    async def put_back(self, post_id: str, now_s: float, who: str = "") -> bool:
        """Let a post be answered again; return whether it was taken down.

        Raises:
            StoreUnavailable: The store did not answer in time, or refused.
        """
        return await self._change("SREM", post_id, "up", now_s, who)

    async def _change(self, command: str, post_id: str, note: str, now_s: float, who: str) -> bool:
        """Change the takedowns, with a note of it for replays; return whether that was a change."""
        member = f"{round(now_s * 1000)} {quote(post_id)} {note} {quote(who)}".rstrip()
        change = (command, self._keys.takedowns(), post_id)
        log_it = ("ZADD", self._keys.takedown_log(), int(now_s), member)
        with translate_errors():
            changed, _ = await self._write(change, log_it)
            return bool(_check_reply(changed))

    async def _write(self, *commands: Command) -> list[Any]:
        """Carry out commands of keys that all share; return their replies once all are safe."""
        async with self._client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return await self._execute_safely(pipe)

    async def _record(self, attempt: str, events: Sequence[Event], served: Generation | None) -> list[Any]:
        with translate_errors():
            if not self._sha:
                self._sha = await self._client.script_load(self._script)
            async with self._client.pipeline(transaction=False) as pipe:
                for place, event in enumerate(events):
                    write = self._describe(f"{attempt}-{place}", event, served)
                    keys = (*write.shared, *write.own)
                    pipe.evalsha(self._sha, len(keys), *keys, *write.about, "all", *write.entry)
                return await self._execute_safely(pipe)

    def _describe(self, attempt: str, event: Event, served: Generation | None) -> "Write":
        """Return what `accept.lua` is told of an event."""
        user_id, number, post_id = _identify(event, served)
        topic, keys = self._find_topic(number, served), self._keys
        own = (keys.seen(user_id), keys.seen_live(user_id), keys.likes(user_id), keys.likes_live(user_id))
        mark = (self._key, tombstone(self._key, user_id) if self._key else "")
        fact = (event.action, number, post_id, event.occurred_at_s)
        return Write(
            shared=(keys.event(event.event_id), keys.events(), keys.forgotten(), keys.forgotten_key()),
            own=(*own, *((keys.session(user_id),) if topic else ())),
            gone=keys.gone(user_id),
            about=(attempt, REMEMBERED_S, LIVE_S, *fact, *mark, topic, HALF_LIFE_S, KEPT_S),
            entry=tuple(part for field in event.to_fields().items() for part in field),
        )

    async def _execute_safely(self, pipe: Pipeline) -> list[Any]:
        """Carry out the writes of a pipeline; return their replies once all are in the store's log."""
        if self._n_copies:
            pipe.execute_command("WAIT", self._n_copies, self._wait_ms)
        pipe.info("persistence")
        *replies, said = await pipe.execute(raise_on_error=False)
        if self._n_copies:
            self._check_copies(_check_reply(replies.pop()))
        await self._await_log(said, self._ask_log)
        return replies

    async def _ask_log(self) -> Any:
        return await self._client.info("persistence")

    def _check_copies(self, n: int) -> None:
        """Return if enough replicas have all that was written.

        Raises:
            StoreUnavailable: Too few said so in time.
        """
        if n < self._n_copies:
            raise StoreUnavailable(f"{n} replicas have what was written, of {self._n_copies} that must")

    async def _await_log(self, said: Any, ask: Callable[[], Awaitable[Any]]) -> None:
        """Return once what a server says of its log says that all is in it."""
        give_up = asyncio.get_running_loop().time() + UNSAFE_S
        while not self._is_logged(said):
            if asyncio.get_running_loop().time() > give_up:
                raise StoreUnavailable("its log cannot be written")
            await asyncio.sleep(PAUSE_S)
            said = await ask()

    def _is_logged(self, said: Any) -> bool:
        """Say whether all that was written before is in the log; where we may not ask, yes."""
        if isinstance(said, ResponseError):
            if not self._is_warned:
                self._is_warned = True
                unseen = ["whether what it accepts is in its log: its host's promise counts"]
                log.warning("store.unseen", extra={"unseen": unseen, "why": {"INFO": str(said)}})
            return True
        return _is_logged(_check_reply(said))

    def _find_topic(self, number: str, served: Generation | None) -> str:
        """Return the topic of a post whose events are counted in sessions; empty: they are not."""
        if not self._counts_sessions or served is None or not number or int(number) not in served.posts:
            return ""
        return read_topic(served.posts[int(number)])


def _identify(event: Event, served: Generation | None) -> tuple[str, str, str]:
    """Return the user's and the post's canonical ids, and between them the post's number; empty if none.

    A post that the dictionary does not have stands in the live sets alone until it does: by its id.
    """
    if served is None:
        user_id, post_id = canonical(event.user_id), canonical(event.post_id)
        number = own_number(post_id)
    else:
        user_id = canonical(event.user_id, served.manifest.user_ids)
        post_id = canonical(event.post_id, served.manifest.post_ids)
        number = served.number_of(post_id)
    return user_id, "" if number is None else str(number), post_id


def _is_logged(log: Mapping[str, Any]) -> bool:
    """Say whether all that was written before is in the log, from the server's INFO.

    With no sync under way when INFO ran, the server writes its log before it sends INFO's reply.
    """
    if not log.get("aof_enabled"):
        return True  # a server without a log promises nothing
    return not log.get("aof_pending_bio_fsync") and log.get("aof_last_write_status") == "ok"


def _check_reply(reply: Any) -> Any:
    if isinstance(reply, RedisError):
        raise reply
    return reply
