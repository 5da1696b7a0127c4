"""What was heard as figures, and as a table for people. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Heard = Mapping[str, Any]


def figures(heard: Heard) -> dict[str, object]:
    """Return what was heard as figures by name; latencies in milliseconds.

    A failure is any answer but 200, or none. `generator_cpu` is the share of one core that playing took: near
    1 the latencies are its own.
    """
    took_ms, statuses = heard["took_ms"], heard["statuses"]
    every = [took for route in took_ms.values() for took in route]
    took_s = heard["took_s"]
    return {
        "routes": {route: _route(took_ms[route], statuses[route]) for route in sorted(took_ms)},
        "all": _route(every, sum((Counter(counts) for counts in statuses.values()), Counter())),
        "requests_per_s": round(len(every) / took_s, 1),
        "wrong": heard["wrong"],
        "wrong_told": heard["told"],
        "n_wrong": sum(heard["wrong"].values()),
        "people": heard["did"],
        "rungs": heard["rungs"],
        "degraded": heard["degraded"],
        "events": heard["events"],
        "takedowns": heard["takedowns"],
        "requests_by_hour": heard["hours"],
        "generator_cpu": round(heard["cpu_s"] / took_s, 2),
        "took_s": round(took_s, 1),
    }


def draw(console: Console, found: Mapping[str, Any]) -> None:
    """Draw figures as tables: routes, then what people did and got, then what was wrong."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("route", "requests", "failures", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(column, justify="left" if column == "route" else "right", no_wrap=True)
    for route, row in (*found["routes"].items(), ("all", found["all"])):
        latencies = (f"{row[name]:.2f}" for name in ("p50_ms", "p95_ms", "p99_ms"))
        table.add_row(escape(route), f"{row['requests']:,}", f"{row['failures']:,}", *latencies)
    console.print(table)
    console.print(f"{'statuses':<18}{_said(found['all']['statuses'])}")
    for name in ("people", "events", "rungs", "degraded", "requests_by_hour", "wrong"):
        console.print(f"{name.replace('_', ' '):<18}{_said(found[name]) or 'none'}")
    console.print(
        f"{found['requests_per_s']:,} requests/s for {found['took_s']} s; "
        f"playing took {found['generator_cpu']} of a core"
    )
    for told in found["wrong_told"]:
        console.print(f"[red]wrong[/] {escape(told)}")


def _route(took_ms: Sequence[float], statuses: Mapping[str, int]) -> dict[str, object]:
    p50, p95, p99 = np.percentile(took_ms or [float("nan")], (50, 95, 99)).tolist()
    return {
        "requests": len(took_ms),
        "failures": sum(n for status, n in statuses.items() if status != "200"),
        "statuses": dict(sorted(statuses.items())),
        "p50_ms": round(p50, 3),
        "p95_ms": round(p95, 3),
        "p99_ms": round(p99, 3),
    }


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items())
