"""An experiment for the serving bench: both arms' variants are one generation, so that answers are known."""

import re
import time

import redis

from api.contract.experiment import Arm, Experiment
from api.contract.keys import Keys
from tests.bench import apps
from tests.bench.load import Asked

ALL_WRITTEN_S = 1.0  # ten times as long as records gather
ARMS = (Arm("a", "default", 50), Arm("b", "other", 50))


def begin(client: redis.Redis) -> None:
    """Let it run on both routes, for good."""
    keys, one = Keys(), Experiment("bench", "bench", ARMS, state="running")
    client.copy(keys.current("default"), keys.current("other"))
    client.hset(keys.experiments(), one.name, one.to_json())


def count_records(asked: Asked) -> dict[str, float]:
    """Return what became of the records of an API, once all are written."""
    time.sleep(ALL_WRITTEN_S)
    _, text = apps.get(asked, "/metrics")
    found = re.findall(r'almanac_exposures_total{status="(\w+)"} (\S+)', text.decode())
    return {f"records_{status}": float(n) for status, n in found}
