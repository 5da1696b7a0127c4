"""The parts of one score as lines to draw, in a terminal or on a page. Pure."""

from dataclasses import dataclass

from batch.publish.explain.parts import BASE, TREES, Parts

MOST = 8  # parts with a line of their own, the largest ones; the rest is one line
LEAST = 5e-5  # of a part that is drawn: less is 0 as it is printed


@dataclass(frozen=True, slots=True)
class Lines:
    """A score as a sum that is short enough to read, in log-odds.

    Attributes:
        parts: Name and value of each, largest first; the sum of the others comes last.
        base: What is the same for every post.
        score: The sum of all.
    """

    parts: tuple[tuple[str, float], ...]
    base: float
    score: float


def list_lines(parts: Parts) -> Lines:
    """Return the lines of the first score of `parts`; they add up to it within LEAST."""
    values = dict(zip(parts.names, parts.values[0].tolist(), strict=True))
    base = values.pop((TREES, BASE))
    order = sorted(
        (name for name in values if abs(values[name]) >= LEAST), key=lambda name: -abs(values[name])
    )
    lines = [(_word(*name), values.pop(name)) for name in order[:MOST]]
    small = [value for value in values.values() if value]
    if len(order) > MOST or abs(sum(small)) >= LEAST:
        lines.append((f"{len(small)} smaller parts", sum(small)))
    return Lines(tuple(lines), base, float(parts.scores[0]))


def _word(family: str, name: str) -> str:
    """Return what a part is called: its family, and its name where that is another word."""
    name = name.replace("_", " ")
    return family if name == family else f"{family}: {name}"
