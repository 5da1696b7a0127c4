"""The report as one file: the data, the model's metrics beside simple lines, users' histories and lists."""

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from api.contract.buckets import moment
from api.contract.ids import check_id
from api.contract.manifest import Manifest
from batch.data.columns import TEXT, TOPIC
from batch.inspector.around import Shown, answer_wish
from batch.inspector.data import show_data
from batch.inspector.desk import Desk
from batch.inspector.feed import rungs_of
from batch.inspector.posts import read_posts
from batch.inspector.render import render_file
from batch.inspector.wish import Wish
from batch.learn.chosen import describe_choice
from batch.overview.kept import read_views
from batch.publish.replay.seen import liked_times, seen_times

N_DRAWN, LIMIT, N_HISTORY = 3, 10, 10
CUT = 80  # characters of a text
LINES = {
    "ours": "",
    "popular": "_popular",
    "lately": "_recent",
    "knn": "_knn",
    "first": "_first5",
    "random": "_random5",
}
METRICS = ("hitrate_at_5", "auc_in_session")


def collect_report(desk: Desk, users: Sequence[str], seed: int) -> dict[str, Any]:
    """Return all that the file shows; nothing is read but the store and what runs have kept.

    Args:
        desk: Where to read.
        users: Whose histories and lists; empty: three who are drawn.
        seed: Of the draw.

    Raises:
        NothingServed: Nothing is published under the variant.
        LookupError: The generation does not know one of the users; ValueError: that is no id.
    """
    manifest = desk.store.current(desk.settings.variant)
    there = desk.store.user_ids(manifest.generation)
    chosen = list(users) or random.Random(seed).sample(there, min(N_DRAWN, len(there)))  # noqa: S311 - no secret
    data = show_data(desk, None)["data"]
    return {
        "generation": manifest.generation,
        "variant": manifest.variant,
        "as_of": moment(manifest.as_of_s).isoformat(),
        "model": manifest.model,
        "chosen": describe_choice(manifest.metrics),
        "made": moment(int(desk.now())).isoformat(),
        "data": data,
        "columns": data["columns"] if data else dict.fromkeys((TEXT, TOPIC), ""),
        "test": {name: manifest.metrics.get(f"test_{name}") for name in ("sessions", "impressions")},
        "metrics": list_metrics(manifest.metrics),
        "users": [_show_user(desk, manifest, check_id(user)) for user in chosen],
    }


def write_report(report: Mapping[str, Any], path: Path) -> int:
    """Write a report as one HTML file, whole or not at all; return its bytes.

    Raises:
        OSError: It cannot be written.
    """
    page = render_file("report", report).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(page)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return len(page)


def list_metrics(metrics: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return a row for each line that was measured: `name`, and of each metric value, low and high, or None.

    The AUC of random is one half, whatever the facts; where users chose there is no order of an old feed. Of
    a generation without an evaluation there is no row.
    """
    known = {name: value for name, value in metrics.items() if value is not None and math.isfinite(value)}
    known["auc_in_session_random5"] = 0.5
    rows = [
        {
            "name": name,
            **{of: [known.get(f"{of}{end}{side}") for side in ("", "_low", "_high")] for of in METRICS},
        }
        for name, end in LINES.items()
        if f"{METRICS[0]}{end}" in known and not (name == "first" and known.get("of_choices"))
    ]
    return rows if METRICS[0] in known else []


def _show_user(desk: Desk, manifest: Manifest, user: str) -> dict[str, Any]:
    """Return a user's newest history and their list, now or, outside the horizon, as of its facts."""
    starts, now_s = manifest.horizon.starts, int(desk.now())
    is_inside = starts[0] <= now_s < starts[-1] + manifest.horizon.width_s
    at_s = now_s if is_inside else max(starts[0], manifest.as_of_s)
    shown = answer_wish(desk, Wish(user, at_s, LIMIT, manifest.variant, generation=manifest.generation))
    found = shown.inside.found
    if not found.own and found.segment is None:
        raise LookupError(
            f"user {user[:60]!r} has no lists in generation {manifest.generation}: "
            "give --users others, or none"
        )
    history = _read_history(desk, shown, at_s)
    texts = read_posts(desk, manifest.generation, shown.given.posts, CUT)
    listed = [{"rung": rung, **post} for rung, post in zip(rungs_of(found, shown.given), texts, strict=True)]
    views = read_views(desk.runs.folder, [post["key"] for post in (*history["newest"], *listed)])
    for post in (*history["newest"], *listed):
        post["views"] = views.get(post["key"])
    return {
        "id": found.user_id,
        "segment": found.segment,
        "at": moment(at_s).isoformat(),
        "rung": shown.given.rung,
        **history,
        "list": listed,
    }


def _read_history(desk: Desk, shown: Shown, at_s: int) -> dict[str, Any]:
    """Return how much a user has seen and liked up to a time, and the newest of it, newest first."""
    manifest, who = shown.kept.shared.manifest, shown.kept.user_key(str(shown.inside.found.user_id))
    seen, liked = (
        {
            post: first_s
            for post, first_s in of(desk.client, desk.keys, who, manifest).items()
            if first_s <= at_s
        }
        for of in (seen_times, liked_times)
    )
    newest = list(seen)[-N_HISTORY:][::-1]
    numbers = {post: shown.kept.shared.number_of(post) for post in newest}
    there = [number for number in numbers.values() if number is not None]
    texts = {post["key"]: post for post in read_posts(desk, manifest.generation, there, CUT)}
    rows = [
        {
            **texts.get(post, {"id": post, "key": post, "topic": "", "text": "", "is_cut": False}),
            "when": moment(seen[post]).isoformat(),
            "is_liked": post in liked,
        }
        for post in newest
    ]
    return {"n_seen": len(seen), "n_liked": len(liked), "newest": rows}
