"""A night of Almanac as an Airflow DAG: each stage is asked for over HTTP, and waited for."""

import os
import time
from datetime import UTC, datetime

import requests
from airflow.sdk import chain, dag, task


def ask(method: str, path: str) -> dict:
    headers = {"X-API-Key": os.environ["ALMANAC_TOKEN"]}  # of scope admin
    answer = requests.request(method, os.environ["ALMANAC_URL"] + path, headers=headers, timeout=30)
    answer.raise_for_status()
    return answer.json()


def run_stage(stage: str) -> None:
    run = ask("POST", f"/pipelines/{stage}/runs")
    while run["state"] in ("waiting", "running"):
        time.sleep(2)
        run = ask("GET", f"/pipelines/runs/{run['id']}")
    if run["state"] != "done":
        raise RuntimeError(f"{stage} {run['state']}: {run['why']}")


@dag(schedule="0 3 * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False)
def almanac_night() -> None:
    chain(*(task(task_id=one, retries=1)(run_stage)(one) for one in ("preprocess", "train", "infer")))


almanac_night()
