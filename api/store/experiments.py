"""The experiments that run, as they were last read; who is in which arm is a pure function of them."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from api.contract.experiment import Experiment, Placement, Route, find_holding, read_experiments
from api.contract.facets import NotFiltered
from api.contract.ids import LONGEST
from api.contract.profile import BadProfile
from api.feed import Answer
from api.store.connection import Refusal
from api.store.errors import DEGRADABLE_ERRORS

Place = Callable[[str], Placement]
Ask = Callable[[str | None], Awaitable[Answer]]

USERS_HELD = 65_536  # whose places are in memory: a hash takes 1 µs

log = logging.getLogger(__name__)


class Experiments:
    """What runs, of one event loop.

    Attributes:
        running: By name; those too whose time has not come or is over. Empty for most APIs.
        unanswered: (experiment, variant) to answers that the API's own variant gave in the place of an arm's.
    """

    def __init__(self, *, is_on: bool = True) -> None:
        """Know of none; where they are not on, for ever."""
        self.running: tuple[Experiment, ...] = ()
        self.unanswered: Counter[tuple[str, str]] = Counter()
        self._is_on = is_on
        self._places: dict[str, Place] = {}  # by experiments' names

    def take(self, reply: Any) -> None:
        """Take what the store has in their hash; what cannot be read is as none: no feed waits for it."""
        if not self._is_on or isinstance(reply, Refusal):
            self.running = ()
            return
        # RESP2 has names and values in turns.
        fields = reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
        running = tuple(one for one in read_experiments(fields) if one.state == "running")
        if running != self.running:
            self.running = running
            self._places = {one.name: _Places(one).__getitem__ for one in running}

    def place(self, route: Route | None, user_id: str, now_s: int) -> Placement | None:
        """Return where a user is in the experiment that holds on a route now; None where none does."""
        place = self.find_place(route, now_s)
        return None if place is None else place(user_id)

    def find_place(self, route: Route | None, now_s: int) -> Place | None:
        """Return what says where a user is in the experiment that holds on a route now."""
        holding = None if route is None else find_holding(self.running, route, now_s)
        return None if holding is None else self._places[holding.name]

    async def answer(
        self, route: Route, user_id: str, now_s: int, variant: str | None, ask: Ask, tries: int = 5
    ) -> Answer:
        """Answer from the variant that is asked for; where none is, from that of the user's arm, if any.

        Where an arm's variant cannot answer, the API's own does: no feed fails by an experiment. A page of an
        older generation keeps that one, and has an arm only if that is of the arm's variant.

        Args:
            route: What is asked.
            user_id: Whose feed.
            now_s: When it is asked, epoch seconds: not the time that is asked for.
            variant: The one that is asked for.
            ask: Answers from a variant, from the API's own if None.
            tries: How often at most, should what runs change or be read for the first time meanwhile.

        Raises:
            Exception: As `ask`, of the API's own variant or of the one that is asked for.
        """
        if variant is not None:
            return await ask(variant)
        placed = self.place(route, user_id, now_s)
        given = await (ask(None) if placed is None else self._answer_placed(placed, ask))
        if tries > 1 and self.place(route, user_id, now_s) != placed:
            return await self.answer(route, user_id, now_s, None, ask, tries - 1)
        return given

    async def _answer_placed(self, placed: Placement, ask: Ask) -> Answer:
        try:
            given = await ask(placed.arm.variant)
            why = "nothing current can be read" if given.found.degraded == "generation" else ""
        except (*DEGRADABLE_ERRORS, BadProfile, NotFiltered) as exc:
            why = str(exc)
        if why:
            given = await ask(None)
            self._note_unanswered(placed, why)
            placed = placed._replace(by_arm=False)
        if not placed.by_arm or given.found.generation.manifest.variant == placed.arm.variant:
            given.placed = placed
        return given

    def _note_unanswered(self, placed: Placement, why: str) -> None:
        """Count that an arm's variant could not answer; say so once."""
        named = (placed.experiment.name, placed.arm.variant)
        if not self.unanswered[named]:
            told = {"experiment": named[0], "variant": named[1], "why": why}
            log.warning("experiment.unanswered", extra=told)
        self.unanswered[named] += 1


class _Places(dict[str, Placement]):
    """Users' places in an experiment: a look-up takes a tenth of the hash's time."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        self._experiment = experiment
        self._made: dict[tuple[str, bool], Placement] = {}  # one for all users who have the same

    def __missing__(self, user_id: str) -> Placement:
        if len(self) >= USERS_HELD:
            self.clear()
        made = self._experiment.place(user_id)
        placed = self._made.setdefault((made.arm.name, made.is_recorded), made)
        if len(user_id) <= LONGEST:  # anybody may ask for any text
            self[user_id] = placed
        return placed
