"""`almanac tune`: values of a peer's knobs, or of ours, that rank later likes best."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch.cli.options import Data, Json, Mapped, read_settings
from batch.cli.output import Output, as_table

if TYPE_CHECKING:
    import optuna

STUDIES, TUNED = "tuning.db", "tuned.toml"


def tune(
    model: Annotated[str, typer.Argument(help="a peer's name, or almanac for our own model")],
    data: Data = "",
    mapping: Mapped = "",
    trials: Annotated[int, typer.Option(min=1, help="that the study shall have")] = 30,
    timeout: Annotated[float, typer.Option(min=1, help="seconds after which no trial begins")] = 600.0,
    study: Annotated[str, typer.Option(help="SQLAlchemy URL of studies; else in ALMANAC_STATE_DIR")] = "",
    out: Annotated[Path | None, typer.Option(help="TOML file for the values; else there")] = None,
    plots: Annotated[Path | None, typer.Option(help="folder for history.svg and importance.svg")] = None,
    json: Json = False,
) -> None:
    """Tune a model on splits in time inside the facts, and write what `run` takes by ALMANAC_TUNED."""
    from batch.extras import require_extra

    require_extra("optuna", "tune")
    if plots is not None:
        require_extra("matplotlib", "tune")
    from batch.evaluate.commands import tune_model
    from batch.learn.baselines.knobs import write_tuned
    from batch.store.connection import facts_location
    from batch.tracking.measured import Measured

    output, settings = Output(json=json), read_settings(mapping=mapping)
    measured = Measured(settings, "tune")
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    url = study or f"sqlite:///{settings.state_dir / STUDIES}"
    file = out or settings.state_dir / TUNED
    location = data or facts_location(settings)
    found = tune_model(settings, location, model, trials, timeout, url, output.progress, measured.note)
    write_tuned(file, model, found.given)
    if plots is not None:
        _plot(found.study, plots)
    values = {
        "model": found.model,
        "metric": found.metric,
        **found.figures,
        "usual_values": found.usual,
        "best_values": found.given,
        "file": str(file),
        "seconds": output.progress.seconds,
    }
    output.emit(values, lambda console: console.print(as_table(values)))
    measured.tell_study(found, lambda folder: _plot(found.study, folder))


def _plot(study: "optuna.Study", folder: Path) -> None:
    """Draw each trial and the best so far; and, of two trials or more that differ, what each knob matters."""
    import warnings

    import matplotlib as mpl

    mpl.use("agg")  # the one that Optuna asks for; the name of a file makes it a vector all the same
    from matplotlib import pyplot as plt
    from optuna.visualization import matplotlib as draw

    drawn: dict[str, Callable[[optuna.Study], object]] = {"history": draw.plot_optimization_history}
    if len({trial.value for trial in study.trials if trial.value is not None}) > 1:
        drawn["importance"] = draw.plot_param_importances
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls its plots experimental
        for name, plot in drawn.items():
            plot(study)
            plt.savefig(folder / f"{name}.svg", bbox_inches="tight")
            plt.close()
