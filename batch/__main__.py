"""The command line `almanac`: assembles the commands, and maps an error to its exit code.

Exit codes: 0 done; 1 a bug of ours; 2 a bad argument, setting or model input, or a folder that cannot be
written or has no room; 3 the facts were refused, or the place where they go;
4 the store does not answer or does not fit; 5 another run is publishing; 6 the gate held a generation
back; 7 a generation is not what it should be; 130 interrupted, stopped by SIGTERM or cancelled.
"""

import os
import sys
import traceback
from pathlib import Path

import typer

from api.address import hide_passwords
from api.variables import find_unknown
from batch.cli.capacity import capacity
from batch.cli.compare import compare
from batch.cli.experiments import app as experiments
from batch.cli.export import export
from batch.cli.facts import app as simulate
from batch.cli.facts import import_
from batch.cli.forget import forget
from batch.cli.generations import app as generations
from batch.cli.history import backfill, evaluate, replay
from batch.cli.lists import publish
from batch.cli.look import inspect, plan, redis_
from batch.cli.output import hide_arguments, keep_traceback, print_error, print_warning
from batch.cli.pins import app as pins
from batch.cli.report import report
from batch.cli.run import features, run, schedule
from batch.cli.runs import app as runs
from batch.cli.serve import demo, serve, store
from batch.cli.shards import prepare, seal
from batch.cli.tokens import app as tokens
from batch.cli.tune import tune
from batch.cli.verdicts import ope
from batch.errors import describe, exit_code_of

COMMANDS = (
    run,
    prepare,
    seal,
    features,
    publish,
    schedule,
    serve,
    store,
    plan,
    capacity,
    inspect,
    report,
    export,
    forget,
    demo,
    evaluate,
    replay,
    backfill,
    compare,
    tune,
    ope,
)

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},  # commands inherit it
)
for command in COMMANDS:
    app.command()(command)
app.command(name="import")(import_)
app.command(name="redis", context_settings={"allow_interspersed_args": False})(redis_)
app.add_typer(simulate, name="simulate")
app.add_typer(tokens, name="tokens")
app.add_typer(generations, name="generations")
app.add_typer(pins, name="pins")
app.add_typer(runs, name="runs")
app.add_typer(experiments, name="experiments")


def main() -> None:
    """Run the command line; every error is one sentence and an exit code."""
    # Before LightGBM loads OpenMP: spinning threads on a shared core made training eight times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Before NumPy loads its BLAS: our threads share out the work; more of its own spin, and change last bits.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for name, nearest in find_unknown().items():
        print_warning(
            f"{name} is no setting and changes nothing", f"did you mean {nearest}?" if nearest else ""
        )
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run the command of these arguments and return its exit code."""
    json = "--json" in arguments
    try:
        return app(arguments, standalone_mode=False) or 0
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except Exception as exc:
        usage = getattr(exc, "format_message", None)  # Typer's own errors, whose class moved between versions
        exit_code = 2 if usage is not None else exit_code_of(exc)
        folder = Path(os.environ.get("ALMANAC_STATE_DIR") or ".almanac")
        said = usage() if usage is not None else describe(exc, folder)
        sentence = " ".join(hide_arguments(said, arguments).split())
        if exit_code == 1:
            place = keep_traceback(traceback.format_exc(), folder)
            sentence = (
                f"{type(exc).__name__}: {hide_passwords(str(exc))} (a bug: its traceback is in {place})"
            )
        return print_error(sentence, json=json, exit_code=exit_code)


if __name__ == "__main__":
    main()
