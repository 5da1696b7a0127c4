"""The drawn places of an experiment's answers, out of the events' database."""

import pyarrow as pa
import pyarrow.compute as pc

from api.contract.experiment import Experiment
from batch.data.live.exposures import day_of, read_exposures
from batch.experiments.draws import Draws
from batch.experiments.people import People

_SCHEMA = pa.schema(
    {
        "user_id": pa.string(),
        "post_id": pa.string(),
        "time": pa.int64(),
        "bucket": pa.int64(),
        "propensity": pa.float64(),
    }
)


def read_draws(url: str, experiment: Experiment, people: People, stall_s: float) -> Draws:
    """Read what was drawn; from then on `people` know its users and learn no others.

    Raises:
        SourceError: The events' database cannot be opened or read.
    """
    since = day_of(experiment.start_s * 1000)
    batches = read_exposures(url, experiment.name, since, stall_s, drawn=True)
    table = pa.Table.from_batches(map(_take_apart, batches), _SCHEMA).combine_chunks()
    user_id, post_id, *numbers = (column.combine_chunks() for column in table.columns)
    user = people.rows(user_id)
    people.close()
    known = user >= 0
    time, bucket, propensity = (column.to_numpy()[known] for column in numbers)
    post_id = post_id.filter(pa.array(known))
    ids = user_id.filter(pa.array(known))
    return Draws(ids, user[known], people.marks(post_id), post_id, time, bucket, propensity)


def _take_apart(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a row for each drawn place; a propensity of 1 says that nothing was left to chance."""
    has_draws = pc.greater(pc.list_value_length(batch.column("propensities")), 0)
    batch = batch.filter(has_draws)
    row = pc.list_parent_indices(batch.column("propensities"))
    of_answer = {
        "user_id": batch.column("user_id").take(row),
        "post_id": pc.list_flatten(batch.column("post_ids")),
        "time": pc.divide(batch.column("accepted_at_ms").take(row), 1000),
        "bucket": batch.column("bucket_s").take(row),
        "propensity": pc.list_flatten(batch.column("propensities")),
    }
    places = pa.record_batch(list(of_answer.values()), schema=_SCHEMA)
    return places.filter(pc.less(places.column("propensity"), 1))
