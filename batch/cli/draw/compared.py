"""Comparisons on terminals: a table of each protocol, what others published, and who is best."""

from rich.console import Console

from batch.cli.draw.results import AUC, COSTS, OURS, TITLES, Look, draw_table
from batch.evaluate.results import ALL, Report


def draw_shown(console: Console, report: Report) -> None:
    """Show how everybody ranked the sessions of a split."""
    title = "{n_sessions:,} sessions, {n_impressions:,} shown posts, {n_users:,} users".format(**report.about)
    draw_table(console, Look(title, (AUC, ("hitrate", 5)), COSTS), report.results, OURS)
    _print_end(console, report)


def draw_unseen(console: Console, report: Report) -> None:
    """Show how near everybody's lists came to what warm users liked next."""
    title = "{n_lists:,} lists of {n_users:,} warm users".format(**report.about)
    look = Look(
        f"{len(report.about['cuts'])} cut-offs, {title}", (("ndcg_achievable", 10), ("recall", 10)), COSTS
    )
    draw_table(console, look, report.results[report.results["segment"] == ALL], OURS)
    _print_end(console, report)


def draw_time_ranges(console: Console, report: Report) -> None:
    """Show how near all came to what warm users took in the folds, and what others published."""
    folds = report.about["folds"]
    days = f"{folds[0]['test_from'][:10]} to {folds[-1]['test_to'][:10]}"
    title = f"{len(folds)} fold(s) from {days}, " + "{n_lists:,} lists of {n_users:,} warm users".format(
        **report.about
    )
    plain = tuple((name, 10) for name in ("map", "recall", "hitrate", "coverage"))
    look = Look(title, (("ndcg_achievable", 10),), (*plain, *COSTS))
    draw_table(console, look, report.results[report.results["segment"] == ALL], OURS)
    _print_published(console, report)
    _print_end(console, report)


def _print_published(console: Console, report: Report) -> None:
    """Print published figures as such, with their source, and on how much they were measured."""
    published = report.about["published"]
    if published is None:
        return
    for source in dict.fromkeys(bar["source"] for bar in published["bars"]):
        console.print(f"published, not measured here, by {source}:", highlight=False)
        for bar in published["bars"]:
            if bar["source"] == source:
                name = TITLES.get(bar["metric"], bar["metric"])
                console.print(f"  {name}@{bar['k']} {bar['value']:.3f}  {bar['model']}", highlight=False)
    fold, sizes = report.about["folds"][-1], "{n_interactions:,} interactions, {n_train:,} before the test"
    console.print(
        f"the first on {sizes} and {{n_test:,}} in it;".format(**published),
        f"here on {report.about['n_interactions']:,}, {fold['n_train']:,} and {fold['n_test']:,}"
        ": levels compare where these are the same\n",
        highlight=False,
    )


def draw_worlds(console: Console, report: Report) -> None:
    """Show how near everybody came to the oracle, by regime."""
    low, high = report.about["attainable_ratio_interval"]
    ratio = report.about["attainable_ratio"]
    console.print(f"{ratio:.3f} [{low:.3f}, {high:.3f}] of what is attainable", highlight=False)
    unknown = ", ".join(report.about["attainable_unknown"])
    console.print(
        f"Attainable knows how the world is made, and has to find as all do: {unknown}", highlight=False
    )
    for segment, frame in report.results.groupby("segment", sort=False):
        if segment != ALL and not segment[-1].isdigit():  # a seed's
            look = Look(segment, (("normalized", 5),), (("expected_hitrate", 5), *COSTS))
            draw_table(console, look, frame, OURS)
    _print_end(console, report)


def _print_end(console: Console, report: Report) -> None:
    """Say who is best, and who took no part."""
    console.print(report.about["best"], highlight=False)
    for name, why in report.about["absent"].items():
        console.print(f"{name} {why}")
