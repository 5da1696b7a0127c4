"""Pictures of results for a terminal: the demo's feeds, a user's list as `inspect` sees it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:  # who only inspects loads nothing that learns: two seconds
    from batch.jobs.demo import DemoResult

WORDS = 200  # characters of a post's text that a line may show, as wide as it is
COMPARED = {  # beside what a made world's lists are shown, and in which words
    "random": "random",
    "popular": "popular",
    "almanac": "Almanac",
    "oracle": "the best possible",
}
MEASURED = {  # the same for real facts, whose truth nobody knows
    "_random5": "random",
    "_popular": "popular",
    "_first5": "as they were shown",
    "": "Almanac",
}


def draw_demo(console: Console, shown: "DemoResult") -> None:
    """Show a feed of each user, one line that compares, and what to try next."""
    for feed in {feed.user_id: feed for feed in shown.feeds}.values():
        title = f"feed of user {escape(str(feed.user_id))} at {feed.at}"
        table = Table(title=title, title_justify="left", box=None, expand=True)
        table.add_column("post", justify="right", min_width=6, no_wrap=True)
        table.add_column("topic", min_width=13, no_wrap=True)
        table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
        for post in feed.posts:
            text = " ".join(str(post["text"]).split())
            table.add_row(escape(str(post["id"])), escape(str(post["topic"])), escape(text[:WORDS]))
        console.print(table, "")
    console.print(compare_lists(shown), "", highlight=False)
    tries = {
        "another feed": f"curl '{shown.api}'",
        **shown.commands,
        "your own data": "make demo DATA=folder-of-csv, and docs/first-day.md",
    }
    console.print("[bold]Try next[/]")
    for what, command in tries.items():
        console.print(f"  {what + ':':<25}{escape(command)}", soft_wrap=True, highlight=False)


def compare_lists(shown: "DemoResult") -> str:
    """Return in one line how good our lists are beside chance, what is popular, and the best there is."""
    if shown.expected_hitrate_at_5:
        title = "Five posts hold one that the user likes"
        found = {word: shown.expected_hitrate_at_5.get(name) for name, word in COMPARED.items()}
    else:
        title = "The first five held a like, last week"
        metrics = shown.run["metrics"]
        assert isinstance(metrics, Mapping)
        found = {word: metrics.get(f"hitrate_at_5{name}") for name, word in MEASURED.items()}
    values = ", ".join(f"{word} {value:.0%}" for word, value in found.items() if value is not None)
    return f"{title}: {values or 'not measured'}"


def draw_inspection(console: Console, found: Mapping[str, object]) -> None:
    """Show what `almanac inspect` found: one line a fact, the newest seen posts last."""
    seen, ranked, answer, down = found["seen"], found["list"], found["answer"], found["taken_down"]
    assert isinstance(seen, Mapping)
    assert isinstance(ranked, list)
    assert isinstance(down, list)
    assert isinstance(answer, Mapping)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    names = ("user_id", "at", "generation", "as_of", "chosen", "bucket", "label", "segment", "list_ttl_s")
    for name in names:
        table.add_row(name, escape(str(found[name])))
    table.add_row(f"list of {len(ranked)}", escape(" ".join(map(str, ranked))))
    table.add_row(f"{len(seen)} seen, newest", escape(" ".join(list(seen)[-10:])))
    table.add_row("taken down", escape(" ".join(map(str, down))) or "none")
    table.add_row(f"answer ({answer['rung']})", escape(" ".join(map(str, answer["post_ids"]))))
    if answer["pinned"]:
        table.add_row("pinned of it", escape(" ".join(map(str, answer["pinned"]))))
    if answer["explored"]:
        table.add_row("explored of it", escape(" ".join(map(str, answer["explored"]))))
    console.print(table)
