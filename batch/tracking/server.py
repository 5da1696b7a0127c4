"""Records to calls of MLflow, in a process of its own: `python -m batch.tracking.server` with JSON on stdin.

The only module that needs the extra `track`. It writes and never loads: no file of the server's is read.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightgbm as lgb
import mlflow
import mlflow.lightgbm
import orjson
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from batch.learn.ranker import TEXT
from batch.tracking.record import Served, Tracked, read_record

AT_ONCE = 100  # of each kind in a call, as the server allows
LONGEST = 5_000  # letters of a value
KEY = "almanac.key"


class Server:
    """A tracking server or a folder's database, for one process."""

    def __init__(self, uri: str, files: str, prefix: str) -> None:
        """Open nothing. `files` is where a folder keeps its files; a server says so itself."""
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self._client = mlflow.MlflowClient()
        self._files, self._prefix = files, re.sub(r"[^\w.-]", "-", prefix)

    def take(self, record: Tracked | Served) -> None:
        """Write a record.

        Raises:
            MlflowException: The server does not answer, or not well.
        """
        if isinstance(record, Served):
            self._move_aliases(record)
        else:
            self._write(record, self._find_experiment(record.experiment))

    def _find_experiment(self, name: str) -> str:
        name = f"{self._prefix}-{name}"
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        place = f"{self._files}/{name}" if self._files else None
        return str(self._client.create_experiment(name, artifact_location=place))

    def _write(self, one: Tracked, experiment: str, parent: str = "") -> None:
        run = self._find_run(one, experiment, parent) if one.key else ""
        if run and parent:
            return
        if not run:
            tags = {"mlflow.parentRunId": parent} if parent else {}
            start = round(one.begun_s * 1000)
            made = self._client.create_run(experiment, start_time=start, tags=tags, run_name=one.name)
            run = str(made.info.run_id)
        self._log(run, one)
        for file in one.files:
            self._client.log_artifact(run, file)
        for part in one.parts:
            self._write(part, experiment, run)
        if one.model:
            self._add_model(run, one)
        elif one.registered:
            self._add_earlier_model(one)
        self._client.set_terminated(run, one.end, end_time=round(one.ended_s * 1000))

    def _find_run(self, one: Tracked, experiment: str, parent: str) -> str:
        """Return the run that has a record's key, under the same parent; empty where there is none."""
        within = f" and tags.`mlflow.parentRunId` = '{parent}'" if parent else ""
        found = self._client.search_runs(
            [experiment], f"tags.`{KEY}` = '{_key(one.key)}'{within}", max_results=1
        )
        return str(found[0].info.run_id) if found else ""

    def _log(self, run: str, one: Tracked) -> None:
        at = round(one.ended_s * 1000)
        tags = {**one.tags, **({KEY: _key(one.key)} if one.key else {})}
        kinds: dict[str, list[Any]] = {
            "metrics": [Metric(name, value, at, 0) for name, value in one.metrics.items()],
            "params": [Param(name, value[:LONGEST]) for name, value in one.parameters.items()],
            "tags": [RunTag(name, value[:LONGEST]) for name, value in tags.items()],
        }
        for kind, values in kinds.items():
            for few in _cut(values):
                self._client.log_batch(run, **{kind: few})

    def _add_model(self, run: str, one: Tracked) -> None:
        """Log the trees with their signature, and register them."""
        trees = lgb.Booster(model_str=(Path(one.model) / TEXT).read_text("utf-8"))
        inputs = Schema([ColSpec("double", name) for name in trees.feature_name()])
        with mlflow.start_run(run_id=run):
            info = mlflow.lightgbm.log_model(
                trees,
                name="model",
                signature=ModelSignature(inputs, Schema([ColSpec("double")])),
                pip_requirements=[f"lightgbm=={version('lightgbm')}"],
            )
        self._register(one, info.model_uri)

    def _add_earlier_model(self, one: Tracked) -> None:
        """Register an earlier run's model once more, for the generation that a refresh made by it."""
        found = self._find_versions(one.registered, "model", one.tags.get("model", ""))
        if found and one.tags.get("generation"):
            self._register(one, found[0].source)

    def _register(self, one: Tracked, source: str) -> None:
        known = ("generation", "root", "model", "facts", "as_of")
        tags = {name: one.tags[name] for name in known if name in one.tags}
        mlflow.register_model(source, one.registered, await_registration_for=0, tags=tags)

    def _move_aliases(self, served: Served) -> None:
        """Point the aliases at the models of what is served, and of what a rollback would go back to.

        One whose generation has no model of ours goes.
        """
        try:
            aliases = self._client.get_registered_model(served.registered).aliases
        except MlflowException as exc:
            if exc.error_code == "RESOURCE_DOES_NOT_EXIST":  # a variant that has no model
                return
            raise
        for alias, generation in (("current", served.current), ("previous", served.previous)):
            found = self._find_versions(served.registered, "generation", str(generation))
            if found:
                self._client.set_registered_model_alias(served.registered, alias, found[0].version)
            elif alias in aliases:
                self._client.delete_registered_model_alias(served.registered, alias)

    def _find_versions(self, registered: str, tag: str, value: str) -> list[Any]:
        """Return the newest version that has a tag: in a store that began anew, so did the generations."""
        wanted, order = f"name = '{registered}' and tags.`{tag}` = '{value}'", ["version_number DESC"]
        return list(self._client.search_model_versions(wanted, 1, order)) if value else []


def _key(text: str) -> str:
    """Return a key as a filter of the server's can hold it."""
    return re.sub(r"[^\w.-]", "-", text)[:LONGEST]


def _cut(values: list[Any]) -> Iterator[list[Any]]:
    for begin in range(0, len(values), AT_ONCE):
        yield values[begin : begin + AT_ONCE]


def main() -> int:
    """Write the records of stdin; a fault is the last line of stderr."""
    asked: Mapping[str, Any] = orjson.loads(sys.stdin.buffer.read())
    try:
        server = Server(asked["uri"], asked["files"], asked["prefix"])
        for record in asked["records"]:
            server.take(read_record(record))
    except Exception as exc:
        sys.stderr.write(f"\n{type(exc).__name__}: {' '.join(str(exc).split())[:500]}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
