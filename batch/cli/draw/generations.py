"""The ledger, a difference, a verdict and a plan on a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:  # they load the publisher, which a picture does not need
    from batch.publish.ledger.entries import Entry
    from batch.publish.proof.diff import Change
    from batch.publish.proof.verify import Verdict

COLUMNS = ("generation", "state", "variant", "as_of", "users", "gate", "root")
BAR = 40  # characters of the longest bar of a histogram


def rows(ledger: "Sequence[Entry]") -> list[dict[str, Any]]:
    """Return the ledger for JSON, newest first."""
    return [entry.row() for entry in reversed(ledger)]


def draw_list(console: Console, ledger: "Sequence[Entry]") -> None:
    """Show every generation that is still there, newest first, and count the rest."""
    there = [entry for entry in reversed(ledger) if entry.manifest is not None]
    table = _table(*COLUMNS, "served")
    for entry in there:
        row = entry.row()
        served = row["served"][-1] if row["served"] else "never"
        table.add_row(*(str(row[name] if row[name] is not None else "–") for name in COLUMNS), served)
    console.print(table)
    console.print(f"{len(ledger) - len(there)} more are retired or were cleared")


def draw_show(console: Console, shown: Mapping[str, Any]) -> None:
    """Show one generation: where it stands, when it was served, and what the gate said."""
    table = _table("", "")
    names = ("generation", "state", "variant", "as_of", "created_at", "users", "lists", "root", "list_ttl_s")
    for name in (*names, "disk_bytes"):
        table.add_row(name, str(shown[name]))
    for interval in shown["served"]:
        table.add_row("served", interval)
    console.print(table)
    gate = (shown["manifest"] or {}).get("gate")
    if gate:
        draw_gate(console, gate)


def draw_gate(console: Console, gate: Mapping[str, Any]) -> None:
    """Show the gate's report, a line a check."""
    console.print(f"gate: {gate['outcome']}: {escape(gate['why'])}", soft_wrap=True)
    table = _table("check", "outcome", "what was found")
    for check in gate["checks"]:
        table.add_row(check["name"], check["outcome"], escape(check["says"]))
    console.print(table)


def draw_diff(console: Console, change: "Change") -> None:
    """Show what came, went and moved, how alike the lists are, who won and lost, and lists side by side."""
    console.print(
        f"{change.n_lists:,} lists of {change.n_users:,} users, generation {change.a} and {change.b}: "
        f"added {change.added:.2f}, dropped {change.dropped:.2f}, moved {change.moved:.2f}, "
        f"in place {change.kept:.2f} posts a list; rank-biased overlap {change.overlap:.3f}; "
        f"users only in {change.a}: {change.only_a:,}, only in {change.b}: {change.only_b:,}"
    )
    table, most = _table("in common", "lists", ""), max(*change.histogram, 1)
    for tenth, n in enumerate(change.histogram):
        table.add_row(f"{tenth * 10}–{tenth * 10 + 10} %", f"{n:,}", "█" * round(n / most * BAR))
    console.print(table)
    for one in change.topics:
        console.print(f"topic {escape(one.topic)}: {one.a:.1%} of the places, then {one.b:.1%}")
    for title, posts in (("winners", change.winners), ("losers", change.losers)):
        console.print(f"{title}: " + ", ".join(f"{escape(str(post))} ({gain:+,})" for post, gain in posts))
    for sample in change.samples:
        console.print(f"user {escape(str(sample['user_id']))} at {sample['bucket']}")
        for name, number in (("a", change.a), ("b", change.b)):
            console.print(f"  {number}: {escape(' '.join(map(str, sample[name])))}", soft_wrap=True)


def draw_verdict(console: Console, verdict: "Verdict") -> None:
    """Show what was compared and what did not agree."""
    table = _table("", "")
    table.add_row("checksums", f"{verdict.n_shards - len(verdict.bad_shards)} of {verdict.n_shards} agree")
    table.add_row("users without lists", f"{verdict.n_missing:,}")
    scored = f"{verdict.n_lists - verdict.n_different:,} of {verdict.n_lists:,} agree, place by place"
    table.add_row("lists scored again", verdict.unscored or scored)
    for name in verdict.bad_shards:
        table.add_row("differs", name)
    for place in verdict.differences:
        where = f"user {place.user_id}, bucket {place.bucket_s}, place {place.position}"
        table.add_row("differs", escape(f"{where}: {place.found} where the model gives {place.expected}"))
    table.add_row("verdict", "holds" if verdict.ok else "does not hold")
    console.print(table)


def _table(*names: str) -> Table:
    table = Table(box=None, show_header=any(names), padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name)
    return table
