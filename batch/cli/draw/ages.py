"""How lists age, on a terminal."""

from rich.console import Console
from rich.table import Table

from batch.evaluate.ages import Age, Curve


def draw_ages(console: Console, curve: Curve) -> None:
    """Show quality by the age of the lists, with intervals, and what each age lost against fresh lists."""
    title = (
        f"{curve.n_sessions:,} sessions of {curve.n_users:,} users, {curve.n_impressions:,} impressions; "
        "95 % intervals over users"
    )
    table = Table(title=title, title_justify="left", box=None)
    for name in ("age, h", "AUC in session", "lost", "HitRate@5", "lost"):
        table.add_column(name, justify="right")
    for age in curve.ages:
        table.add_row(*_row(age))
    console.print(table)


def _row(age: Age) -> tuple[str, ...]:
    figures = (
        (age.auc_in_session, age.auc_interval),
        (age.auc_lost, age.auc_lost_interval),
        (age.hitrate_at_5, age.hitrate_interval),
        (age.hitrate_lost, age.hitrate_lost_interval),
    )
    return (str(age.age_h), *(f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, (low, high) in figures))
