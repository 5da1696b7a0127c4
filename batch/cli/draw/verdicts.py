"""A verdict, a plan and estimates of another policy, on a terminal."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

BOUNDS = ("difference", "from", "to")

if TYPE_CHECKING:  # they load the statistics, which a picture does not need
    from batch.experiments.off_policy import OffPolicy
    from batch.experiments.power import Plan
    from batch.experiments.verdict import Verdict


def draw_verdict(console: Console, verdict: "Verdict") -> None:
    """Show users, then a line a metric and a line a test; the JSON holds all digits."""
    ratio = verdict.sample_ratio
    users = ", ".join(f"{arm} {n:,}" for arm, n in ratio.users.items())
    kept = "are kept" if ratio.is_kept else "are not kept"
    _print(console, f"users: {users}; the planned shares {kept} (p {ratio.p_value:.2g})")
    for reading in verdict.readings:
        p_holm = _number(reading.p_holm, ".2g")
        _print(
            console,
            f"\n{reading.metric}, {reading.arm}: {reading.control:,.4g} → {reading.treatment:,.4g}, "
            f"{reading.says} (p {p_holm} after Holm)",
        )
        table = Table("test", *BOUNDS, "lift", *BOUNDS[1:], "p", box=None, padding=(0, 2, 0, 0))
        for test in reading.tests:
            cells = [_number(value, "+.4g") for value in (test.effect, test.low, test.high)]
            cells += [_number(value, "+.2%") for value in (test.lift, test.lift_low, test.lift_high)]
            table.add_row(test.test.replace("_", " "), *cells, _number(test.p_value, ".2g"))
        console.print(table)
    _print(console, "")
    for sentence in verdict.sentences:
        _print(console, sentence)
    _print_left_out(console, verdict.left_out)


def draw_plan(console: Console, plan: "Plan") -> None:
    """Show what each metric takes, a line for each length that the facts span."""
    wish = plan.wish
    _print(
        console,
        f"to find a lift of {wish.lift:.3g} with power {wish.power:g} at alpha {wish.alpha:g}, "
        f"{wish.share:.0%} of the users in the treatment",
    )
    table = Table(
        "metric", "test", "days", "users", "needed", "lift found", "", box=None, padding=(0, 2, 0, 0)
    )
    order = list(plan.first_enough())
    for need in sorted(plan.needs, key=lambda need: order.index(need.metric)):
        table.add_row(
            escape(need.metric),
            need.test,
            "" if need.days is None else f"{need.days}",
            f"{need.users:,}",
            f"{need.users_needed:,}",
            f"{need.lift_found:.2%}",
            "enough" if need.is_enough else "",
        )
    console.print(table)
    for metric, first in plan.first_enough().items():
        if first is None:
            _print(console, f"{metric}: not with these users; wait for more, or for a larger lift")
        elif first.days is not None:
            _print(console, f"{metric}: {first.days} day(s)")


def draw_off_policy(console: Console, found: "OffPolicy") -> None:
    """Show how many records count, and the estimates."""
    share = found.effective_size / found.n_records
    _print(
        console,
        f"{found.n_records:,} records, of which {found.effective_size:,.0f} count ({share:.1%}); "
        f"mean weight {found.mean_weight:.3f}; earned {found.logged:.4g} a record",
    )
    if found.refused:
        _print(console, f"refused: {found.refused}; --anyway shows the estimates all the same")
    for estimate in found.estimates:
        name, bounds = estimate.estimator.replace("_", " "), f"[{estimate.low:.4g}, {estimate.high:.4g}]"
        _print(console, f"{name}: {estimate.value:.4g} {bounds}")
    for note in found.notes:
        _print(console, note)


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else f"{value:{form}}"


def _print_left_out(console: Console, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        _print(console, f"left out: {sentence}")


def _print(console: Console, text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)
