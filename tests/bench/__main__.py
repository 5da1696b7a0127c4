"""Measure this machine: `python -m tests.bench NAME --json`, in a checkout with the extras of `dev`.

Each runs the real code at full size and asserts that its results are right before it reports a figure.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace as replace_fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal, get_args

import typer

from api.contract.buckets import epoch
from batch.cli.options import At, Json
from batch.cli.output import Output
from batch.extras import require_extra

IdForm = Literal["numbers", "uuid"]

bench = typer.Typer(help="Measure this machine.", no_args_is_help=True, pretty_exceptions_enable=False)


@bench.command()
def score(
    users: Annotated[int, typer.Option(min=500)] = 163_205,
    posts: Annotated[int, typer.Option(min=100)] = 7_023,
    trees: Annotated[int, typer.Option(min=1)] = 200,
    leaves: Annotated[int, typer.Option(min=2)] = 31,
    buckets: Annotated[int, typer.Option(min=1)] = 24,
    memory_mb: Annotated[int, typer.Option(min=64, help="what scoring may plan with")] = 2_048,
    lleaves: Annotated[bool, typer.Option(help="whether lleaves is installed apart, and timed")] = True,
    json: Json = False,
) -> None:
    """Time exact scoring beside LightGBM's own predict, on the same world and model."""
    from tests.bench.made import Size
    from tests.bench.score import run as measure

    size = Size(n_users=users, n_posts=posts, n_trees=trees, n_leaves=leaves, n_buckets=buckets)
    Output(json=json).emit(measure(size, memory_mb=memory_mb, with_lleaves=lleaves))


@bench.command()
def growth(
    axis: Annotated[
        str, typer.Option(help="posts or users: of whole nights; empty: of exact scoring alone")
    ] = "",
    sizes: Annotated[str, typer.Option(help="of the axis, with commas between")] = "10000,30000,100000",
    other: Annotated[int, typer.Option(min=1, help="users, where posts grow; else posts")] = 20_000,
    days: Annotated[int, typer.Option(min=2, help="of the made feed: five posts a user in each")] = 4,
    facts: Annotated[
        Path | None, typer.Option(help="folder that keeps the made facts for the next time")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="also draw it, as .svg or .png; needs matplotlib")] = None,
    json: Json = False,
) -> None:
    """Time nights of several sizes, or exact scoring by users, posts, buckets, trees and leaves."""
    from tests.bench import axis as nights
    from tests.bench import growth as bench_growth

    if plot is not None:
        require_extra("matplotlib", "plot")
    if axis:
        if axis not in get_args(nights.Axis):
            raise typer.BadParameter(f"{axis!r} is neither posts nor users")
        grown = nights.run(axis, [int(size) for size in sizes.split(",")], other, days, facts)  # type: ignore[arg-type] # checked above
        if plot is not None:
            nights.plot(grown, plot)
        Output(json=json).emit(grown)
        return
    points = list(bench_growth.grow())
    if plot is not None:
        bench_growth.plot(points, plot)
    Output(json=json).emit({f"{point.axis}_{point.at}": point.seconds for point in points})


@bench.command(name="refresh")
def refreshing(
    users: Annotated[int, typer.Option(min=100, help="users with lists and seen posts")] = 163_205,
    share: Annotated[float, typer.Option(min=0.0, max=0.2, help="users who move between two runs")] = 0.01,
    json: Json = False,
) -> None:
    """Time a refresh beside scoring and publishing everything; both must be equal byte for byte."""
    from tests.bench.made import Size
    from tests.bench.refresh import run as measure

    output = Output(json=json)
    output.emit(measure(Size(n_users=users), share))


@bench.command(name="serve")
def serving(
    users: Annotated[int, typer.Option(min=100, help="users with lists and seen posts")] = 163_205,
    seconds: Annotated[float, typer.Option(min=0.5, help="length of each measurement")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, help="how often each app has its turn")] = 5,
    ways: Annotated[bool, typer.Option(help="also measure the ways of serving that were tried")] = True,
    ids: Annotated[
        IdForm, typer.Option(help="of users and posts; the ways tried know numbers only")
    ] = "numbers",
    json: Json = False,
) -> None:
    """Time a feed request beside an empty FastAPI endpoint, a raw ASGI one and the naive route."""
    from tests.bench.serve import run as measure
    from tests.bench.stock import Stock

    output = Output(json=json)
    sizes = replace_fields(Stock(), n_users=users, ids=ids)
    output.emit(measure(sizes=sizes, seconds=seconds, rounds=rounds, with_ways=ways and ids == "numbers"))


@bench.command(name="publish")
def publishing(
    users: Annotated[int, typer.Option(min=100, help="users with lists and seen posts")] = 40_000,
    rounds: Annotated[int, typer.Option(min=1, help="how often each way has its turn")] = 3,
    foreign: Annotated[int, typer.Option(min=0, help="users of somebody else's lists; 0: none")] = 163_205,
    json: Json = False,
) -> None:
    """Time our lists and seen sets beside the same bytes on one raw socket, and somebody else's lists."""
    from tests.bench import foreign as others
    from tests.bench.publish import run as measure
    from tests.bench.stock import Stock

    output = Output(json=json)
    ours = measure(Stock(n_users=users), rounds)
    output.emit(ours | (others.run(foreign) if foreign else {}))


@bench.command()
def inspector(
    users: Annotated[int, typer.Option(min=200, help="users with lists and seen posts")] = 163_205,
    posts: Annotated[int, typer.Option(min=500)] = 7_023,
    rounds: Annotated[int, typer.Option(min=1, help="how often each page is loaded")] = 5,
    json: Json = False,
) -> None:
    """Time the first paint of the inspector's pages in Chromium, and weigh them; needs the extra browser."""
    require_extra("playwright", "browser")
    from tests.bench.inspector import SIZE
    from tests.bench.inspector import run as measure

    Output(json=json).emit(measure(replace_fields(SIZE, n_users=users, n_posts=posts), rounds))


@bench.command()
def night(
    scale: Annotated[
        float, typer.Option(min=0.0001, max=10, help="share of the original's 163,205 users")
    ] = 1.0,
    facts: Annotated[
        Path | None, typer.Option(help="folder that keeps the made facts for the next time")
    ] = None,
    posts: Annotated[int, typer.Option(min=100)] = 7_023,
    warm: Annotated[bool, typer.Option(help="also yesterday's night, and a warm one after it")] = True,
    days: Annotated[int, typer.Option(min=2, help="of the made feed: 421 posts a user in 90")] = 90,
    json: Json = False,
) -> None:
    """Run whole nights on facts in PostgreSQL, cold and warm; both must publish the same lists."""
    from tests.bench.night import run as measure

    Output(json=json).emit(measure(scale, facts, posts, warm=warm, days=days))


@bench.command()
def capacity(
    sizes: Annotated[str, typer.Option(help="users×posts×days of nights, commas between, x for ×")] = (
        "5000x7023x90,16320x7023x90,16320x7023x10,16320x30000x90,49000x7023x90"
    ),
    json: Json = False,
) -> None:
    """Run nights of several sizes, and hold `almanac capacity` to what they took."""
    from tests.bench.capacity import run as measure

    Output(json=json).emit(measure([tuple(map(int, size.split("x"))) for size in sizes.split(",")]))


@bench.command(name="cluster-store")
def cluster_store(
    seconds: Annotated[float, typer.Option(min=10, help="of traffic")] = 600.0,
    rate: Annotated[int, typer.Option(min=6, max=300, help="requests a second")] = 300,
    node_timeout_ms: Annotated[int, typer.Option(min=500, help="after which a node counts as failed")] = 5000,
    moved: Annotated[int, typer.Option(min=1, max=1200, help="slots that move")] = 1000,
    copies: Annotated[int, typer.Option(min=0, max=1, help="ALMANAC_EVENTS_WAIT")] = 1,
    rounds: Annotated[int, typer.Option(min=0, help="pairs of CPU on the cluster and a single store")] = 5,
    json: Json = False,
) -> None:
    """Serve from six nodes while slots move and primaries are killed; judge every answer, compare the CPU."""
    from tests.bench.cluster_store import run as measure

    Output(json=json).emit(measure(seconds, rate, node_timeout_ms, moved, copies, rounds))


@bench.command()
def cluster(
    parts: Annotated[str, typer.Option(help="some of it, with commas between: shards, store; else all")] = "",
    scale: Annotated[
        float, typer.Option(min=0.0001, max=10, help="share of the original's 163,205 users")
    ] = 1.0,
    facts: Annotated[
        Path | None, typer.Option(help="folder that keeps the made facts for the next time, as night's")
    ] = None,
    json: Json = False,
) -> None:
    """Run a night in shards by Ray, and ten minutes of six nodes; needs the extra cluster."""
    require_extra("ray", "cluster")
    from tests.bench.cluster import run as measure

    Output(json=json).emit(measure(parts, scale, facts))


@bench.command()
def renewed(
    data: Annotated[str, typer.Option(help="folder or URL of facts")],
    json: Json = False,
) -> None:
    """Measure what the last week's lists lose by weights and trees of some days before it."""
    from tests.bench.renewed import run as measure

    with TemporaryDirectory(prefix="almanac-renewed-") as folder:
        Output(json=json).emit(measure(data, Path(folder)))


@bench.command()
def tuned(
    data: Annotated[str, typer.Option(help="folder or URL of facts that users chose")] = "ml-100k",
    peer: Annotated[str, typer.Option(help="its name")] = "lightfm_warp",
    cuts: Annotated[int, typer.Option(min=1, help="cut-offs over the second half of the events")] = 5,
    trials: Annotated[int, typer.Option(min=1, help="at each")] = 30,
    timeout: Annotated[float, typer.Option(min=1, help="seconds of each")] = 600.0,
    seeds: Annotated[int, typer.Option(min=1, help="models of either that are asked")] = 3,
    at_once: Annotated[int, typer.Option(min=1, help="cut-offs side by side")] = 1,
    json: Json = False,
) -> None:
    """Measure what a peer gains by values tuned inside each training past."""
    from tests.bench.tuned import Asked
    from tests.bench.tuned import run as measure

    Output(json=json).emit(measure(Asked(data, peer, cuts, trials, timeout, seeds), at_once))


@bench.command()
def frameworks(
    data: Annotated[str, typer.Option(help="folder or URL of facts that users chose")] = "ml-100k",
    python: Annotated[Path, typer.Option(help="of the environment that has RecTools")] = Path(
        ".rectools/bin/python"
    ),
    models: Annotated[str, typer.Option(help="names with commas between; all where empty")] = "",
    cuts: Annotated[int, typer.Option(min=1, help="cut-offs over the second half of the events")] = 5,
    json: Json = False,
) -> None:
    """Measure RecTools' models at the cut-offs of `almanac compare --unseen`."""
    from tests.bench.frameworks import run as measure

    Output(json=json).emit(measure(data, python, tuple(filter(None, models.split(","))), cuts))


@bench.command()
def yardstick(
    sizes: Annotated[
        str, typer.Option(help="ratings, with commas between")
    ] = "200000,1000000,5000000,20000263",
    peers: Annotated[
        str, typer.Option(help="names with commas between")
    ] = "popular_7_days,popular_recent,als",
    folds: Annotated[int, typer.Option(min=1, help="of a week each")] = 1,
    json: Json = False,
) -> None:
    """Measure `almanac compare --protocol rectools-7d` on made folders in the form of MovieLens-20M."""
    from tests.bench.yardstick import run as measure

    for found in measure([int(size) for size in sizes.split(",")], peers, folds):
        Output(json=json).emit(found)


@bench.command()
def nights(
    minutes: Annotated[float, typer.Option(min=1.0, help="how long, from the first generation on")] = 60.0,
    kills: Annotated[int, typer.Option(min=0, help="of database, store and batch, at random")] = 12,
    users: Annotated[int, typer.Option(min=40, help="users of the made world")] = 200,
    seed: Annotated[int, typer.Option(help="of the moments of kills")] = 1,
    json: Json = False,
) -> None:
    """Let `almanac schedule` run short nights while what it stands on is killed, and feeds are asked for."""
    from tests.bench.nights.run import run as measure

    output = Output(json=json)
    found = measure(minutes, kills, users, seed)
    output.emit(found)
    if found["n_wrong"]:
        raise typer.Exit(7)


@bench.command()
def experiments(
    scale: Annotated[
        float, typer.Option(min=0.001, max=10, help="share of 4,000 experiments and 2,000 logs")
    ] = 1.0,
    json: Json = False,
) -> None:
    """Judge made experiments and logs whose truth is known; one process, a quarter of an hour."""
    require_extra("tea_tasting", "experiments")
    from tests.bench.statistics.run import run as measure

    found = measure(scale)
    Output(json=json).emit(found)
    if found["outside"]:
        raise typer.Exit(7)


@bench.command()
def exploration(
    users: Annotated[int, typer.Option(min=100, help="users of each made world")] = 3_000,
    posts: Annotated[
        int, typer.Option(min=100, help="its posts in the end; a tenth more come each night")
    ] = 1_000,
    days: Annotated[int, typer.Option(min=8, help="nights, each with a day of visits after it")] = 14,
    seeds: Annotated[int, typer.Option(min=1, help="how many worlds")] = 5,
    explore: Annotated[str, typer.Option(help="share of places for new posts")] = "1/10",
    variant: Annotated[str, typer.Option(help="whose lists: ours, or a peer's by its name")] = "default",
    trees: Annotated[int, typer.Option(min=1)] = 50,
    plot: Annotated[Path | None, typer.Option(help="also draw it, as .svg or .png; needs matplotlib")] = None,
    json: Json = False,
) -> None:
    """Run two weeks of nights with a place for new posts and without, in made worlds; tell what it brings."""
    from tests.bench.exploration.run import run as measure

    if plot is not None:
        require_extra("matplotlib", "plot")
    Output(json=json).emit(
        measure(users, posts, days, seeds, explore=explore, variant=variant, trees=trees, plot=plot)
    )


@bench.command()
def newcomers(
    users: Annotated[int, typer.Option(min=1_000, help="users of each made world")] = 3_000,
    posts: Annotated[
        int, typer.Option(min=100, help="its posts; a tenth of the others come at once")
    ] = 1_000,
    seeds: Annotated[int, typer.Option(min=0, help="how many worlds; 0: none")] = 3,
    data: Annotated[str, typer.Option(help="folder or URL of rows that users chose, beside worlds")] = "",
    mapping: Annotated[str, typer.Option(help="what the rows are called")] = "",
    cuts: Annotated[int, typer.Option(min=1, help="posts of theirs that are followed")] = 10,
    json: Json = False,
) -> None:
    """Judge lists an hour, six hours and a day after posts came between two full runs, through refreshes."""
    from tests.bench.newcomers.run import run as measure

    Output(json=json).emit(measure(users, posts, seeds, data, mapping, cuts))


@bench.command()
def overlay(
    data: Annotated[str, typer.Option(help="folder or URL of facts, beside made worlds")] = "",
    users: Annotated[int, typer.Option(min=100, help="users of each made world")] = 1_500,
    posts: Annotated[int, typer.Option(min=100, help="its posts")] = 2_000,
    seeds: Annotated[int, typer.Option(min=0, help="worlds of each regime")] = 3,
    places: Annotated[int, typer.Option(min=1, max=20, help="how many a post may move")] = 5,
    json: Json = False,
) -> None:
    """Order the rest of later sessions with the overlay and without, by what was liked in them so far."""
    from tests.bench.overlay import run as measure

    Output(json=json).emit(measure(data, users, posts, seeds, places))


@bench.command()
def traffic(
    url: Annotated[
        str, typer.Option(help="a running API; else one of its own on a store of drawn lists")
    ] = "",
    token: Annotated[str, typer.Option(envvar="ALMANAC_TOKEN", help="brought with every request")] = "",
    users: Annotated[int, typer.Option(min=1, help="users who may come")] = 5_000,
    first_user: Annotated[int, typer.Option(help="the first of their ids, which follow one another")] = 200,
    seconds: Annotated[float, typer.Option(min=1.0, help="how long, on the wall")] = 60.0,
    speed: Annotated[float, typer.Option(min=1.0, help="seconds of the users' time in one of ours")] = 600.0,
    at: At = None,
    takedowns: Annotated[int, typer.Option(min=0, help="posts taken down meanwhile, with --url")] = 0,
    read_only: Annotated[bool, typer.Option("--read-only", help="send no events, with --url")] = False,
    json: Json = False,
) -> None:
    """Play users who come, scroll, like and tell, and judge every answer; needs locust."""
    from tests.bench.stock import Stock
    from tests.bench.traffic.figures import draw
    from tests.bench.traffic.run import Target, own, running
    from tests.bench.traffic.run import run as play

    output = Output(json=json)
    require_extra("locust", "load")
    target: AbstractContextManager[Target] = own(replace_fields(Stock(), n_users=users), lambda *_: None)
    if url:
        who = range(first_user, first_user + users)
        target = nullcontext(running(url, token, who, takedowns=takedowns, tells=not read_only))
    with output.progress.step("traffic"), target as api:
        found = play(api, seconds=seconds, speed=speed, at_s=epoch(at) if at else None)
    output.emit(found, lambda console: draw(console, found))
    if found["n_wrong"]:
        raise typer.Exit(7)


if __name__ == "__main__":
    bench()
