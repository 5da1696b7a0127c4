"""Where the points, bars and lines of a picture stand, 100 wide and 40 high. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, MARGIN = 100.0, 40.0, 2.0
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Picture:
    """One value over something, with intervals, and lines beside it.

    Attributes:
        bottom: The value at the lower edge; at the upper one: `top`.
        top: See `bottom`.
        zero: Where 0 stands, from above; None: outside.
        bars: x, upper end and lower end of each interval that is known.
        dots: x and y of each value, in order; None: not known.
        line: The dots as an SVG polyline has them.
        also: The lines beside of which a value is known, by name, likewise.
    """

    bottom: float
    top: float
    zero: float | None
    bars: tuple[tuple[float, float, float], ...]
    dots: tuple[tuple[float, float] | None, ...]
    line: str
    also: Mapping[str, str]


def lay_out(
    values: Values,
    lows: Values = (),
    highs: Values = (),
    also: Mapping[str, Values] | None = None,
    floor: float | None = None,
    newest: int = 0,
) -> Picture | None:
    """Lay out values that stand side by side; None where none is known. NaN is not known.

    Args:
        values: In their order, left to right.
        lows: Lower ends of their intervals, likewise; empty: there are none.
        highs: Upper ends.
        also: Further lines, each as long as the values.
        floor: What the picture must reach down, or up, to.
        newest: How many intervals, the last ones, must be seen whole; 0: all. Others may reach beyond it.

    >>> found = lay_out([1.0, None, 3.0], [0.0, None, 2.0], [2.0, None, 4.0])
    >>> found.line, found.bars
    ('16.67,29.0 83.33,11.0', ((16.67, 20.0, 38.0), (83.33, 2.0, 20.0)))
    """
    others = also or {}
    known = [*_known(values), *_known(lows[-newest:]), *_known(highs[-newest:])]
    known += [value for line in others.values() for value in _known(line)]
    if not [*_known(values)]:
        return None
    known += [] if floor is None else [floor]
    bottom, top = min(known), max(known)
    if bottom == top:
        bottom, top = bottom - 1, top + 1

    def x(place: int) -> float:
        return round((place + 0.5) * WIDTH / len(values), 2)

    def y(value: float) -> float:
        return round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - bottom) / (top - bottom), 2)

    def dot(place: int, value: float | None) -> tuple[float, float] | None:
        return None if value is None or math.isnan(value) else (x(place), y(value))

    def line(of: Values) -> str:
        dots = (dot(place, value) for place, value in enumerate(of))
        return " ".join(f"{at[0]},{at[1]}" for at in dots if at is not None)

    bars = (
        (x(place), y(high), y(low))
        for place, (low, high) in enumerate(zip(lows, highs, strict=True))
        if low is not None and high is not None and not math.isnan(low + high)
    )
    return Picture(
        bottom=bottom,
        top=top,
        zero=y(0.0) if bottom <= 0 <= top else None,
        bars=tuple(bars),
        dots=tuple(dot(place, value) for place, value in enumerate(values)),
        line=line(values),
        also={name: line(of) for name, of in others.items() if [*_known(of)]},
    )


def _known(values: Iterable[float | None]) -> Iterable[float]:
    return (value for value in values if value is not None and not math.isnan(value))
