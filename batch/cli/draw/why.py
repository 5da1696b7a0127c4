"""Why a post is in a list, or is not, for a terminal: a sentence, a bar for each part, what was liked."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from batch.publish.explain.lines import Lines, list_lines
from batch.publish.explain.why import Why

WIDTH = 24  # of the longest bar


def draw_why(console: Console, why: Why) -> None:
    """Show the sentence, then the parts of the score, largest first, then the nearest liked posts."""
    console.print(escape(why.sentence()), highlight=False)
    if why.parts is not None:
        console.print(_draw_lines(list_lines(why.parts)), highlight=False)
    if why.evidence:
        near = ", ".join(str(post) for post, _ in why.evidence)
        console.print(escape(f"liked before, and like it: {near}"), highlight=False)
    if why.lacking:
        console.print(escape(why.lacking), highlight=False)


def _draw_lines(lines: Lines) -> Table:
    """Return a line for each part: name, value, and a bar to the left of 0 or to the right.

    What is the same for every post has no bar, nor has the sum.
    """
    most = max((abs(value) for _, value in lines.parts), default=1.0)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in lines.parts:
        bar = "█" * max(1, round(WIDTH * abs(value) / most))
        left, right = (bar, "") if value < 0 else ("", bar)
        table.add_row(escape(name), f"{value:+.4f}", f"{left:>{WIDTH}}│{right}")
    table.add_row("the same for every post", f"{lines.base:+.4f}", "")
    table.add_row("score", f"{lines.score:+.4f}", "")
    return table
