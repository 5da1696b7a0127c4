"""An experiment: which variant answers which users on which routes, for some time.

What may live here: how an experiment is written and read, whose arm a user is in, and which one holds. No
I/O, no clock.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, get_args

import orjson

from api.contract.ids import canonical

State = Literal["draft", "running", "stopped", "archived"]
Response = Literal["plain", "ab"]
Route = Literal["checker", "feed"]  # GET /post/recommendations/ and GET /users/{id}/feed

STATES: tuple[State, ...] = get_args(State)
RESPONSES: tuple[Response, ...] = get_args(Response)
ROUTES: tuple[Route, ...] = get_args(Route)
GROUPS = ("control", "test")  # what two arms are called in an answer of the form "ab"
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")  # of experiments, arms and variants: it stands in headers
PERCENT = range(1, 101)


@dataclass(frozen=True, slots=True)
class Arm:
    """A share of the users, whole percents, and the variant that answers them."""

    name: str
    variant: str
    share: int


@dataclass(frozen=True, slots=True)
class Experiment:
    """Who gets which variant, where and when. Times are epoch seconds.

    Attributes:
        name: What people and headers call it.
        salt: Goes into the hash, so that two experiments split the users differently.
        arms: In order; the first one has the users of the lowest hashes.
        start_s: From when on it may run.
        end_s: From when on it no longer does; None: until it is stopped.
        forced: Users, by their canonical ids, who are in an arm whatever their hash is; to its name.
        response: "ab" answers the checker's route with the user's group beside the posts.
        routes: Where it holds.
        sample_percent: Of how many users in a hundred the answers are recorded: of a user all or none.
        state: Only a running one decides anything.
    """

    name: str
    salt: str
    arms: tuple[Arm, ...]
    start_s: int = 0
    end_s: int | None = None
    forced: Mapping[str, str] = field(default_factory=dict)
    response: Response = "plain"
    routes: tuple[Route, ...] = ROUTES
    sample_percent: int = 100
    state: State = "draft"

    def __post_init__(self) -> None:
        """Check what is told.

        Raises:
            ValueError: Something is no name, number or choice, shares do not sum to 100, or times are empty.
        """
        _check_name("experiment", self.name)
        if not isinstance(self.salt, str) or not self.salt:
            raise ValueError(f"salt={self.salt!r} is none: give a text, or leave it out for the name")
        _check_arms(self.arms)
        _check_times(self.start_s, self.end_s)
        _check_forced(self.forced, {arm.name for arm in self.arms})
        _check_choice("response", self.response, RESPONSES)
        _check_choice("state", self.state, STATES)
        for route in self.routes:
            _check_choice("routes", route, ROUTES)
        if not self.routes or len({*self.routes}) < len(self.routes):
            raise ValueError(f"routes={list(self.routes)} must name each route once: {', '.join(ROUTES)}")
        if type(self.sample_percent) is not int or self.sample_percent not in PERCENT:
            raise ValueError(f"sample_percent={self.sample_percent!r} is no whole number from 1 to 100")

    def assign(self, user_id: int | str) -> Arm:
        """Return a user's arm: always the same one, however often and wherever it is asked.

        >>> ab = Experiment("ab", "my_salt", (Arm("a", "default", 50), Arm("b", "text", 50)))
        >>> [ab.assign(user).name for user in (200, "200", "0200", 201, 202)]
        ['a', 'a', 'a', 'b', 'a']
        """
        return self.place(user_id).arm

    def place(self, user_id: int | str) -> "Placement":
        """Return a user's arm, and whether their answers are recorded; both from one hash."""
        text = str(user_id)
        if not (text.isdigit() and text.isascii() and text[0] != "0"):  # most are as ids are compared
            text = canonical(text, "numbers")
        salted = (text + self.salt).encode(errors="surrogatepass")
        digest = hashlib.md5(salted, usedforsecurity=False).digest()
        rest, place = divmod(int.from_bytes(digest, "big"), 100)
        is_recorded = rest % 100 < self.sample_percent
        if self.forced and text in self.forced:
            forced = next(arm for arm in self.arms if arm.name == self.forced[text])
            return Placement(self, forced, is_recorded)
        for arm in self.arms:
            place -= arm.share
            if place < 0:
                return Placement(self, arm, is_recorded)
        raise AssertionError("shares sum to 100")

    def group_of(self, arm: Arm) -> str:
        """Return what an answer of the form "ab" calls an arm: control or test of two, else its name."""
        return GROUPS[self.arms.index(arm)] if len(self.arms) == len(GROUPS) else arm.name

    def holds_at(self, now_s: int) -> bool:
        """Say whether it decides anything now: it runs, from its start on and before its end."""
        return (
            self.state == "running" and self.start_s <= now_s and (self.end_s is None or now_s < self.end_s)
        )

    def overlaps(self, other: "Experiment") -> bool:
        """Say whether some route would have both at some time; what state they are in does not count."""
        is_apart = any(
            first.end_s is not None and first.end_s <= second.start_s
            for first, second in ((self, other), (other, self))
        )
        return not is_apart and not {*self.routes}.isdisjoint(other.routes)

    def to_json(self) -> bytes:
        """Write as JSON."""
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, text: bytes) -> "Experiment":
        """Read what `to_json` wrote; fields of a later version are passed over.

        Raises:
            ValueError: The text is no experiment.
        """
        try:
            raw = orjson.loads(text)
            told: dict[str, Any] = {one.name: raw[one.name] for one in fields(cls) if one.name in raw}
            arms = tuple(Arm(*(arm[one.name] for one in fields(Arm))) for arm in told["arms"])
            return cls(**{**told, "arms": arms, "routes": tuple(told.get("routes", ROUTES))})
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise ValueError(f"{text[:80]!r} is no experiment: {exc}") from exc


class Placement(NamedTuple):
    """Where a user is in an experiment.

    Attributes:
        experiment: Which one.
        arm: Whose arm the user is in.
        is_recorded: Whether what they are answered is recorded.
        by_arm: Whether the arm's variant answered; else the API's own had to.
    """

    experiment: Experiment
    arm: Arm
    is_recorded: bool
    by_arm: bool = True


def find_holding(experiments: Iterable[Experiment], route: Route, now_s: int) -> Experiment | None:
    """Return the experiment that holds on a route now, if one does.

    A start refuses what would overlap; should there be two all the same, the first one given holds.
    """
    for one in experiments:
        if route in one.routes and one.holds_at(now_s):
            return one
    return None


def read_experiments(stored: Iterable[tuple[bytes, bytes]]) -> tuple[Experiment, ...]:
    """Read the fields of a hash that anyone may have written to, by name; what is none is left out."""
    found: dict[str, Experiment] = {}
    for name, text in stored:
        try:
            one = Experiment.from_json(text)
        except ValueError:
            continue
        if one.name.encode() == name:
            found[one.name] = one
    return tuple(found[name] for name in sorted(found))


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"{name!r} names no {what}: 1 to 64 letters, digits, `_`, `-` or `.`")


def _check_arms(arms: tuple[Arm, ...]) -> None:
    if len(arms) < 2:
        raise ValueError(f"an experiment has two arms or more, and this one has {len(arms)}")
    names = [arm.name for arm in arms]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two arms are called {twice!r}: give each its own name")
    for arm in arms:
        _check_name("arm", arm.name)
        _check_name("variant", arm.variant)
        if type(arm.share) is not int or arm.share not in PERCENT:
            raise ValueError(f"share={arm.share!r} of arm {arm.name!r} is no whole percent from 1 to 100")
    total = sum(arm.share for arm in arms)
    if total != 100:
        raise ValueError(f"the shares of the arms sum to {total}: they must sum to 100")


def _check_times(start_s: object, end_s: object) -> None:
    if type(start_s) is not int or type(end_s) not in (int, type(None)):
        raise ValueError(f"start_s={start_s!r} and end_s={end_s!r} must be whole epoch seconds")
    if isinstance(end_s, int) and end_s <= start_s:
        raise ValueError("an experiment must end after it starts: give a later end, or none")


def _check_forced(forced: Mapping[str, str], names: set[str]) -> None:
    for user, name in forced.items():
        if canonical(user, "numbers") != user:
            raise ValueError(
                f"forced user {user!r} is compared as {canonical(user, 'numbers')!r}: write that"
            )
        if name not in names:
            raise ValueError(
                f"forced user {user!r} is in {name!r}, which is no arm: {', '.join(sorted(names))}"
            )


def _check_choice(what: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{what}={value!r} is none of {', '.join(choices)}")
