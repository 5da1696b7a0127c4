"""An evaluation, a comparison or a study of tuning, to what a tracking server is told of it."""

import importlib.util
import logging
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from batch.data.facts import Facts
from batch.evaluate.results import ALL, Report
from batch.evaluate.tune import Tuned
from batch.extras import require_extra
from batch.jobs.refresh.digests import digest_inputs
from batch.settings import Settings
from batch.tracking.hand_over import hand_over
from batch.tracking.record import End, Tracked
from batch.tracking.runs import as_numbers, as_text

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

Draw = Callable[[Path], object]  # draws plots into a folder


class Measured:
    """A command that measures, from its begin to what is told of it; without a tracker it does nothing."""

    def __init__(self, settings: Settings, command: str) -> None:
        """Take note of when it begins.

        Raises:
            LookupError: It is to be tracked, and the package for that is not installed.
        """
        self._settings, self._command = settings, command
        self._begun_s, self._facts = time.time(), ""
        self.is_on = bool(settings.tracking.get_secret_value())
        if self.is_on:
            require_extra("mlflow", "track")

    def note(self, facts: Facts) -> None:
        """Take note of the facts that were read."""
        if self.is_on:
            self._facts = digest_inputs(facts).fingerprint

    def tell_report(self, report: Report, draw: Draw | None = None) -> None:
        """Tell what was measured, the whole result frame as a file; `draw` is asked where matplotlib is."""
        if not self.is_on:
            return
        whole = self._whole("evaluations")
        parts = [replace(whole, name=name, metrics=values) for name, values in _by_model(report.results)]
        parts = [replace(part, parameters={}, tags={**part.tags, "of": part.name}) for part in parts]
        about = as_text({f"about.{name}": value for name, value in report.about.items()})
        whole = replace(whole, parameters={**whole.parameters, **about}, parts=tuple(parts))
        with tempfile.TemporaryDirectory() as name:
            report.results.to_csv(Path(name) / "results.csv", index=False)
            self._send(whole, Path(name), draw)

    def tell_study(self, found: Tuned, draw: Draw | None = None) -> None:
        """Tell a study's trials, those that an earlier command made included; each is told of once."""
        if not self.is_on:
            return
        whole = self._whole("tuning")
        trials = [_of_trial(trial, whole) for trial in found.study.trials if trial.state.is_finished()]
        values = {f"usual.{name}": value for name, value in found.usual.items()}
        values |= {f"best.{name}": value for name, value in found.given.items()}
        whole = replace(
            whole,
            name=f"tune {found.model}",
            key=found.study.study_name,
            metrics=as_numbers(found.figures),
            parameters={**whole.parameters, **as_text(values)},
            tags={**whole.tags, "of": found.model, "metric": found.metric},
            parts=tuple(trials),
        )
        with tempfile.TemporaryDirectory() as name:
            self._send(whole, Path(name), draw)

    def _whole(self, experiment: str) -> Tracked:
        return Tracked(
            experiment,
            self._command,
            "FINISHED",
            self._begun_s,
            time.time(),
            parameters=as_text(self._settings.plain),
            tags=as_text({"kind": self._command, "facts": self._facts}),
        )

    def _send(self, whole: Tracked, folder: Path, draw: Draw | None) -> None:
        if draw is not None and importlib.util.find_spec("matplotlib") is not None:
            try:
                draw(folder)
            except Exception as exc:  # a plot is not worth the command
                log.warning("tracking.failed", extra={"n": 0, "why": f"{type(exc).__name__}: {exc}"})
        files = tuple(map(str, sorted(folder.iterdir())))
        hand_over(self._settings, [replace(whole, files=files)])


def _by_model(frame: pd.DataFrame) -> list[tuple[str, dict[str, float]]]:
    """Return each model's figures with their intervals, over all lists where there is a figure of all."""
    frame = frame[frame["against"] == ""]
    frame = frame[frame["segment"] == ALL] if (frame["segment"] == ALL).any() else frame
    n_protocols, found = frame["protocol"].nunique(), dict[str, dict[str, float]]()
    for row in frame.itertuples(index=False):
        name = f"{row.metric}_at_{row.k}" if row.k else str(row.metric)
        named = [
            *([row.protocol] if n_protocols > 1 else []),
            *([row.segment] if row.segment != ALL else []),
            name,
        ]
        figures = {"": row.value, "_low": row.low, "_high": row.high}
        values = {"/".join(map(str, named)) + end: value for end, value in figures.items()}
        found.setdefault(str(row.model), {}).update(as_numbers(values))
    return list(found.items())


def _of_trial(trial: "optuna.trial.FrozenTrial", whole: Tracked) -> Tracked:
    begun_s, ended_s = (
        whole.begun_s if at is None else at.timestamp()
        for at in (trial.datetime_start, trial.datetime_complete)
    )
    states: dict[str, End] = {"COMPLETE": "FINISHED", "PRUNED": "KILLED"}
    numbers: dict[str, Any] = {
        name: value for name, value in trial.user_attrs.items() if name.endswith("_seconds")
    }
    value = math.nan if trial.value is None else trial.value
    return Tracked(
        whole.experiment,
        f"trial {trial.number}",
        states.get(trial.state.name, "FAILED"),
        begun_s,
        ended_s,
        parameters=as_text(trial.params),
        metrics=as_numbers({"value": value, **numbers}),
        tags={**whole.tags, "state": trial.state.name.lower()},
        key=str(trial.number),
    )
