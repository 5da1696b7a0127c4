"""What another policy would have earned in an experiment's drawn places, top to bottom."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import redis

from batch.data.live.accepted import drain_accepted
from batch.data.load import find_source, load_mapping
from batch.experiments.draws import as_log, as_table, reward_draws, weigh_draws
from batch.experiments.off_policy import OffPolicy, evaluate_policy
from batch.experiments.read_acts import read_acts
from batch.experiments.read_draws import read_draws
from batch.experiments.read_table import read_table
from batch.experiments.registry import find
from batch.jobs.outcomes import NoExposures, find_facts, know_nobody, span_of
from batch.progress import Progress
from batch.settings import Settings
from batch.store.connection import events_location


class NoDraws(NoExposures):
    """No place of the experiment's answers was drawn, as far as the table knows."""


def evaluate_draws(
    settings: Settings,
    client: redis.Redis,
    name: str,
    progress: Progress,
    now_s: int,
    *,
    policy: Path | None = None,
    out: Path | None = None,
    data: str = "",
    alpha: float = 0.05,
    anyway: bool = False,
) -> OffPolicy:
    """Estimate what another policy would have earned a drawn place: 1 where more than a view came of it.

    Args:
        settings: Mapping, databases, prefix.
        client: Client of the store, replies as bytes.
        name: Of the experiment.
        progress: Where to show the steps.
        now_s: Epoch seconds.
        policy: File with `post_id`, `target` and perhaps `user_id`; None: what drew is estimated itself.
        out: File to write the draws to, Parquet or else CSV; None: none.
        data: Where the facts lie; empty: as settings say, or nowhere, so that live events alone count.
        alpha: How often an interval may miss.
        anyway: Whether to estimate although too few draws count.

    Raises:
        LookupError: There is no such experiment; NoDraws: nothing was drawn in it.
        SourceError: A database, the facts or the policy cannot be read.
        ValueError: The policy is none.
    """
    one = find(client, settings.keys, name)
    told = None if policy is None else read_table(policy)
    people, url, stall_s = know_nobody(settings, client), events_location(settings), settings.database_stall_s
    span = span_of(one, now_s)
    with progress.step("exposures"):
        drain_accepted(settings, client)
        draws = read_draws(url, one, people, stall_s).once(span)
    if len(draws.user) < 2:
        raise NoDraws(
            f"experiment {name!r} has {len(draws.user)} drawn places: set ALMANAC_EXPLORE, run once, and let "
            "it answer"
        )
    with progress.step("acts") as advance:
        location = find_facts(settings, data)
        location, mapping = find_source(settings, location) if location else ("", load_mapping(settings))
        acts, _ = read_acts(location, url, mapping, people, span.start_s, stall_s, advance)
    reward = reward_draws(draws, acts, span, mapping.like_within_s)
    target = draws.propensity if told is None else weigh_draws(draws, told, people)
    if out is not None:
        _write(as_table(draws, reward, target), out)
    return evaluate_policy(as_log(draws, reward, target), alpha, anyway=anyway)


def _write(table: pa.Table, path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        pa_csv.write_csv(table, path)
