"""An evaluation in full, on a terminal: tables of shown posts, all posts, the truth, groups, the cold."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from batch.evaluate.cold import EXPOSED
from batch.evaluate.full import Evaluation
from batch.evaluate.results import Figure
from batch.evaluate.section import Group, Section

OURS, POPULAR = "almanac", "popular"
AUC = "auc_in_session"
SHOWN = ("hitrate_at_5", "ndcg_at_10", "map_at_10", "mrr_at_10")
LISTED = ("hitrate_at_10", "recall_at_10", "mrr_at_10")
MADE_OF = ("coverage_at_10", "novelty_at_10", "diversity_at_10", "most_shown_at_10")
TOLD = ("expected_hitrate_at_1", "expected_hitrate_at_10")
FINE = 4  # digits where all values are small


def draw_evaluation(console: Console, found: Evaluation) -> None:
    """Show what was measured; the JSON holds every metric at every cut-off, and every interval."""
    data, origins = found.data, found.origins
    console.print(
        f"{data.users:,} users ({data.users_without_profile:,} without a profile), {data.posts:,} posts by "
        f"{data.texts}, {data.impressions:,} impressions",
        f"{len(origins)} test(s) from {_day(origins[0].test_from)} to {_day(origins[-1].test_to)}; "
        "95 % intervals over users; 'ahead' is of popular, paired\n",
        sep="\n",
        highlight=False,
    )
    if found.shown:
        posts = "shown posts" if data.views == "impressions" else "posts that users took"
        what = posts + ", {n_lists:,} sessions of {n_users:,} users; agreement with what was logged"
        _section(console, what, found.shown, AUC, SHOWN)
        _groups(console, found.shown, (AUC, "hitrate_at_5"))
    if found.all_posts:
        what = "all unseen posts, {n_lists:,} lists of {n_users:,} users; liked later is relevant"
        _section(console, what, found.all_posts, "ndcg_at_10", LISTED + MADE_OF, FINE)
        _groups(console, found.all_posts, ("ndcg_at_10", "recall_at_10"), FINE)
    if found.truth:
        what = "the same lists by the made world's truth, {n_lists:,} of {n_users:,} users"
        _section(console, what, found.truth, "normalized_at_5", ("expected_hitrate_at_5", *TOLD))
    if found.cold:
        _cold(console, found)


def _cold(console: Console, found: Evaluation) -> None:
    assert found.cold is not None
    cold = found.cold
    if cold.users:
        what = "users held out entirely, {n_lists:,} sessions of {n_users:,} users"
        _section(console, what, cold.users, AUC, ("hitrate_at_5", "ndcg_at_10"))
    if cold.posts:
        what = "posts held out entirely, pairs that hold one, in {n_lists:,} sessions of {n_users:,} users"
        _section(console, what, cold.posts, AUC, ())
    if cold.exposure:
        share, likes = cold.share_of_posts, cold.share_of_likes
        what = f"their share of the first ten places; of all posts they are {share:.1%}, of likes {likes:.1%}"
        _section(console, what, cold.exposure, EXPOSED, ())


def _section(
    console: Console, what: str, of: Section, first: str, others: Sequence[str], digits: int = 3
) -> None:
    """Draw one row a ranking, best first: the first metric with interval and distance, others plain."""
    title = what.format(n_lists=of.n_lists, n_users=of.n_users)
    table = Table(box=None)
    table.add_column("ranking")
    for name in (_said(first), "ahead", *map(_said, others)):
        table.add_column(name, justify="right")
    lines = {name: of.lines[name] for name in of.lines if of.lines[name]}
    for name in sorted(lines, key=lambda name: _order(lines[name].get(first))):
        figures = lines[name]
        cells = [_ranged(figures.get(first), digits), _ahead(figures.get(first), digits)]
        table.add_row(
            name, *cells, *(_plain(figures.get(metric), digits) for metric in others), style=_style(name)
        )
    console.print(title, table, "", sep="\n", highlight=False)


def _groups(console: Console, of: Section, metrics: Sequence[str], digits: int = 3) -> None:
    """Draw one row a segment and one a warmth: ours, and how far ahead of popular it is there."""
    table = Table(box=None)
    table.add_column("group")
    for name in ("lists", "users", *(name for metric in metrics for name in (_said(metric), "ahead"))):
        table.add_column(name, justify="right")
    for kind, groups in (("", of.by_segment), ("past impressions ", of.by_warmth)):
        for name, group in groups.items():
            table.add_row(*_group(f"{kind}{name}" if kind else f"segment {name}", group, metrics, digits))
    console.print("of these, almanac by group", table, "", sep="\n", highlight=False)


def _group(name: str, group: Group, metrics: Sequence[str], digits: int) -> list[str]:
    own = [group.lines[OURS].get(metric) for metric in metrics]
    cells = [text for figure in own for text in (_ranged(figure, digits), _ahead(figure, digits))]
    return [name, f"{group.n_lists:,}", f"{group.n_users:,}", *cells]


def _day(text: str) -> str:
    return text[:16].replace("T", " ")


def _order(figure: Figure | None) -> float:
    return -figure.value if figure and not math.isnan(figure.value) else math.inf


def _style(name: str) -> str:
    return "bold" if name == OURS else ""


def _said(metric: str) -> str:
    """Write `ndcg_at_10` as `ndcg@10`."""
    return metric.replace("_at_", "@").replace("_", " ")


def _plain(figure: Figure | None, digits: int) -> str:
    return "" if figure is None or math.isnan(figure.value) else f"{figure.value:.{digits}f}"


def _ranged(figure: Figure | None, digits: int) -> str:
    if figure is None or figure.interval is None or math.isnan(figure.value):
        return _plain(figure, digits)
    low, high = figure.interval
    return f"{figure.value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _ahead(figure: Figure | None, digits: int) -> str:
    if figure is None or figure.ahead is None or figure.ahead_interval is None or math.isnan(figure.ahead):
        return ""
    low, high = figure.ahead_interval
    return f"{figure.ahead:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
