"""The ledger of a store: states and manifests of its generations, what is served, what was when."""

from dataclasses import dataclass
from typing import Literal, cast

import redis
from redis.client import Pipeline

from api.contract.ids import unquote
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.store import read
from batch.store.transaction import Write, transact

Why = Literal["promoted", "forced", "rolled-back"]


@dataclass(frozen=True, slots=True)
class Promotion:
    """From when to when a generation was served; epoch seconds, `until_s` None while it still is.

    `who` did it; empty where that was not noted.
    """

    number: int
    generation: int
    why: Why
    from_s: int
    until_s: int | None
    who: str = ""


class NothingServed(LookupError):
    """No generation is current under a variant, or its manifest is missing."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads the ledger through a client whose replies are bytes."""

    client: redis.Redis
    keys: Keys

    def states(self) -> dict[int, str]:
        """Return the state of every generation that was ever numbered: building, sealed, …; ascending."""
        found = read.fields(self.client, self.keys.states())
        return {int(number): state.decode() for number, state in sorted(found.items(), key=_number)}

    def state(self, generation: int) -> str:
        """Return a generation's state; empty for one that was never numbered."""
        state = self.client.hget(self.keys.states(), str(generation))
        return "" if state is None else read.narrow(state).decode()

    def manifest(self, generation: int) -> Manifest | None:
        """Return a generation's manifest; None where it is gone."""
        text = read.value(self.client, self.keys.manifest(generation))
        return None if text is None else Manifest.from_json(text)

    def need_manifest(self, generation: int) -> Manifest:
        """Return a generation's manifest.

        Raises:
            LookupError: It is gone.
        """
        manifest = self.manifest(generation)
        if manifest is None:
            raise LookupError(
                f"generation {generation} is not in the store: `almanac generations list` shows what is"
            )
        return manifest

    def read_sealed(self) -> dict[int, Manifest]:
        """Return the manifest of each sealed generation, of all variants, ascending."""
        numbers = [number for number, state in self.states().items() if state == "sealed"]
        found = {number: self.manifest(number) for number in numbers}
        return {number: manifest for number, manifest in found.items() if manifest is not None}

    def newest_of_facts(self) -> Manifest | None:
        """Return the manifest of the newest sealed generation made of facts, of any variant; None: none is.

        It vouches for the seen sets; somebody else's lists, which come without, do not.
        """
        made = (manifest for manifest in reversed(self.read_sealed().values()) if not manifest.holds_seen)
        return next(made, None)

    def read_served(self, variant: str) -> tuple[int | None, int | None]:
        """Return the current and the previous generation of a variant; None where there is none."""
        return read_pointer(self.client, self.keys, variant)

    def current(self, variant: str) -> Manifest:
        """Return the manifest of what is served under a variant.

        Raises:
            NothingServed: Nothing is.
        """
        number, _ = self.read_served(variant)
        manifest = None if number is None else self.manifest(number)
        if manifest is None:
            raise NothingServed(
                f"nothing is served under variant {variant!r} yet: run `almanac run --variant {variant}`"
            )
        return manifest

    def promotions(self, variant: str) -> list[Promotion]:
        """Return what was served when under a variant, oldest first."""
        raw = self.client.zrange(self.keys.promotions(variant), 0, -1, withscores=True)
        pairs = [(name.decode().split(" "), int(at)) for name, at in cast("list[tuple[bytes, float]]", raw)]
        until = [*(at for _, at in pairs[1:]), None][: len(pairs)]
        return [
            Promotion(int(number), int(generation), cast(Why, why), at, end, unquote("".join(who)))
            for ((number, generation, why, *who), at), end in zip(pairs, until, strict=True)
        ]

    def quarantines(self) -> list[tuple[int, int, str]]:
        """Return which generations were barred, oldest first: epoch seconds, number, who; empty: unknown."""
        noted = cast("list[bytes]", self.client.zrange(self.keys.state_log(), 0, -1))
        return [
            (int(at_s), int(generation), unquote("".join(who)))
            for at_s, generation, _, *who in (member.decode().split(" ") for member in noted)
        ]

    def read_backfilled(self, variant: str) -> dict[int, int]:
        """Return the generations that were made for past times: number to the first second it answers."""
        found = self.client.zrange(self.keys.past(variant), 0, -1, withscores=True)
        return {int(number): int(at) for number, at in cast("list[tuple[bytes, float]]", found)}

    def announce_backfilled(self, variant: str) -> None:
        """Tell the API from which second on a backfilled generation may answer; an empty text: none does."""
        key = self.keys.past(variant)

        def decide(pipe: Pipeline) -> Write:
            oldest = cast("list[tuple[bytes, float]]", pipe.zrange(key, 0, 0, withscores=True))
            first_s = str(int(oldest[0][1])) if oldest else ""
            return lambda queue: queue.hset(self.keys.current(variant), "past", first_s)

        transact(self.client, [key], decide)


def read_pointer(client: redis.Redis, keys: Keys, variant: str) -> tuple[int | None, int | None]:
    """Return the current and the previous generation of a variant, also within a transaction."""
    now, before = client.hmget(keys.current(variant), "generation", "previous")
    return (int(now) if now else None), (int(before) if before else None)


def _number(pair: tuple[bytes, bytes]) -> int:
    return int(pair[0])
