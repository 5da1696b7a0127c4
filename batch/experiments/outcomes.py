"""One row a user: their arm, how often they did what in the experiment, and what they did before it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch.arrays import Bools, Floats, Ints

USER, PRE, ANSWERS = "user_id", "pre_", "answers"
# On the way from seeing to buying: a kind is counted over the nearest of those that come before it.
BEFORE = {"view": (), "like": ("view",), "cart": ("view",), "purchase": ("cart", "view")}
_HITS = re.compile(r"hits_(\d+)(?:_(\w+))?")


@dataclass(frozen=True, slots=True)
class Rate:
    """A ratio of two columns: all that happened over all chances, not a mean over users."""

    name: str
    over: str
    under: str


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What the users of an experiment did.

    Attributes:
        arms: The arms' names; all others are compared with the first.
        arm: int64 (users,). Each user's place in `arms`.
        values: float64 (users,) by the column's name; no value is missing.
        kinds: Columns with how often a kind of event happened, in the order from seeing to buying.
        rates: Ratios of columns that can be made.
        left_out: What cannot be told, a sentence each.
    """

    arms: tuple[str, ...]
    arm: Ints
    values: Mapping[str, Floats]
    kinds: tuple[str, ...]
    rates: tuple[Rate, ...]
    left_out: tuple[str, ...]

    def of(self, arm: int) -> dict[str, Floats]:
        """Return the columns of one arm's users."""
        of_arm = self.arm == arm
        return {name: column[of_arm] for name, column in self.values.items()}

    def counts(self) -> dict[str, int]:
        """Return how many users each arm has."""
        return dict(zip(self.arms, np.bincount(self.arm, minlength=len(self.arms)).tolist(), strict=True))


def make_outcomes(
    table: pa.Table,
    *,
    arm: str | None = "arm",
    arms: Sequence[str] = (),
    control: str = "",
    kinds: Sequence[str] = (),
) -> Outcomes:
    """Check a table with one row a user, and find out what it can tell.

    Args:
        table: Columns `arm`, counts of kinds of events, and if there are any: `user_id`, counts of the time
            before as `pre_<kind>`, `answers`, and `hits_5` or `hits_5_<kind>`: how many
            of these had a hit among the first five.
        arm: The column that names the arm; None: all users are in one.
        arms: The planned arms, the first one compared with; empty: those that are there, in order.
        control: The arm to compare with; empty: the first.
        kinds: Columns to count, in the order from seeing to buying; empty: those whose names are known.

    Raises:
        ValueError: A column is missing, a value is no number, a user has two rows, or there are no two arms.
    """
    if arm is not None and arm not in table.column_names:
        raise ValueError(f"there is no column {arm!r} (there are {', '.join(table.column_names)}): name it")
    _require_one_row_a_user(table)
    names, of_user = (
        (("all",), np.zeros(len(table), np.int64)) if arm is None else _read_arms(table[arm], arms, control)
    )
    chosen, (kinds, left_out) = bool(kinds), _find_kinds(table, kinds, ignored={arm or "", USER})
    values = {kind: read_numbers(table, kind) for kind in kinds}
    for kind in kinds:
        if PRE + kind in table.column_names:
            values[PRE + kind], n_missing = _read_pre(table, PRE + kind)
            if n_missing:
                left_out.append(f"{PRE}{kind} is missing for {n_missing:,} users: counted as 0")
        else:
            left_out.append(f"no {PRE}{kind}: {kind} without CUPED")
    rates = _find_rates(kinds, chosen=chosen)
    for name in table.column_names:
        if found := _HITS.fullmatch(name):
            spelled = f"HitRate@{found[1]}" + (f" by {found[2]}" if found[2] else "")
            if ANSWERS in table.column_names:
                values |= {column: read_numbers(table, column) for column in (name, ANSWERS)}
                rates.append(Rate(spelled, name, ANSWERS))
            else:
                left_out.append(f"{name}: without {ANSWERS} there is no {spelled}")
    return Outcomes(names, of_user, values, tuple(kinds), tuple(rates), tuple(left_out))


def read_numbers(table: pa.Table, name: str) -> Floats:
    """Return a column as numbers.

    Raises:
        ValueError: A value is missing or none.
    """
    column, is_good = _parse(table[name])
    if not is_good.all():
        at = int(np.argmin(is_good))
        raise ValueError(f"{name} in row {at + 1} is {table[name][at].as_py()!r}, no number")
    return column


def _require_one_row_a_user(table: pa.Table) -> None:
    if USER not in table.column_names:
        return
    counted = pc.value_counts(table[USER])
    twice = counted.filter(pc.greater(counted.field("counts"), 1))
    if len(twice):
        first = twice[0].as_py()
        raise ValueError(
            f"user {first['values']} has {first['counts']} rows, and {len(twice) - 1:,} users more have "
            "several: sum them up to one row a user, and leave out who was in two arms"
        )


def _read_arms(column: pa.ChunkedArray, arms: Sequence[str], control: str) -> tuple[tuple[str, ...], Ints]:
    """Return the arms' names, the one to compare with first, and each user's place among them."""
    if column.null_count:
        raise ValueError(f"{column.null_count:,} users have no arm: leave them out")
    values, places = np.unique(column.to_numpy(), return_inverse=True)
    found = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    if unknown := [name for name in found if arms and name not in arms]:
        raise ValueError(f"arm {unknown[0]!r} is not planned: there are {', '.join(arms)}")
    names = list(arms or found)
    if control and control not in names:
        raise ValueError(f"no user is in arm {control!r}: there are {', '.join(names)}")
    if control:
        names = [control, *(name for name in names if name != control)]
    if len(names) < 2:
        raise ValueError(f"all users are in arm {names[0]!r}: nothing to compare it with")
    return tuple(names), np.array([names.index(name) for name in found], np.int64)[places.ravel()]


def _find_kinds(
    table: pa.Table, chosen: Sequence[str], ignored: Iterable[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the columns to count, in the order from seeing to buying, and what is left out."""
    if chosen:
        if missing := [kind for kind in chosen if kind not in table.column_names]:
            raise ValueError(f"there is no column {missing[0]!r} (there are {', '.join(table.column_names)})")
        return tuple(chosen), []
    order = list(BEFORE)
    known = [name for name in table.column_names if _singular(name) in BEFORE]
    other = [
        name
        for name in table.column_names
        if name not in {*known, *ignored, ANSWERS} and not name.startswith(PRE) and not _HITS.fullmatch(name)
    ]
    if not known:
        raise ValueError(f"no column counts views, likes, carts or purchases: choose of {', '.join(other)}")
    left_out = [f"{name}: no kind of event that is known; choose the kinds to count it" for name in other]
    return tuple(sorted(known, key=lambda name: order.index(_singular(name)))), left_out


def _find_rates(kinds: Sequence[str], *, chosen: bool) -> list[Rate]:
    """Return the conversions from one kind to the next; of chosen ones in their order."""
    of, rates = {_singular(kind): kind for kind in kinds}, []
    for place, kind in enumerate(kinds):
        known = [of[name] for name in BEFORE.get(_singular(kind), ()) if name in of]
        before = [*known, *(kinds[place - 1 : place] if chosen else ())]
        if before:
            rates.append(Rate(f"{kind}/{before[0]}", kind, before[0]))
    return rates


def _singular(name: str) -> str:
    return name.lower().removesuffix("s")


def _read_pre(table: pa.Table, name: str) -> tuple[Floats, int]:
    """Return counts of the time before, 0 where there is none (whatever stands there, arms do not differ)."""
    column, is_good = _parse(table[name])
    return np.where(is_good, column, 0.0), int((~is_good).sum())


def _parse(column: pa.ChunkedArray) -> tuple[Floats, Bools]:
    try:
        numbers = pc.cast(column, pa.float64()).to_numpy()
    except pa.ArrowException:
        numbers = np.array([_number(value) for value in column.to_pylist()], np.float64)
    return numbers, np.isfinite(numbers)


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")
