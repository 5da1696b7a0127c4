"""Counts as tables with bars, ready to be drawn: what stands in each cell, and how long each bar is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import dropwhile
from typing import Any

from batch.overview.breakdowns import NONE, OTHERS

Texts = Mapping[str, str]
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class BarTable:
    """A table to draw: `head` names its columns, the first that of `names`; a bar is 0..1 of the widest."""

    title: str
    head: tuple[str, ...]
    names: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    bars: tuple[float, ...]

    @property
    def rows(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """Return each row's name, cells and bar."""
        return zip(self.names, self.cells, self.bars, strict=True)


def rate_tables(data: Mapping[str, Any], t: Texts) -> list[BarTable]:
    """Return the like rate, or where it says nothing the views, by hour, weekday, topic and segment."""
    names = ("by_hour", "by_weekday", "by_topic", "by_segment")
    draw = _rates if data["totals"]["rate_tells"] else _views
    return [draw(data[name], t[name], t) for name in names if data[name]]


def spread_tables(data: Mapping[str, Any], t: Texts) -> list[BarTable]:
    """Return how views and further kinds of events are spread over users and posts, and sessions' lengths."""
    users, sessions = data["users"], data["sessions"]
    spreads = {
        t["views_a_user"]: users["views"],
        t["likes_a_user"]: users["likes"],
        **{
            t["kind_a_user"].format(line["name"]): line["per_user"]
            for line in data["kinds"][1:]
            if "per_user" in line
        },
        t["views_a_post"]: data["posts"]["views"],
        t["posts_a_session"]: sessions["posts"],
        t["minutes_a_session"]: sessions["minutes"],
    }
    return [_spread(title, spread, t) for title, spread in spreads.items() if spread["bins"]]


def missing_tables(data: Mapping[str, Any], t: Texts) -> list[BarTable]:
    """Return the shares of missing values in users' and posts' columns."""
    found = []
    for of in ("users", "posts"):
        rows: Rows = data["missing"][of]
        if rows:
            shares = [row["share"] for row in rows]
            cells = [(percent(share),) for share in shares]
            head = (t["column"], t["missing_share"])
            names = [row["name"] for row in rows]
            found.append(BarTable(t[f"missing_{of}"], head, tuple(names), tuple(cells), tuple(shares)))
    return found


def percent(share: float) -> str:
    """Return a share as text.

    >>> percent(0.1234), percent(0.00004), percent(0)
    ('12.3 %', '< 0.1 %', '0 %')
    """
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %" if share else "0 %"


def _rates(rows: Rows, what: str, t: Texts) -> BarTable:
    rates = [_share(row["liked"], row["views"]) for row in rows]
    shown = [percent(rate) if row["views"] else t["unknown"] for row, rate in zip(rows, rates, strict=True)]
    cells = [(f"{row['views']:,}", rate) for row, rate in zip(rows, shown, strict=True)]
    head = (what, t["views"], t["rate"])
    return _table(t["rate_by"].format(what.lower()), head, _names(rows, t), cells, rates)


def _views(rows: Rows, what: str, t: Texts) -> BarTable:
    views = [row["views"] for row in rows]
    cells = [(f"{n:,}",) for n in views]
    return _table(t["views_by"].format(what.lower()), (what, t["views"]), _names(rows, t), cells, views)


def _names(rows: Rows, t: Texts) -> list[str]:
    unnamed = {NONE: t["no_group"], OTHERS: t["others"]}
    return [unnamed.get(str(row["name"]), str(row["name"])) for row in rows]


def place(value: float, cells: Iterable[Iterable[float | None]]) -> float:
    """Return where a value stands, 0..100, between the least and the most of all that is known in cells.

    >>> place(2.0, [[1.0, None, None], [2.0, 1.5, 3.0]])
    50.0
    """
    known = [one for cell in cells for one in cell if one is not None]
    least, most = min(known), max(known)
    return round(100 * (value - least) / (most - least), 2) if most > least else 50.0


def _spread(title: str, spread: Mapping[str, Any], t: Texts) -> BarTable:
    bins: Rows = list(dropwhile(lambda one: not one["n"], spread["bins"]))
    zero = [("0", spread["n_zero"])] if spread["n_zero"] else []
    spans = [
        (f"{one['from']:,}" if one["from"] == one["to"] else f"{one['from']:,}–{one['to']:,}", one["n"])
        for one in bins
    ]
    names, counts = zip(*zero, *spans, strict=True)
    cells = [(f"{n:,}", percent(_share(n, spread["n"]))) for n in counts]
    return _table(title, (t["how_many"], t["number"], t["share"]), names, cells, counts)


def _table(
    title: str,
    head: tuple[str, ...],
    names: Iterable[str],
    cells: Iterable[tuple[str, ...]],
    values: Iterable[float],
) -> BarTable:
    lengths = list(values)
    most = max(lengths, default=0) or 1
    return BarTable(title, head, tuple(names), tuple(cells), tuple(value / most for value in lengths))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
