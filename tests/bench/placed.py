"""An experiment for the serving bench: two generations are its arms', with lists and posts of their own."""

import re
import time

import redis

from api.contract.experiment import Arm, Experiment
from api.contract.keys import Keys
from tests.bench import apps
from tests.bench.load import Asked
from tests.bench.stock import serve_as

ALL_WRITTEN_S = 1.0  # ten times as long as records gather
GENERATION, VARIANT = 2, "other"
EXPERIMENT = Experiment(
    "bench", "bench", (Arm("a", "default", 50), Arm("b", VARIANT, 50)), state="running"
)  # on both routes, for good


def begin(client: redis.Redis) -> None:
    """Serve the second generation under its variant, and let the experiment run."""
    keys = Keys()
    serve_as(client, keys, GENERATION, VARIANT)
    client.hset(keys.experiments(), EXPERIMENT.name, EXPERIMENT.to_json())


def find_generation(user_id: str) -> int:
    """Return the generation that answers a user within the experiment."""
    return GENERATION if EXPERIMENT.assign(user_id).variant == VARIANT else 1


def count_records(asked: Asked) -> dict[str, float]:
    """Return what became of the records of an API, once all are written."""
    time.sleep(ALL_WRITTEN_S)
    _, text = apps.get(asked, "/metrics")
    found = re.findall(r'almanac_exposures_total{status="(\w+)"} (\S+)', text.decode())
    return {f"records_{status}": float(n) for status, n in found}
