"""An experiment's outcomes, top to bottom: who was shown what, what they did then, one row a user."""

from typing import NamedTuple

import pyarrow as pa
import redis

from api.contract.experiment import Experiment
from api.contract.keys import Keys
from batch.data.live.accepted import drain_accepted
from batch.data.load import find_source
from batch.experiments.acts import Span, tabulate
from batch.experiments.people import People
from batch.experiments.read_acts import read_acts, read_exposed
from batch.progress import Progress
from batch.publish.ledger.ledger import Ledger
from batch.settings import Settings
from batch.store.connection import events_location


class NoExposures(LookupError):
    """Nobody was answered by the experiment, as far as the table knows."""

    exit_code = 3


class Outcome(NamedTuple):
    """One row a user, when that was, and how many users are left out since they were in several arms."""

    table: pa.Table
    span: Span
    n_mixed: int


def read_outcomes(
    settings: Settings,
    client: redis.Redis,
    location: str,
    experiment: Experiment,
    progress: Progress,
    now_s: int,
) -> Outcome:
    """Return what each exposed user did in an experiment, which may still run, and in as long before it.

    Args:
        settings: Mapping, events' database, prefix.
        client: Client of the store, replies as bytes.
        location: Of the facts.
        experiment: Which one.
        progress: Where to show the steps.
        now_s: Epoch seconds.

    Raises:
        NoExposures: There is none.
        SourceError: The events' database or the facts cannot be read.
    """
    url, stall_s = events_location(settings), settings.database_stall_s
    newest = next(reversed(Ledger(client, Keys(settings.prefix)).read_sealed().values()), None)
    people = People(newest.user_ids, newest.post_ids) if newest else People("text", "text")
    with progress.step("exposures"):
        drain_accepted(settings, client)
        exposures = read_exposed(url, experiment.name, people, stall_s)
    span = Span(experiment.start_s, min(now_s, experiment.end_s or now_s))
    if not ((exposures.time >= span.start_s) & (exposures.time < span.end_s)).any():
        raise NoExposures(
            f"experiment {experiment.name!r} has answered nobody that the table of exposures knows: has it "
            "been started, and does the API serve this store?"
        )
    with progress.step("acts") as advance:
        location, mapping = find_source(settings, location)
        acts, kinds = read_acts(location, url, mapping, people, span.pre_start_s, stall_s, advance)
    table, n_mixed = tabulate(exposures, acts, kinds, span, mapping.like_within_s)
    return Outcome(table, span, n_mixed)
