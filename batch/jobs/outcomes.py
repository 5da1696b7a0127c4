"""An experiment's outcomes, top to bottom: who was shown what, what they did then, one row a user."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import redis

from api.contract.experiment import Experiment
from api.contract.ids import canonical
from batch.data.live.accepted import drain_accepted
from batch.data.load import find_source, load_mapping
from batch.experiments.acts import Acts, Exposures, Span, tabulate
from batch.experiments.people import People
from batch.experiments.read_acts import read_acts, read_exposed
from batch.progress import Progress
from batch.publish.ledger.ledger import Ledger
from batch.settings import Settings
from batch.store.connection import FACTS_FILE, events_location, facts_location


class NoExposures(LookupError):
    """Nobody was answered by the experiment, as far as the table knows."""

    exit_code = 3


class Outcome(NamedTuple):
    """One row a user, when that was, and which users are left out, a sentence each."""

    table: pa.Table
    span: Span
    left_out: list[str]


@dataclass(frozen=True, slots=True)
class Material:
    """What an experiment's users were shown and did until now, and as long before, as it was read.

    Attributes:
        experiment: Which one.
        exposures: Its answers.
        acts: What its users did.
        kinds: Those of KINDS that are counted.
        span: When it ran, until now.
        within_s: How long after an answer its hit may come.
    """

    experiment: Experiment
    exposures: Exposures
    acts: Acts
    kinds: list[str]
    span: Span
    within_s: int

    def count(self, until_s: int | None = None) -> Outcome:
        """Return one row a user, of what was shown and done before a time, epoch seconds, or by now."""
        span = self.span if until_s is None else Span(self.span.start_s, until_s)
        table, n_mixed = tabulate(self.exposures, self.acts, self.kinds, span, self.within_s)
        forced = self.experiment.forced
        is_forced = [canonical(user_id, "numbers") in forced for user_id in table["user_id"].to_pylist()]
        left_out = {
            "users answered by several arms": n_mixed,
            "users forced into an arm, whom chance has not put there": sum(is_forced),
        }
        told = [f"{who}: {n:,}" for who, n in left_out.items() if n]
        return Outcome(table.filter(pc.invert(pa.array(is_forced, pa.bool_()))), span, told)


def read_material(
    settings: Settings,
    client: redis.Redis,
    location: str,
    experiment: Experiment,
    progress: Progress,
    now_s: int,
) -> Material:
    """Read what an experiment's users were shown and did; it may still run.

    Args:
        settings: Mapping, events' database, prefix.
        client: Client of the store, replies as bytes.
        location: Of the facts; empty: there are none, live events alone count.
        experiment: Which one.
        progress: Where to show the steps.
        now_s: Epoch seconds.

    Raises:
        NoExposures: There is none.
        SourceError: The events' database or the facts cannot be read.
    """
    url, stall_s = events_location(settings), settings.database_stall_s
    people = know_nobody(settings, client)
    with progress.step("exposures"):
        drain_accepted(settings, client)
        exposures = read_exposed(url, experiment, people, stall_s)
    span = span_of(experiment, now_s)
    if not ((exposures.time >= span.start_s) & (exposures.time < span.end_s)).any():
        raise NoExposures(
            f"experiment {experiment.name!r} has answered nobody that the table of exposures knows: has it "
            "been started, and does the API serve this store?"
        )
    with progress.step("acts") as advance:
        location, mapping = find_source(settings, location) if location else ("", load_mapping(settings))
        acts, kinds = read_acts(location, url, mapping, people, span.pre_start_s, stall_s, advance)
    return Material(experiment, exposures, acts, kinds, span, mapping.like_within_s)


def know_nobody(settings: Settings, client: redis.Redis) -> People:
    """Return people who read ids as the newest generation does."""
    newest = next(reversed(Ledger(client, settings.keys).read_sealed().values()), None)
    return People(newest.user_ids, newest.post_ids) if newest else People("text", "text")


def span_of(experiment: Experiment, now_s: int) -> Span:
    """Return when an experiment ran, or has run so far."""
    return Span(experiment.start_s, min(now_s, experiment.end_s or now_s))


def find_facts(settings: Settings, data: str) -> str:
    """Return where the facts lie: as told, else as settings say; empty where there are none."""
    has_facts = settings.database_url.get_secret_value() or Path(settings.state_dir, FACTS_FILE).is_file()
    return data or (facts_location(settings) if has_facts else "")
