"""The overview of a run's facts: counted once, while they are in memory, and kept beside the run's record."""

import logging

from batch.data import movielens
from batch.data.facts import Facts
from batch.data.load import load_mapping
from batch.features.profile import segments
from batch.overview.counts import count_events
from batch.overview.kept import read_samples, write_overview, write_post_counts
from batch.overview.overview import make_overview
from batch.runs.recorded import Record
from batch.settings import Settings

log = logging.getLogger(__name__)


def keep_overview(settings: Settings, facts: Facts, location: str, record: Record) -> None:
    """Count what the facts hold, and write it beside the record of the run; without a record nothing is done.

    A folder that cannot be written is said, and never ends a run.

    Args:
        settings: Of the run.
        facts: Of the run; what is in a file is released.
        location: Where they come from.
        record: Of the run, which has begun.
    """
    if record.number is None:
        return
    mapping = load_mapping(settings, settings.mapping or (location if location == movielens.NAME else ""))
    by = segments(facts.users, tuple(name for name in settings.segment_by.split(",") if name))
    counts = count_events(facts)
    samples = read_samples(settings.state_dir / "rejects.jsonl")
    overview = {"run": record.number, **make_overview(facts, counts, mapping, by, samples)}
    try:
        write_overview(record.runs.overview_of(record.number), overview)
        write_post_counts(record.runs.folder, facts, counts)
    except OSError as exc:
        log.warning("overview.unkept", extra={"why": str(exc)})
