"""Commands that keep experiments: create, list, show, start, stop, archive. Parse, call, print."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch.cli.options import Json, read_settings
from batch.cli.output import Output, as_table

if TYPE_CHECKING:
    import redis

    from api.contract.experiment import Experiment
    from api.contract.keys import Keys

Name = Annotated[str, typer.Argument(help="name of the experiment")]


@contextmanager
def _desk(output: Output) -> Iterator[tuple["redis.Redis", "Keys"]]:
    """Give the store and the keys."""
    from batch.store.connection import connect_store

    settings = read_settings()
    with connect_store(settings, output.progress) as store:
        yield store, settings.keys


def create(
    definition: Annotated[Path, typer.Argument(help="TOML file that defines it")], json: Json = False
) -> None:
    """Keep an experiment as a draft; nobody is served otherwise until it is started."""
    from batch.experiments import registry
    from batch.experiments.definition import read_definition
    from batch.store.who import who_am_i

    output = Output(json=json)
    one = read_definition(definition)
    with _desk(output) as desk:
        output.emit(registry.describe(registry.create(*desk, one, who_am_i(), time.time())))


def list_(
    every: Annotated[bool, typer.Option("--all", help="those too that are archived")] = False,
    json: Json = False,
) -> None:
    """List the experiments by name."""
    from batch.experiments.registry import describe, find_all

    output = Output(json=json)
    with _desk(output) as desk:
        rows = [describe(one) for one in find_all(*desk) if every or one.state != "archived"]
    short = [{name: row[name] for name in ("name", "state", "start", "end", "routes")} for row in rows]
    output.emit({"experiments": rows}, lambda c: c.print(as_table({"experiments": short or "none"})))


def show(name: Name, json: Json = False) -> None:
    """Show an experiment, and who did what to it when."""
    from batch.experiments import registry

    output = Output(json=json)
    with _desk(output) as desk:
        output.emit({**registry.describe(registry.find(*desk, name)), "log": registry.read_log(*desk, name)})


def start(name: Name, json: Json = False) -> None:
    """Let a draft run: from the next request on its arms' variants answer."""
    from batch.experiments.registry import start as act

    _act(act, name, json=json)


def stop(name: Name, json: Json = False) -> None:
    """End an experiment for good, from the next request on."""
    from batch.experiments.registry import stop as act

    _act(act, name, json=json)


def archive(name: Name, json: Json = False) -> None:
    """Leave an experiment out of the list; what was recorded of it stays."""
    from batch.experiments.registry import archive as act

    _act(act, name, json=json)


def _act(
    act: Callable[["redis.Redis", "Keys", str, str, float], "Experiment"], name: str, *, json: bool
) -> None:
    from batch.experiments.registry import describe
    from batch.store.who import who_am_i

    output = Output(json=json)
    with _desk(output) as desk:
        output.emit(describe(act(*desk, name, who_am_i(), time.time())))
