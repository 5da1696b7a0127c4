"""The commands `experiments report`, `experiments plan` and `ope`: files and settings to results."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from batch.arrays import Floats
from batch.data.load import read_facts
from batch.experiments.comparisons import Terms
from batch.experiments.exposed import runs_of
from batch.experiments.off_policy import Log, OffPolicy, evaluate_policy
from batch.experiments.outcomes import make_outcomes, read_numbers
from batch.experiments.power import Plan, Wish, plan
from batch.experiments.read_table import read_table
from batch.experiments.verdict import Verdict, judge
from batch.progress import Progress
from batch.settings import Settings


def report_table(
    path: Path,
    terms: Terms,
    *,
    arm: str = "arm",
    control: str = "",
    kinds: Sequence[str] = (),
    shares: Sequence[float] = (),
    is_aa: bool = False,
) -> Verdict:
    """Judge an experiment by a file with one row a user.

    Raises:
        SourceError: The file cannot be read.
        ValueError: It is no such table, or the shares do not fit its arms.
    """
    outcomes = make_outcomes(read_table(path), arm=arm, control=control, kinds=kinds)
    return judge(outcomes, terms, shares=shares, is_aa=is_aa)


def plan_from_table(path: Path, wish: Wish, *, kinds: Sequence[str] = (), arm: str = "arm") -> Plan:
    """Plan an experiment by a file with one row a user; where it has arms, all users count."""
    table = read_table(path)
    if arm in table.column_names:
        table = table.drop_columns([arm])
    return plan([(None, make_outcomes(table, arm=None, kinds=kinds))], wish)


def plan_from_facts(settings: Settings, location: str, wish: Wish, progress: Progress) -> Plan:
    """Plan an experiment by what users did lately.

    Raises:
        SourceError: The facts cannot be read.
        ValueError: They hold no event, or too few users.
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with progress.step("read") as advance:
        facts = read_facts(settings, location, advance)
    return plan(runs_of(facts), wish)


def ope_table(
    path: Path,
    names: Mapping[str, str],
    models: Mapping[str, str],
    *,
    user: str = "",
    alpha: float = 0.05,
    anyway: bool = False,
) -> OffPolicy:
    """Estimate what another policy would earn, by a file with one row an action.

    Args:
        path: CSV, JSON lines or Parquet.
        names: Attributes of a log to columns; a number stands for a column that has it in each row.
        models: The same of what a model expects; empty: the column of that name, if there is one.
        user: Column of the user whose rows belong together; empty: each row stands for itself.
        alpha: How often an interval may miss.
        anyway: Whether to estimate although too few rows count.

    Raises:
        SourceError: The file cannot be read.
        ValueError: A column is missing, or holds what it cannot.
    """
    table = read_table(path)
    there = {own: name or own for own, name in models.items() if name or own in table.column_names}
    columns = {attribute: _column(table, name) for attribute, name in {**names, **there}.items()}
    of_user = None
    if user:
        _require_column(table, user)
        of_user = np.unique(table[user].to_numpy(), return_inverse=True)[1].astype(np.int64)
    return evaluate_policy(Log(**columns, user=of_user), alpha, anyway=anyway)


def _column(table: pa.Table, name: str) -> Floats:
    if name in table.column_names:
        return read_numbers(table, name)
    try:
        return np.full(len(table), float(name))
    except ValueError:
        _require_column(table, name)
        raise


def _require_column(table: pa.Table, name: str) -> None:
    if name not in table.column_names:
        raise ValueError(f"there is no column {name!r} (there are {', '.join(table.column_names)}): name it")
