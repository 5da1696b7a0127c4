"""Overviews of made facts: as a run keeps them, and one whose every text wants to be more than a text."""

from pathlib import Path
from typing import Any

import orjson

from batch.data.facts import Facts
from batch.data.ids import IdNames
from batch.data.mapping import Mapping
from batch.features.profile import segments
from batch.overview.counts import count_events
from batch.overview.kept import write_overview, write_post_counts
from batch.overview.overview import make_overview
from batch.runs.runs import Runs
from tests.facts import even_likes_even

Samples = dict[str, list[dict[str, Any]]]


def overview_of(
    facts: Facts, mapping: Mapping | None = None, samples: Samples | None = None
) -> dict[str, Any]:
    """Return the overview of facts, as a page reads it."""
    by = segments(facts.users, ("gender",))
    found = make_overview(facts, count_events(facts), mapping or Mapping(), by, samples or {})
    told: dict[str, Any] = orjson.loads(orjson.dumps(found))
    return told


def hostile_facts(text: str) -> Facts:
    """Make facts in which ids, topics, texts, profiles, kinds and reasons hold a text."""
    facts = even_likes_even(n_users=30, n_posts=20, days=5)
    users = IdNames.of("text", [f"{text} {k}" for k in range(30)])
    facts.users["user_id"], facts.users["gender"] = sorted(users.codes), text
    facts.users[text] = None
    facts.posts["topic"] = facts.posts["text"] = text
    far = {"code": sorted(users.codes)[:2], "n": [7, 6]}
    spread: dict[str, Any] = {
        "n": 30,
        "n_zero": 28,
        "mean": 6.5,
        "max": 7,
        "p25": 6,
        "p50": 6,
        "p75": 7,
        "p90": 7,
        "p99": 7,
    }
    spread |= {"fence": 3.0, "n_far": 2, "bins": [{"from": 4, "to": 7, "n": 2}]}
    top = {"code": [1, 2], "n": [9, 4]}
    line = {"rows": 13, "users": 2, "posts": 2, "also": 2, "per_user": spread, "top_posts": top, "far": far}
    facts.kinds.extend({"name": name, **line} for name in ("look", f"{text} cart", "bought"))
    facts.report.rejected.update(bad_target=2, missing_user=1)
    facts.report.read[text] = 99
    return Facts(**{**{name: getattr(facts, name) for name in facts.__slots__}, "user_names": users})


def keep_run(state_dir: Path, facts: Facts, samples: Samples | None = None) -> int:
    """Record a full run that has counted facts; return its number."""
    runs = Runs(state_dir)
    number = runs.begin("full", "default")
    write_overview(runs.overview_of(number), {"run": number, **overview_of(facts, samples=samples)})
    write_post_counts(runs.folder, facts, count_events(facts))
    runs.end(number, "done")
    return number
