"""The page about the data: what a full run counted of its facts, read from the file beside its record."""

from typing import Any

from batch.inspector.desk import Desk
from batch.overview.kept import read_overview
from batch.overview.overview import VERSION
from batch.runs.record import describe_run

MOST_RUNS = 100  # that are looked through, and may be chosen from


def show_data(desk: Desk, number: int | None) -> dict[str, Any]:
    """Return a run's overview as `data`, the run, and the numbers of all runs that have one, newest first.

    Without a number it is the newest one's; `data` and `run` are None where no run has one, and `is_on` says
    whether a run goes on that will.

    Raises:
        RunUnknown: There is no such run.
        LookupError: It has counted nothing; ValueError: another version has.
    """
    runs = desk.runs
    counted = [run.number for run in runs.recent(MOST_RUNS) if runs.overview_of(run.number).is_file()]
    if number is None:
        number = next(iter(counted), None)
    elif number not in counted:
        kind = runs.show(number).kind
        raise LookupError(
            f"run {number} ({kind}) counted nothing of its facts: full runs do, once they are read"
        )
    data = None if number is None else read_overview(runs.overview_of(number))
    if data is not None and data["version"] != VERSION:
        raise ValueError(f"run {number} was counted by another version of Almanac: run again")
    run = None if data is None or number is None else describe_run(runs.show(number))
    return {"data": data, "run": run, "runs": counted, "is_on": bool(runs.running())}
