"""Pictures of a comparison: tables for a terminal, quality against cost for a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Values = Mapping[str, Any]
COSTS = (("learn s", "fit_s"), ("rank s", "rank_s"), ("MB", "memory_mb"))


def draw_facts(console: Console, found: Values) -> None:
    """Show how everybody ranked the sessions of a split."""
    title = (
        f"{found['n_sessions']} sessions, {found['n_impressions']} shown posts, {found['n_users']} users; "
        "agreement with what was logged, no uplift"
    )
    names = ("ranking", "AUC in session", "ours ahead", "HitRate@5", "ours ahead")
    table = _table(title, *names, *(name for name, _ in COSTS))
    for line in found["standings"]:
        table.add_row(
            line["name"],
            f"{line['auc_in_session']:.3f}",
            _ahead(line["auc_behind"], line["auc_behind_interval"]),
            f"{line['hitrate_at_5']:.3f}",
            _ahead(line["hitrate_behind"], line["hitrate_behind_interval"]),
            *_costs(line["cost"] or {}),
        )
    console.print(table)
    _absent(console, found)


def draw_unseen(console: Console, found: Values) -> None:
    """Show how near everybody's lists came to what warm users liked next."""
    title = (
        f"{len(found['cuts'])} cut-offs, {found['n_lists']} lists of {found['n_users']} warm users; best: "
        + ", ".join(f"{name} ({figure})" for figure, name in found["best_peer"].items())
    )
    figures = {"NDCG@10": "ndcg_at_10", "Recall@10": "recall_at_10"}
    columns = [name for figure in figures for name in (figure, "ours ahead")]
    table = _table(title, "ranking", *columns, *(name for name, _ in COSTS))
    for line in found["ranks"]:
        values = []
        for key in figures.values():
            values += [f"{line[key]:.3f}", _ahead(*line["ahead"][key]) if line["ahead"] else ""]
        table.add_row(line["name"], *values, *_costs(line["cost"]))
    console.print(table)
    _absent(console, found)


def draw_worlds(console: Console, found: Values) -> None:
    """Show how near everybody came to the oracle, by regime."""
    for regime, of in found["regimes"].items():
        low, high = of["attainable_ratio_interval"]
        title = f"{regime}: {of['attainable_ratio']:.3f} [{low:.3f}, {high:.3f}] of what is attainable"
        table = _table(
            title, "ranking", "HitRate@5", "normalised", "95 % interval", *(name for name, _ in COSTS)
        )
        for name, line in of["lines"].items():
            low, high = line["normalized_interval"]
            values = f"{line['hitrate_at_5']:.3f}", f"{line['normalized']:.3f}", f"[{low:.3f}, {high:.3f}]"
            table.add_row(name, *values, *_costs(line))
        console.print(table, "")
    for regime, of in found["taste_halved"].items():
        low, high = of["interval"]
        console.print(
            f"{regime}, taste halved: almanac {of['almanac']:.3f}, popular {of['popular']:.3f}, "
            f"ahead {of['ahead']:+.3f} [{low:+.3f}, {high:+.3f}]"
        )
    _absent(console, found)


def plot(found: Values, file: Path) -> None:
    """Draw quality against seconds to learn, one panel a regime, or one for a comparison on facts.

    Raises:
        ModuleNotFoundError: matplotlib is not installed; see `batch.extras.require_extra`.
    """
    from matplotlib.figure import Figure

    panels = _panels(found)
    figure = Figure(figsize=(5.5 * len(panels), 4.2), layout="constrained")
    for (title, label, points, lines), axes in zip(
        panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True
    ):
        for name, (seconds, quality) in points.items():
            ours = name == "almanac"
            axes.plot(max(seconds, 0.01), quality, "o", color="#b3401f" if ours else "#1f4e79")
            axes.annotate(
                name,
                (max(seconds, 0.01), quality),
                xytext=(4, 3),
                textcoords="offset points",
                fontsize=7,
                weight="bold" if ours else "normal",
            )
        for name, quality in lines.items():
            axes.axhline(quality, linestyle="--", linewidth=0.8, color="#777777")
            axes.annotate(
                name, (0.01, quality), xytext=(2, 2), textcoords="offset points", fontsize=7, color="#777777"
            )
        axes.set(title=title, xlabel="seconds to learn", ylabel=label, xscale="log")
        axes.margins(x=0.15)  # the slowest one's name stands to its right
        axes.grid(visible=True, alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None, "Creator": None})


def _panels(found: Values) -> list[tuple[str, str, dict[str, tuple[float, float]], dict[str, float]]]:
    """Return title, label, points and level lines of each panel."""
    if "ranks" in found:
        points = {line["name"]: (line["cost"]["fit_s"], line["ndcg_at_10"]) for line in found["ranks"]}
        return [("unseen posts", "NDCG@10", points, {})]
    if "standings" in found:
        lines = found["standings"]
        points = {
            line["name"]: (line["cost"]["fit_s"], line["auc_in_session"]) for line in lines if line["cost"]
        }
        level = {line["name"]: line["auc_in_session"] for line in lines if not line["cost"]}
        return [("shown posts", "AUC in session", points, level)]
    panels = []
    for regime, of in found["regimes"].items():
        points = {
            name: (line["fit_s"], line["normalized"])
            for name, line in of["lines"].items()
            if line.get("fit_s") is not None
        }
        level = {name: of["lines"][name]["normalized"] for name in ("oracle", "attainable")}
        panels.append((regime, "HitRate@5, random 0, oracle 1", points, level))
    return panels


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    for name in columns:
        table.add_column(name, justify="left" if name == "ranking" else "right")
    return table


def _ahead(value: float | None, interval: tuple[float, float] | None) -> str:
    return (
        "" if value is None or interval is None else f"{value:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]"
    )


def _costs(cost: Values) -> list[str]:
    return ["" if cost.get(key) is None else f"{cost[key]:.1f}" for _, key in COSTS]


def _absent(console: Console, found: Values) -> None:
    for name, why in found["absent"].items():
        console.print(f"{name} {why}")
