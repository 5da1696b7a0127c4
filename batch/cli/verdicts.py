"""Commands of what an experiment or a log tells: a verdict, a plan, what a policy is worth. No logic."""

import time
from pathlib import Path
from typing import Annotated

import typer

from batch.cli.options import Data, Json, Mapped, read_settings
from batch.cli.output import Output
from batch.extras import require_extra

REFUSED = 3  # as of facts: what came in is no ground for a figure

Table = Annotated[Path | None, typer.Option(help="CSV, JSON lines or Parquet with one row a user")]
Kinds = Annotated[
    str, typer.Option(help="columns to count, as in views,likes; else those whose names are known")
]
ArmColumn = Annotated[str, typer.Option("--arm", help="column that names the arm")]
Alpha = Annotated[
    float, typer.Option(min=0.0001, max=0.5, help="how often a test may find what is not there")
]


def report(
    name: Annotated[str, typer.Argument(help="experiment of the store; else --table")] = "",
    table: Table = None,
    data: Data = "",
    mapping: Mapped = "",
    arm: ArmColumn = "arm",
    control: Annotated[str, typer.Option(help="arm to compare with; else the first")] = "",
    kinds: Kinds = "",
    shares: Annotated[
        str, typer.Option(help="planned shares, the control's first, as in 50,50; else equal ones")
    ] = "",
    aa: Annotated[bool, typer.Option("--aa", help="all arms were served the same")] = False,
    alpha: Alpha = 0.05,
    tuned_for: Annotated[
        int, typer.Option(min=100, help="users at which the always-valid interval is narrowest")
    ] = 10_000,
    html: Annotated[Path | None, typer.Option(help="also write it as a page to this file")] = None,
    json: Json = False,
) -> None:
    """Say what an experiment says: are the arms as planned, and which metrics differ."""
    require_extra("tea_tasting", "experiments")
    from batch.cli.draw.verdicts import draw_verdict
    from batch.experiments.commands import report_table
    from batch.experiments.comparisons import Terms
    from batch.experiments.page import write_page
    from batch.jobs.report import report as report_stored
    from batch.store.connection import connect_store

    output, terms, chosen = Output(json=json), Terms(alpha=alpha, tuned_for=tuned_for), _split(kinds)
    if table is not None and not name:
        title, of = table.name, _split_numbers(shares)
        found = report_table(table, terms, arm=arm, control=control, kinds=chosen, shares=of, is_aa=aa)
    elif name and table is None and not shares:
        title, settings = name, read_settings(mapping=mapping)
        with connect_store(settings, output.progress) as store:
            found = report_stored(
                settings,
                store,
                name,
                terms,
                output.progress,
                int(time.time()),
                data=data,
                control=control,
                kinds=chosen,
                is_aa=aa,
            )
    else:
        raise typer.BadParameter("give the name of an experiment, whose shares are known, or a --table")
    if html is not None:
        html.write_text(write_page(found, f"Verdict on {title}"), "utf-8")
    output.emit(found.values(), lambda console: draw_verdict(console, found))
    if not found.sample_ratio.is_kept:
        raise typer.Exit(REFUSED)


def plan(
    table: Table = None,
    kinds: Kinds = "",
    arm: ArmColumn = "arm",
    data: Data = "",
    mapping: Mapped = "",
    lift: Annotated[float, typer.Option(min=0.01, max=900, help="percent that is to be found")] = 5.0,
    users: Annotated[int, typer.Option(min=0, help="users of both arms; 0: as many as come")] = 0,
    power: Annotated[float, typer.Option(min=0.1, max=0.999, help="how often the lift is to be found")] = 0.8,
    alpha: Alpha = 0.05,
    share: Annotated[float, typer.Option(min=1, max=99, help="percent of the users in the treatment")] = 50.0,
    json: Json = False,
) -> None:
    """Say how many users and days an experiment takes, by what users did lately or by a table."""
    require_extra("tea_tasting", "experiments")
    from batch.cli.draw.verdicts import draw_plan
    from batch.experiments.commands import plan_from_facts, plan_from_table
    from batch.experiments.power import Wish
    from batch.store.connection import facts_location

    output = Output(json=json)
    wish = Wish(lift / 100, power, alpha, share / 100, users or None)
    if table is not None:
        found = plan_from_table(table, wish, kinds=_split(kinds), arm=arm)
    else:
        settings = read_settings(mapping=mapping)
        found = plan_from_facts(settings, data or facts_location(settings), wish, output.progress)
    output.emit(found.values(), lambda console: draw_plan(console, found))


def ope(
    name: Annotated[str, typer.Argument(help="experiment of the store; else --table")] = "",
    policy: Annotated[
        Path | None, typer.Option(help="of NAME: table of the other policy: post_id, target, perhaps user_id")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="of NAME: also write what was drawn to this file")] = None,
    data: Data = "",
    mapping: Mapped = "",
    table: Annotated[
        Path | None, typer.Option(help="CSV, JSON lines or Parquet with one row an action shown")
    ] = None,
    reward: Annotated[str, typer.Option(help="column of what an action earned")] = "reward",
    propensity: Annotated[str, typer.Option(help="column of the chance it was drawn with")] = "propensity",
    target: Annotated[
        str, typer.Option(help="column of the other policy's probability, or a number")
    ] = "target",
    model_reward: Annotated[
        str, typer.Option(help="column of what a model expects of the action; else model_reward")
    ] = "",
    model_value: Annotated[
        str, typer.Option(help="column of what it expects of the other policy; else model_value")
    ] = "",
    user: Annotated[str, typer.Option(help="column of the user; else each row stands for itself")] = "",
    alpha: Alpha = 0.05,
    anyway: Annotated[bool, typer.Option("--anyway", help="estimate although too few rows count")] = False,
    json: Json = False,
) -> None:
    """Estimate what another policy would have earned, from actions drawn with known probabilities."""
    require_extra("tea_tasting", "experiments")
    from batch.cli.draw.verdicts import draw_off_policy
    from batch.experiments.commands import ope_table
    from batch.jobs.draws import evaluate_draws
    from batch.store.connection import connect_store

    output = Output(json=json)
    if table is not None and not name and policy is None and out is None:
        names = {"reward": reward, "propensity": propensity, "target": target}
        models = {"model_reward": model_reward, "model_value": model_value}
        found = ope_table(table, names, models, user=user, alpha=alpha, anyway=anyway)
    elif name and table is None:
        settings = read_settings(mapping=mapping)
        with connect_store(settings, output.progress) as store:
            found = evaluate_draws(
                settings,
                store,
                name,
                output.progress,
                int(time.time()),
                policy=policy,
                out=out,
                data=data,
                alpha=alpha,
                anyway=anyway,
            )
    else:
        raise typer.BadParameter("give the name of an experiment, and perhaps its --policy, or a --table")
    output.emit(found.values(), lambda console: draw_off_policy(console, found))
    if found.refused and not anyway:
        raise typer.Exit(REFUSED)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _split_numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in _split(text)]
    except ValueError:
        raise ValueError(f"--shares {text!r} are no numbers: write them as in 50,50") from None
