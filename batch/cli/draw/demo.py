"""Pictures of results for a terminal: the demo's feeds and lines, a user's list as `inspect` sees it."""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from batch.jobs.demo import DemoResult

LINES = {
    "": "almanac",
    "_random5": "five at random (exact)",
    "_popular": "popular",
    "_knn": "item kNN (cosine)",
    "_first5": "first five shown",
    "_estimate": "almanac, factors alone",
    "_trees_alone": "trees alone",
    "_position_fixed": "almanac, position fixed",
    "_oracle": "oracle (the world's truth)",
}
WORDS = 70  # characters of a post's text that a line shows


def draw_demo(console: Console, shown: DemoResult) -> None:
    """Show three users' feeds, the metrics beside their lines, and what to type to look inside."""
    for feed in shown.feeds:
        table = Table(title=f"user {feed.user_id} at {feed.at} ({feed.rung})", title_justify="left", box=None)
        table.add_column("post", justify="right", min_width=6)
        table.add_column("topic", min_width=13)
        table.add_column("text", no_wrap=True, overflow="ellipsis")
        for post in feed.posts:
            text = " ".join(str(post["text"]).split())
            table.add_row(str(post["id"]), str(post["topic"]), escape(text[:WORDS]))
        console.print(table, "")
    metrics = shown.run["metrics"]
    if isinstance(metrics, Mapping) and metrics:
        console.print(lines(metrics), "")
    if shown.expected_hitrate_at_5:
        console.print(
            "HitRate@5 of five posts out of all, by the world's truth: "
            + ", ".join(f"{name} {value:.3f}" for name, value in sorted(shown.expected_hitrate_at_5.items())),
            "",
        )
    console.print(f"ask it:      curl '{shown.api}'", soft_wrap=True, highlight=False)
    for command in shown.commands:
        console.print(f"look inside: {command}", soft_wrap=True, highlight=False)


def lines(metrics: Mapping[str, float]) -> Table:
    """Return HitRate@5 and AUC in session of ours and of every line drawn beside it."""
    title = (
        f"last week's shown posts: {metrics['test_sessions']:.0f} sessions, "
        f"{metrics['test_impressions']:.0f} impressions, AUC {metrics['auc']:.3f}"
    )
    table = Table(title=title, title_justify="left", box=None, min_width=72)
    for name in ("ranking", "HitRate@5", "AUC in session"):
        table.add_column(name, justify="left" if name == "ranking" else "right")
    for suffix, name in LINES.items():
        values = [metrics.get(f"{metric}{suffix}") for metric in ("hitrate_at_5", "auc_in_session")]
        if values != [None, None]:
            table.add_row(name, *("–" if value is None else f"{value:.3f}" for value in values))
    return table


def draw_inspection(console: Console, found: Mapping[str, object]) -> None:
    """Show what `almanac inspect` found: one line a fact, the newest seen posts last."""
    seen, ranked, answer = found["seen"], found["list"], found["answer"]
    assert isinstance(seen, Mapping)
    assert isinstance(ranked, list)
    assert isinstance(answer, Mapping)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name in ("user_id", "at", "generation", "as_of", "bucket", "label", "segment", "list_ttl_s"):
        table.add_row(name, str(found[name]))
    table.add_row(f"list of {len(ranked)}", " ".join(map(str, ranked)))
    table.add_row(f"{len(seen)} seen, newest", " ".join(list(seen)[-10:]))
    table.add_row("taken down", " ".join(map(str, found["taken_down"])) or "none")  # type: ignore[call-overload]
    table.add_row(f"answer ({answer['rung']})", " ".join(map(str, answer["post_ids"])))
    console.print(table)
