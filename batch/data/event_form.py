"""What the rows of a feed are: the part `[events]` of a mapping, checked and frozen."""

import re
from dataclasses import dataclass, field
from typing import Any

from batch.data.columns import ACTIONS, LIKE
from batch.data.toml import refuse_unknown, take_list, take_text

KEYS = (*ACTIONS, "weights", "split", "mark")


@dataclass(frozen=True, slots=True)
class TargetForm:
    """How a column says which views are liked; `TargetForm()` reads 0 and 1, and words for no and yes.

    Attributes:
        column: Their name of it; empty: `target`, or what a mapping calls it.
        at_least: Least number of a like.
        among: Values of a like, as `normal_name` returns them.
    """

    column: str = ""
    at_least: float | None = None
    among: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventForm:
    """How events are written; `EventForm()` reads our own names.

    Attributes:
        names: Their event names, as `normal_name` returns them, to our codes of the action; where there are
            none, every row is a view.
        only: These names alone are events of ours: any other is ignored and counted, not rejected.
        target: How a target is written.
        weights: Names to how much such an event says for the post; empty: all likes say the same.
        split: What stands between the posts of one cell; empty: a cell holds one post.
        mark: What stands between a post of such a cell and its target; empty: there is none.
    """

    names: dict[str, int] = field(default_factory=lambda: dict(ACTIONS))
    only: bool = False
    target: TargetForm = field(default_factory=TargetForm)
    weights: dict[str, float] = field(default_factory=dict)
    split: str = ""
    mark: str = ""

    def weight(self, name: str) -> float:
        """Return how much an event says for its post; unsaid, a like says 1 and a view nothing."""
        return self.weights.get(name, float(self.names[name] == LIKE))


def normal_name(name: str) -> str:
    """Return a name without what does not tell names apart: blanks around it, case, an empty fraction.

    >>> normal_name(" View "), normal_name("4.0")
    ('view', '4')
    """
    return re.sub(r"^(\d+)\.0*$", r"\1", name.strip().lower())


def parse_events(section: dict[str, Any]) -> EventForm:
    """Check and freeze `[events]`.

    Raises:
        ValueError: A key is unknown or a value has the wrong form; the message names both.
    """
    refuse_unknown("key in [events]", section, KEYS)
    like = section.get("like")
    by_column = isinstance(like, dict)
    actions = {
        name: section[name] for name in ACTIONS if name in section and not (name == "like" and by_column)
    }
    names = _names(actions)
    if not names and not (by_column or "split" in section):
        raise ValueError("[events] names no event: give view = [...] and like = [...], or leave it out")
    if "mark" in section and "split" not in section:
        raise ValueError("[events] has a mark and no split: say what stands between the posts of a cell")
    return EventForm(
        names=names,
        only=bool(names),
        target=_target(like) if isinstance(like, dict) else TargetForm(),
        weights=_weights(section.get("weights", {}), names),
        split=take_text("events.split", section["split"]) if "split" in section else "",
        mark=take_text("events.mark", section["mark"]) if "mark" in section else "",
    )


def _names(actions: dict[str, Any]) -> dict[str, int]:
    codes: dict[str, int] = {}
    for action, names in actions.items():
        for name in _values(f"events.{action}", names):
            if name in codes:
                raise ValueError(f"event {name!r} stands under two actions in [events]")
            codes[name] = ACTIONS[action]
    return codes


def _target(like: dict[str, Any]) -> TargetForm:
    refuse_unknown("key in events.like", like, ("column", "at_least", "among"))
    if ("at_least" in like) == ("among" in like):
        raise ValueError(f"events.like = {like!r} must have a column and either at_least or among")
    return TargetForm(
        column=take_text("events.like.column", like.get("column")),
        at_least=_number("events.like.at_least", like["at_least"]) if "at_least" in like else None,
        among=tuple(_values("events.like.among", like["among"])) if "among" in like else (),
    )


def _weights(section: object, names: dict[str, int]) -> dict[str, float]:
    if not isinstance(section, dict):
        raise ValueError(  # noqa: TRY004 - one error type
            f"events.weights = {section!r} must be names with numbers: {{ cart = 3, purchase = 10 }}"
        )
    weights = {normal_name(name): _number(f"events.weights.{name}", w) for name, w in section.items()}
    refuse_unknown("event in events.weights", weights, names)
    return weights


def _values(where: str, value: object) -> list[str]:
    """Return names; numbers are names, too, as stars are."""
    items = take_list(where, value)
    is_number = [isinstance(item, int | float) and not isinstance(item, bool) for item in items]
    texts = [str(item) if number else item for item, number in zip(items, is_number, strict=True)]
    return [normal_name(take_text(where, text)) for text in texts]


def _number(where: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise ValueError(f"{where} = {value!r} must be a number, 0 or more")
    return float(value)
