"""Why a post is in a list, or is not, for a terminal: a sentence, a bar for each part, what was liked."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from batch.publish.explain.parts import BASE, TREES, Parts
from batch.publish.explain.why import Why

WIDTH = 24  # of the longest bar
MOST = 8  # parts that are drawn, the largest ones; the rest is one line
LEAST = 5e-5  # of a part that is drawn: less is 0 as it is printed


def draw_why(console: Console, why: Why) -> None:
    """Show the sentence, then the parts of the score, largest first, then the nearest liked posts."""
    console.print(escape(why.sentence()), highlight=False)
    if why.parts is not None:
        console.print(_draw_parts(why.parts), highlight=False)
    if why.evidence:
        near = ", ".join(str(post) for post, _ in why.evidence)
        console.print(escape(f"liked before, and like it: {near}"), highlight=False)
    if why.lacking:
        console.print(escape(why.lacking), highlight=False)


def _draw_parts(parts: Parts) -> Table:
    """Return a line for each part: name, value, and a bar to the left of 0 or to the right.

    What is the same for every post has no bar, nor has the sum.
    """
    values = dict(zip(parts.names, parts.values[0].tolist(), strict=True))
    base = values.pop((TREES, BASE))
    order = sorted(
        (name for name in values if abs(values[name]) >= LEAST), key=lambda name: -abs(values[name])
    )
    lines = [(_word(*name), values.pop(name)) for name in order[:MOST]]
    rest, most = sum(values.values()), abs(lines[0][1]) if lines else 1.0
    if len(order) > MOST:
        lines.append((f"{len(order) - MOST} smaller parts", rest))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in lines:
        bar = "█" * max(1, round(WIDTH * abs(value) / most))
        left, right = (bar, "") if value < 0 else ("", bar)
        table.add_row(escape(name), f"{value:+.4f}", f"{left:>{WIDTH}}│{right}")
    table.add_row("the same for every post", f"{base:+.4f}", "")
    table.add_row("score", f"{parts.scores[0]:+.4f}", "")
    return table


def _word(family: str, name: str) -> str:
    """Return what a part is called: its family, and its name where that is another word."""
    name = name.replace("_", " ")
    return family if name == family else f"{family}: {name}"
