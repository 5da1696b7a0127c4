"""The result frame as one kind of table on terminals, and as a plot of quality against cost in a file."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console
from rich.table import Table

from batch.evaluate.results import ALL, Metric, Report

OURS, POPULAR = "almanac", "popular"
AUC: Metric = ("auc_in_session", 0)
COSTS: tuple[Metric, ...] = (("fit_s", 0), ("rank_s", 0), ("memory_mb", 0))
TITLES = {AUC[0]: "AUC in session", "ndcg_achievable": "ndcg", "fit_s": "learn s", "rank_s": "rank s"}
CAPPED = "almanac_capped"
PRICE: tuple[Metric, ...] = (("expected_likes", 10), ("recall", 10), ("topics", 10), ("diversity", 10))
MADE_OF = ("coverage", "novelty", "diversity", "most_shown")


class Look(NamedTuple):
    """What a table of a protocol shows.

    Attributes:
        title: Above it; names in braces are of the frame's first row, or of the report's `cold`.
        full: Metrics with their intervals and distances.
        plain: Metrics without.
        grouped: Metrics of a second table, ours by group.
        digits: Of values; of costs it is 1.
    """

    title: str
    full: tuple[Metric, ...]
    plain: tuple[Metric, ...] = ()
    grouped: tuple[Metric, ...] = ()
    digits: int = 3


EVALUATED = {
    "shown": Look(
        "shown posts, {n_lists:,} sessions of {n_users:,} users; agreement with what was logged",
        (AUC,),
        (("hitrate", 5), ("ndcg", 10), ("map", 10), ("mrr", 10)),
        (AUC, ("hitrate", 5)),
    ),
    "all_posts": Look(
        "all unseen posts, {n_lists:,} lists of {n_users:,} users; liked later is relevant",
        (("ndcg", 10),),
        tuple((name, 10) for name in ("hitrate", "recall", "mrr", *MADE_OF)),
        (("ndcg", 10), ("recall", 10)),
        digits=4,
    ),
    "truth": Look(
        "the same lists by the made world's truth, {n_lists:,} of {n_users:,} users",
        (("normalized", 5),),
        tuple(("expected_hitrate", k) for k in (5, 1, 10)),
    ),
    "next_like": Look(
        "posts like the one liked last, {n_lists:,} lists of {n_users:,} users; the next like is relevant",
        (("mrr", 10),),
        (("recall", 5), ("recall", 10)),
        digits=4,
    ),
    "cold.users": Look(
        "users held out entirely, {n_lists:,} sessions of {n_users:,} users",
        (AUC,),
        (("hitrate", 5), ("ndcg", 10)),
    ),
    "cold.posts": Look(
        "posts held out entirely, pairs that hold one, in {n_lists:,} sessions of {n_users:,} users", (AUC,)
    ),
    "cold.exposure": Look(
        "share of the first ten places; {share_of_posts:.1%} of all posts, {share_of_likes:.1%} of likes",
        (("share_of_top", 10),),
    ),
}


def draw_evaluation(console: Console, report: Report) -> None:
    """Show a full evaluation; the JSON holds every metric at every cut-off, and every interval."""
    data, origins = report.about["data"], report.about["origins"]
    days = [origins[0]["test_from"], origins[-1]["test_to"]]
    console.print(
        f"{data['users']:,} users ({data['users_without_profile']:,} without a profile), {data['posts']:,} "
        f"posts by {data['texts']}, {data['impressions']:,} impressions",
        f"{len(origins)} test(s) from {' to '.join(day[:16].replace('T', ' ') for day in days)}; "
        "95 % intervals over users; 'ahead' is of popular, paired\n",
        sep="\n",
        highlight=False,
    )
    for protocol, look in EVALUATED.items():
        frame = report.results[report.results["protocol"] == protocol]
        if frame.empty:
            continue
        whole = frame[frame["segment"] == ALL]
        look = look._replace(plain=(*look.plain, *_of_kinds(report, protocol)))
        title = look.title.format(**whole.iloc[0].to_dict(), **(report.about["cold"] or {}))
        draw_table(console, look._replace(title=title), whole, POPULAR, distance="ahead")
        if look.grouped:
            groups = frame[(frame["segment"] != ALL) & (frame["model"] == OURS)]
            grouped = Look("of these, almanac by group", look.grouped, digits=look.digits)
            draw_table(console, grouped, groups, POPULAR, "segment", distance="ahead")
    undone = [kind for kind, n in (report.about["kinds"] or {}).items() if not n]
    if undone:
        console.print(f"left out: {', '.join(undone)}; nobody did so in the test with a post new to them")
    _print_capped(console, report.results)


def _of_kinds(report: Report, protocol: str) -> Iterator[Metric]:
    """Yield HitRate@5 by each kind of like that the test holds."""
    if protocol == "all_posts":
        for kind, n in (report.about["kinds"] or {}).items():
            if n:
                yield f"hitrate_{kind}", 5


def _print_capped(console: Console, frame: pd.DataFrame) -> None:
    """Say what the cap on topics costs, and what it brings: ours with it against ours without."""
    rows = frame[(frame["model"] == CAPPED) & (frame["against"] == OURS) & (frame["segment"] == ALL)]
    for name, k in PRICE:
        for row in rows[(rows["metric"] == name) & (rows["k"] == k)].itertuples():
            console.print(
                f"the cap on topics moves {name}@{k} by {row.value:+.4f} [{row.low:+.4f}, {row.high:+.4f}]",
                highlight=False,
            )


def draw_ages(console: Console, report: Report) -> None:
    """Show quality by the age of the lists, and what each age lost against fresh lists."""
    title = "{n_sessions:,} sessions of {n_users:,} users, {n_impressions:,} impressions".format(
        **report.about
    )
    look = Look(title, (AUC, ("hitrate", 5)))
    draw_table(console, look, report.results, f"{OURS}_0h", distance="lost", ordered=False)


def draw_table(
    console: Console,
    look: Look,
    frame: pd.DataFrame,
    reference: str,
    by: str = "model",
    *,
    distance: str = "ours ahead",
    ordered: bool = True,
) -> None:
    """Draw rows of the result frame, one line a model or a segment.

    Args:
        console: Where to.
        look: Title and metrics.
        frame: Rows of one protocol; of one segment, or of one model where lines are segments.
        reference: The model that distances are from or to.
        by: `model` or `segment`.
        distance: Head of the columns of distances.
        ordered: Best first by the first metric, where lines are models.
    """
    found: dict[tuple[str, bool, str, int], Any] = {}
    for row in frame.itertuples(index=False):
        other = by == "model" and row.against and row.model == reference
        found[row.against if other else getattr(row, by), bool(row.against), row.metric, row.k] = row
    labels = list(dict.fromkeys(label for label, *_ in found))
    if ordered and by == "model":
        values = [getattr(found.get((label, False, *look.full[0])), "value", math.nan) for label in labels]
        order = pd.Series(values, labels).sort_values(ascending=False, kind="stable", na_position="last")
        labels = list(order.index)
    table = Table(box=None)
    table.add_column("ranking" if by == "model" else "group")
    for name, k in (*look.full, *look.plain):
        title = TITLES.get(name, name.replace("_", " "))
        table.add_column(f"{title}@{k}" if k else title, justify="right")
        if (name, k) in look.full:
            table.add_column(distance, justify="right")
    for label in labels:
        cells = []
        for metric in (*look.full, *look.plain):
            form, whole = f".{1 if metric in COSTS else look.digits}f", metric in look.full
            cells.append(_cell(found.get((label, False, *metric)), form, interval=whole))
            if whole:
                cells.append(_cell(found.get((label, True, *metric)), f"+{form}", interval=True))
        table.add_row(label, *cells, style="bold" if label == OURS else "")
    console.print(look.title, table, "", sep="\n", highlight=False)


def plot(report: Report, file: Path) -> None:
    """Draw quality against seconds to learn, one panel a regime, or one for a comparison on facts.

    Raises:
        ModuleNotFoundError: matplotlib is not installed; see `batch.extras.require_extra`.
    """
    from matplotlib.figure import Figure

    panels = _panels(report.results)
    figure = Figure(figsize=(5.5 * len(panels), 4.2), layout="constrained")
    for (title, quality, seconds), axes in zip(
        panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True
    ):
        for name, value in quality.items():
            bold = {"weight": "bold"} if name == OURS else {}
            if name in seconds:
                at, color = (max(seconds[name], 0.01), value), "#b3401f" if name == OURS else "#1f4e79"
                axes.plot(*at, "o", color=color)
                axes.annotate(name, at, xytext=(4, 3), textcoords="offset points", fontsize=7, **bold)
            else:
                axes.axhline(value, linestyle="--", linewidth=0.8, color="#777777")
                axes.annotate(name, (0.01, value), xytext=(2, 2), textcoords="offset points", fontsize=7)
        axes.set(title=title, xlabel="seconds to learn", ylabel=quality.name, xscale="log")
        axes.margins(x=0.15)  # the slowest one's name stands to its right
        axes.grid(visible=True, alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None, "Creator": None})


def _panels(results: pd.DataFrame) -> list[tuple[str, pd.Series, pd.Series]]:
    """Return title, quality by model and seconds to learn by model of each panel."""
    values = results[results["against"] == ""].set_index("model")
    worlds = [name for name in values["segment"].unique() if name in ("gaussian", "typed")]
    panels = []
    for segment in worlds or [ALL]:
        own = values[values["segment"] == segment]
        metric = next(m for m in ("normalized", "ndcg_achievable", AUC[0]) if m in set(own["metric"]))
        quality = own.loc[own["metric"] == metric, "value"].rename(metric)
        title = segment if worlds else f"{own['protocol'].iloc[0]} posts"
        panels.append((title, quality, own.loc[own["metric"] == "fit_s", "value"]))
    return panels


def _cell(row: Any, form: str, *, interval: bool) -> str:
    if row is None or math.isnan(row.value):
        return ""
    bounds = f" [{row.low:{form}}, {row.high:{form}}]" if interval and not math.isnan(row.low) else ""
    return f"{row.value:{form}}{bounds}"
