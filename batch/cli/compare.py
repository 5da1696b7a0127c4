"""`almanac compare`: models beside their peers."""

import os
from pathlib import Path
from typing import Annotated

import typer

from batch.cli.options import (
    Aim,
    Candidates,
    Data,
    Json,
    Mapped,
    PerUser,
    TestFrom,
    TestTo,
    read_settings,
    read_span,
)
from batch.cli.output import Output


def compare(
    world: Annotated[bool, typer.Option("--world", help="in made worlds, measured by their truth")] = False,
    data: Data = "",
    mapping: Mapped = "",
    test_from: TestFrom = None,
    test_to: TestTo = None,
    weeks: Annotated[int, typer.Option(min=1, help="tests of a week each from the first day on")] = 1,
    likes_only: Annotated[
        bool, typer.Option("--likes-only", help="ours without the order of what was shown")
    ] = False,
    unseen: Annotated[bool, typer.Option("--unseen", help="lists of all unseen posts, at --cuts")] = False,
    cuts: Annotated[int, typer.Option(min=1, help="cut-offs over the second half of the events")] = 5,
    protocol: Annotated[
        str, typer.Option(help="rectools-7d: RecTools' splits by time, lists of what warm users take next")
    ] = "",
    folds: Annotated[
        int, typer.Option(min=1, help="of --protocol: tests one after the other, to the end")
    ] = 1,
    zoo: Annotated[
        bool, typer.Option("--zoo", help="with every peer that the installed extras allow")
    ] = False,
    peers: Annotated[str, typer.Option(help="names with commas between; where empty as with --zoo")] = "",
    candidates: Candidates = "",
    per_user: PerUser = 0,
    aim: Aim = "",
    users: Annotated[int, typer.Option(min=50, help="of a made world")] = 20_000,
    posts: Annotated[int, typer.Option(min=100, help="of a made world")] = 7_023,
    seeds: Annotated[int, typer.Option(min=1, help="made worlds of each regime")] = 5,
    regime: Annotated[str, typer.Option(help="gaussian, typed or moving; the first two where empty")] = "",
    workers: Annotated[int, typer.Option(min=0, help="made worlds at a time; 0: a core each")] = 0,
    plot: Annotated[Path | None, typer.Option(help="also draw it, as .svg or .png; needs matplotlib")] = None,
    json: Json = False,
) -> None:
    """Rank the same posts by every peer and by ours: how well, how fast, in how much memory."""
    from batch.cli.draw import compared, results
    from batch.evaluate import commands
    from batch.evaluate.worlds import world_configs
    from batch.extras import require_extra
    from batch.store.connection import facts_location
    from batch.tracking.measured import Measured

    output = Output(json=json)
    settings = read_settings(
        mapping=mapping, candidates=candidates, candidates_per_user=per_user, ranker_aim=aim
    )
    if likes_only and (world or unseen or protocol):
        raise typer.BadParameter(
            "--likes-only ranks what a feed showed: leave --world, --unseen and --protocol out"
        )
    if world + unseen + bool(protocol) > 1:
        raise typer.BadParameter("--world, --unseen and --protocol are three ways to compare: name one")
    if zoo and peers:
        raise typer.BadParameter("--zoo is every peer and --peers some: leave one of them out")
    measured = Measured(settings, "compare")
    names = tuple(name.strip() for name in peers.split(",") if name.strip())
    if plot is not None:
        require_extra("matplotlib", "plot")
    draw, progress, location = compared.draw_shown, output.progress, data or facts_location(settings)
    if world:
        configs, n = world_configs(users, posts, seeds, regime), workers or os.cpu_count() or 1
        report = commands.compare_in_worlds(settings, configs, names, n, progress)
        draw = compared.draw_worlds
    elif unseen:
        report = commands.compare_at_cuts(settings, location, cuts, names, progress, measured.note)
        draw = compared.draw_unseen
    elif protocol:
        report = commands.compare_by_protocol(
            settings, location, protocol, folds, names, progress, measured.note
        )
        draw = compared.draw_time_ranges
    else:
        span = read_span(test_from, test_to)
        report = commands.compare(
            settings, location, span, weeks, names, progress, measured.note, likes_only=likes_only
        )
    if plot is not None:
        results.plot(report, plot)
    output.emit({**report.values(), "seconds": progress.seconds}, lambda console: draw(console, report))
    measured.tell_report(report, lambda folder: results.plot(report, folder / "comparison.svg"))
