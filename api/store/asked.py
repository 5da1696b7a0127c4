"""Runs over HTTP as the API sees them: it asks by entries of a queue, the batch's scheduler tells."""

from importlib.resources import files
from typing import cast

from redis.asyncio import Redis

from api.contract.asked import ENDED, MOST_WAITING, WAITS_S, Ask, Entry, Going, Pipeline, Told
from api.contract.buckets import moment
from api.contract.keys import Keys
from api.store.cache import translate_errors
from api.store.errors import RunRefused, RunUnknown

MOST_ENTRIES = 2 * MOST_WAITING  # with those that end runs


class Desk:
    """Asks for runs, and looks at them; for one event loop."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        """Open nothing. `client` waits only so long for anything."""
        self._client, self._keys = client, keys
        self._script = client.register_script((files("api") / "ask.lua").read_text("utf-8"))

    async def ask(self, pipeline: Pipeline, now_s: float) -> Told:
        """Ask for a pipeline's run.

        Raises:
            RunRefused: A run goes on, or too many wait.
            StoreUnavailable: The store did not answer in time.
        """
        going = await self._read_going()
        if going is not None:
            begun = f"{moment(going.since_s):%Y-%m-%d %H:%M:%S} UTC"
            told = "" if going.run is None else f" {going.run}"
            raise RunRefused(
                f"run{told} ({going.kind}) goes on since {begun} on {going.host}: ask again when it has ended"
            )
        entry = await self._send(Ask(pipeline=pipeline), MOST_WAITING)
        return Told(entry, pipeline, "waiting", now_s)

    async def look(self, run_id: str, now_s: float) -> Told:
        """Return what is known of a run.

        Raises:
            RunUnknown: Nothing is, or no longer.
            StoreUnavailable: The store did not answer in time.
        """
        with translate_errors():
            # The queue first: an entry leaves it in the step in which its run is told of.
            found: list[tuple[bytes, Entry]] = []
            if "-" in run_id:
                reply = await self._client.xrange(self._keys.runs_asked(), run_id, run_id)
                found = cast("list[tuple[bytes, Entry]]", reply)
            told = await self._client.get(self._keys.runs_status(run_id))
            if told is not None:
                going = await self._read_going()
                return Told.from_json(cast("bytes", told)).judged(now_s, going.run if going else None)
            for _, fields in found:
                return Told(run_id, Ask.from_fields(fields).pipeline or "cancel", "waiting", now_s)
        raise RunUnknown(run_id)

    async def cancel(self, run_id: str, now_s: float) -> Told:
        """Ask for a run's end, or that it does not begin; return it as it is until then.

        Raises:
            RunUnknown: Nothing is known of it; RunRefused: it has ended, or too much is asked for already.
            StoreUnavailable: The store did not answer in time.
        """
        told = await self.look(run_id, now_s)
        if told.state in ENDED:
            raise RunRefused(f"run {run_id} has ended already ({told.state}): nothing is left to cancel")
        await self._send(Ask(cancel=run_id), MOST_ENTRIES)
        return told

    async def _read_going(self) -> Going | None:
        with translate_errors():
            going = await self._client.get(self._keys.runs_now())
            return None if going is None else Going.from_json(cast("bytes", going))

    async def _send(self, ask: Ask, most: int) -> str:
        fields = [part for field in ask.to_fields().items() for part in field]
        with translate_errors():
            entry = await self._script(keys=[self._keys.runs_asked()], args=[most, WAITS_S, *fields])
        if entry is None:
            raise RunRefused(
                f"{most} wait already: is `almanac schedule` up? ask again when some of them have begun"
            )
        return cast("bytes", entry).decode()
