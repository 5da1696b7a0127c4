"""The command line `almanac`: parse, configure, call; no logic.

Exit codes: 0 done; 1 a bug of ours; 2 a bad argument, setting or model input; 3 the facts were refused;
4 the store does not answer or does not fit; 5 another run is publishing; 6 the gate held a generation
back; 7 a generation is not what it should be; 130 interrupted.
"""

import os
import sys
import time
import traceback
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from api.contract.buckets import epoch
from batch.cli.compare import bench, compare
from batch.cli.exits import exit_code_of
from batch.cli.history import COMMANDS
from batch.cli.options import At, Data, Json, Mapped, Replace
from batch.cli.output import Teller, complain, keep_traceback
from batch.cli.tokens import app as tokens
from batch.jobs.stop import told_to_stop
from batch.settings import Settings, with_mapping, with_variant

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (*COMMANDS, compare):
    app.command()(command)
app.add_typer(bench, name="bench")
app.add_typer(tokens, name="tokens")


@app.command()
def simulate(
    users: Annotated[int, typer.Option(min=1)] = 2_000,
    posts: Annotated[int, typer.Option(min=100)] = 7_023,
    seed: Annotated[int, typer.Option(min=0)] = 42,
    taste: Annotated[float, typer.Option(min=0.0, help="strength of tastes; 1: as in the real rows")] = 1.0,
    regime: Annotated[str, typer.Option(help="gaussian or typed")] = "gaussian",
    to: Annotated[str, typer.Option(help="folder or SQLAlchemy URL; else where `almanac run` reads")] = "",
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Make a world of users, posts and a feed, calibrated to the StartML rows."""
    from batch.data.sink import write
    from batch.simulate.config import WorldConfig
    from batch.simulate.feed import tables
    from batch.store.connection import facts_location

    teller, settings = Teller(json=json), Settings.from_env()
    config = WorldConfig(users, posts, seed, regime, taste)  # type: ignore[arg-type] # checked by the class
    with teller.progress.step("simulate") as advance:
        rows = write(
            to or facts_location(settings), tables(config), replace=replace, progress=lambda _, n: advance(n)
        )
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    (settings.state_dir / "world.json").write_text(config.to_json())
    teller.tell({"rows": rows, "seconds": teller.progress.seconds})


@app.command(name="import")
def import_(
    source: Annotated[str, typer.Argument(help="folder or SQLAlchemy URL to read")],
    to: Annotated[str, typer.Option(help="folder or SQLAlchemy URL; else where `almanac run` reads")] = "",
    mapping: Mapped = "",
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Check facts and copy them to where runs read them."""
    from batch.data.copy import copy
    from batch.data.mapping import Mapping
    from batch.store.connection import facts_location

    teller, settings = Teller(json=json), Settings.from_env()
    with teller.progress.step("import") as advance:
        report = copy(
            source,
            to or facts_location(settings),
            mapping=Mapping.load(mapping or settings.mapping),
            rejects=settings.state_dir / "rejects.jsonl",
            max_rejected_share=settings.max_rejected_share,
            now_s=int(time.time()),
            replace=replace,
            progress=lambda _, n: advance(n),
        )
    teller.tell({**asdict(report), "seconds": teller.progress.seconds})


@app.command()
def run(
    data: Data = "",
    mapping: Mapped = "",
    test_from: Annotated[datetime | None, typer.Option(help="first test day; else the last week's")] = None,
    test_to: Annotated[datetime | None, typer.Option(help="day after the last test day")] = None,
    evaluate: Annotated[bool, typer.Option(help="measure on the split before training on all")] = True,
    incremental: Annotated[
        bool,
        typer.Option("--incremental", help="score only what moved since the last run, where that will do"),
    ] = False,
    variant: Annotated[
        str, typer.Option(help="publish under this name; a peer's name publishes that peer's lists")
    ] = "",
    json: Json = False,
) -> None:
    """Read facts, train, score every user × post × bucket, and publish one generation."""
    from batch.jobs.full import run as run_once
    from batch.jobs.refresh.incremental import run_incremental
    from batch.learn.split import Split
    from batch.store.connection import connected, facts_location

    teller, settings = Teller(json=json), with_mapping(Settings.from_env(), mapping)
    settings = with_variant(settings, variant)
    split = Split(epoch(test_from), epoch(test_to or datetime.max)) if test_from else None  # noqa: DTZ901 - no end
    with connected(settings) as store:
        location = data or facts_location(settings)
        if incremental:
            told = run_incremental(
                settings, store, location, teller.progress, split=split, evaluated=evaluate
            )
        else:
            told = asdict(
                run_once(settings, store, location, teller.progress, split=split, evaluated=evaluate)
            )
    teller.tell(told)


@app.command()
def schedule(
    data: Data = "",
    at_start: Annotated[bool, typer.Option(help="run once before the first time of ALMANAC_SCHEDULE")] = True,
    json: Json = False,
) -> None:
    """Run at the times of ALMANAC_SCHEDULE, refresh at those of ALMANAC_REFRESH_SCHEDULE, until SIGTERM."""
    from batch.jobs.full import run as run_once
    from batch.jobs.refresh.incremental import run_incremental
    from batch.jobs.schedule import Job, run_forever, scheduler
    from batch.store.connection import connected, facts_location

    teller, settings = Teller(json=json), Settings.from_env()
    with connected(settings) as store:
        location = data or facts_location(settings)
        what = (settings, store, location, teller.progress)
        jobs = [Job("run", "ALMANAC_SCHEDULE", settings.schedule, partial(run_once, *what))]
        if settings.refresh_schedule:
            again = partial(run_incremental, *what, evaluated=False)
            jobs.append(Job("refresh", "ALMANAC_REFRESH_SCHEDULE", settings.refresh_schedule, again))
        run_forever(scheduler(jobs, at_start=at_start))
    teller.tell({"stopped": True})


@app.command()
def serve(
    host: Annotated[str, typer.Option(envvar="ALMANAC_HOST")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="ALMANAC_PORT", min=1, max=65535)] = 8000,
    json: Json = False,
) -> None:
    """Serve the current generation over HTTP until Ctrl-C."""
    from batch.jobs.api_process import environment, serve_forever
    from batch.store.connection import store_url

    teller, settings = Teller(json=json), Settings.from_env()
    with store_url(settings) as url:
        exit_code = serve_forever(environment(settings, url, host, port))
    teller.tell({"stopped": True})
    raise typer.Exit(exit_code)


@app.command()
def store(json: Json = False) -> None:
    """Keep the embedded store up, for `redis-cli`, until Ctrl-C."""
    from batch.store.connection import store_url

    teller, settings = Teller(json=json), Settings.from_env()
    with store_url(settings) as url:
        teller.tell({"url": url, "look": f"redis-cli -u {url}"})
        told_to_stop().get()


@app.command()
def plan(
    users: Annotated[int, typer.Option(min=1)] = 163_205,
    posts: Annotated[int, typer.Option(min=1)] = 7_023,
    seen: Annotated[int, typer.Option(min=0, help="posts a user has seen")] = 421,
    likes: Annotated[int, typer.Option(min=0, help="posts a user has liked")] = 50,
    text_bytes: Annotated[int, typer.Option(min=0, help="length of a post as it is answered")] = 1_200,
    json: Json = False,
) -> None:
    """Predict what a run will take in this store, from a probe of a second or two, and whether it fits."""
    import numpy as np

    from api.contract.keys import Keys
    from batch.publish.memory.plan import Sizes
    from batch.publish.memory.probe import planned
    from batch.store.connection import connected

    teller, settings = Teller(json=json), Settings.from_env()
    sizes = Sizes.of_numbers(
        users=users,
        posts=posts,
        buckets=settings.n_buckets,
        depth=settings.depth,
        seen=seen,
        likes=likes,
        text_bytes=text_bytes,
    )
    with connected(settings) as client:
        rng = np.random.default_rng(settings.seed)
        found = planned(client, Keys(settings.prefix), sizes, settings.generations_kept, rng)
    teller.tell(found.values())
    if found.refusal():
        raise typer.Exit(4)


@app.command()
def inspect(user: Annotated[int, typer.Argument(help="user id")], at: At = None, json: Json = False) -> None:
    """Show a user's list at a time, what he has seen, and what the API would answer."""
    from batch.cli.draw.demo import draw_inspection
    from batch.jobs.inspect import inspect as look
    from batch.store.connection import connected

    teller, settings = Teller(json=json), Settings.from_env()
    with connected(settings) as client:
        found = look(client, settings, user, epoch(at) if at else int(time.time()))
    teller.tell(found, lambda console: draw_inspection(console, found))


@app.command()
def demo(
    data: Data = "",
    once: Annotated[bool, typer.Option("--once", help="end after the feeds are printed")] = False,
    users: Annotated[int, typer.Option(min=3, help="users of the made world")] = 1_000,
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    json: Json = False,
) -> None:
    """Make a world (or read --data), train, publish, serve, and print three users' feeds."""
    from batch.cli.draw.demo import draw_demo
    from batch.jobs.demo import demo as show
    from batch.simulate.config import WorldConfig

    teller, settings = Teller(json=json), Settings.from_env()
    with show(settings, data, WorldConfig(n_users=users, seed=settings.seed), teller, host, port) as shown:
        teller.tell(shown.values(), lambda console: draw_demo(console, shown))
        if not once:
            told_to_stop().get()


def main() -> None:
    """Run the command line; every error is one sentence and an exit code."""
    # Before LightGBM loads OpenMP: spinning threads on a shared core made training eight times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(_guarded(sys.argv[1:]))


def _guarded(arguments: list[str]) -> int:
    json = "--json" in arguments
    try:
        if arguments[:1] in (["generations"], ["--help"], []):  # it loads the publisher: not for each command
            from batch.cli.generations import app as generations

            app.add_typer(generations, name="generations")
        return app(arguments, standalone_mode=False) or 0
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except Exception as exc:
        usage = getattr(exc, "format_message", None)  # Typer's own errors, whose class moved between versions
        if usage is not None:
            return complain(usage(), json=json, exit_code=2)
        exit_code = exit_code_of(exc)
        if exit_code != 1:
            return complain(" ".join(str(exc).split()), json=json, exit_code=exit_code)
        place = keep_traceback(
            traceback.format_exc(), Path(os.environ.get("ALMANAC_STATE_DIR") or ".almanac")
        )
        return complain(
            f"{type(exc).__name__}: {exc} (a bug: its traceback is in {place})", json=json, exit_code=1
        )


if __name__ == "__main__":
    main()
