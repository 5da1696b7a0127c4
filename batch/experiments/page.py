"""A verdict as one page of HTML: no scripts, nothing loaded from elsewhere, every text escaped."""

import math
from collections.abc import Sequence
from html import escape

from batch.experiments.comparisons import Comparison
from batch.experiments.verdict import Reading, Verdict

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
.higher { color: #14692f } .lower { color: #a3261b } .first td { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  body { background: #181818; color: #ddd } th, td { border-color: #444 }
  .higher { color: #6fcf8b } .lower { color: #f08a80 }
}
"""


def write_page(verdict: Verdict, title: str) -> str:
    """Return the page."""
    ratio = verdict.sample_ratio
    rows = [(arm, f"{n:,}", f"{ratio.planned[arm]:,.0f}") for arm, n in ratio.users.items()]
    kept = "kept" if ratio.is_kept else "not kept"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(sentence)}.</p>" for sentence in verdict.sentences),
        "<h2>Users</h2>",
        _table(("arm", "users", "planned"), rows),
        f"<p>The planned shares were {kept} (p {ratio.p_value:.2g}).</p>",
    ]
    parts += [_section(reading) for reading in verdict.readings]
    if verdict.left_out:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in verdict.left_out)
        parts.append(f"<h2>Left out</h2><ul>{items}</ul>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _section(reading: Reading) -> str:
    head = f"<h2>{escape(reading.metric)}, {escape(reading.arm)}: "
    head += f'<span class="{reading.says.split()[0]}">{reading.says}</span></h2>'
    line = (
        f"<p>{reading.control:,.4g} → {reading.treatment:,.4g}; p {_number(reading.p_holm, '.2g')} "
        "after Holm over all metrics.</p>"
    )
    names = ("test", "difference", "interval", "lift", "interval of the lift", "p")
    return head + line + _table(names, [_row(test) for test in reading.tests], first=True)


def _row(test: Comparison) -> tuple[str, ...]:
    return (
        test.test.replace("_", " "),
        _number(test.effect, "+.4g"),
        _interval(test.low, test.high, "+.4g"),
        _number(test.lift, "+.2%"),
        _interval(test.lift_low, test.lift_high, "+.2%"),
        _number(test.p_value, ".2g"),
    )


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else f"{value:{form}}"


def _interval(low: float, high: float, form: str) -> str:
    return "" if math.isnan(low) else f"{low:{form}} … {high:{form}}"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], *, first: bool = False) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = [
        ('<tr class="first">' if first and not place else "<tr>")
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for place, row in enumerate(rows)
    ]
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"
