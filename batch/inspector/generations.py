"""Generations as pages show them: the ledger, one with its gate, the difference of two, who did what."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from api.contract.buckets import moment
from api.contract.ids import as_json
from batch.experiments.registry import find_all, read_log
from batch.inspector.desk import Desk
from batch.inspector.quality import list_quality
from batch.inspector.render import TEXTS
from batch.publish.gate.thresholds import Thresholds
from batch.publish.ledger.entries import entries, show
from batch.publish.pins import find_kind, list_pins
from batch.publish.proof.diff import diff
from batch.publish.replay.history import read_history

SAMPLE = 100  # users of a difference: a page at full size takes 150 ms of CPU, with 200 of them 225
MOST_NOTES = 100


def list_generations(desk: Desk) -> dict[str, Any]:
    """Return the ledger, newest first, how many are gone, what is pinned and taken down, and the notes."""
    found = entries(desk.store, [desk.settings.variant])
    there = [entry for entry in reversed(found) if entry.manifest is not None]
    history = read_history(desk.client, desk.keys, desk.settings.variant)
    kind = find_kind(desk.client, desk.keys, desk.settings.variant)
    return {
        "variant": desk.settings.variant,
        "generations": [_with_memory(entry.row(), entry.manifest) for entry in there],
        "n_gone": len(found) - len(there),
        "quality": list_quality(desk, [entry.manifest for entry in there if entry.manifest is not None]),
        "taken_down": [as_json(post, kind) for post in sorted(history.taken_down)],
        "pins": list_pins(desk.client, desk.keys, desk.settings.variant),
        "notes": read_notes(desk),
    }


def show_generation(desk: Desk, number: int) -> dict[str, Any]:
    """Return one generation: its line, manifest, bytes, and the gate's checks beside their limits.

    Raises:
        LookupError: The store has never numbered it.
    """
    shown = show(desk.store, number, desk.folder, [desk.settings.variant])
    manifest = shown["manifest"] or {}
    gate = manifest.get("gate") or {}
    numbers = [row.generation for row in entries(desk.store, [desk.settings.variant]) if row.manifest]
    return {
        **_with_memory(shown, None),
        "model": manifest.get("model"),
        "features": len(manifest.get("features", ())),
        "seen_policy": manifest.get("seen_policy"),
        "counts": manifest.get("counts", {}),
        "metrics": manifest.get("metrics", {}),
        "checks": gate.get("checks", []),
        "why": gate.get("why"),
        "mode": gate.get("mode"),
        "thresholds": gate.get("thresholds") or asdict(Thresholds()),
        "others": [other for other in numbers if other != number],
        "before": max((other for other in numbers if other < number), default=None),
    }


def compare_generations(desk: Desk, a: int, b: int, user_id: str | None) -> dict[str, Any]:
    """Return how two generations differ, on one user's lists or on a sample drawn by the seed.

    Raises:
        LookupError: One of them is not in the store, or the user has no list in both.
    """
    rng = np.random.default_rng(desk.settings.seed)
    return {**asdict(diff(desk.store, a, b, user_id=user_id, sample=SAMPLE, rng=rng)), "user_id": user_id}


def read_notes(desk: Desk) -> list[dict[str, Any]]:
    """Return who did what when, newest first; who is None where that is not noted."""
    variant = desk.settings.variant
    history, words = read_history(desk.client, desk.keys, variant), TEXTS["notes"]
    names = {manifest.variant for manifest in desk.store.read_sealed().values()} | {variant}
    notes: list[tuple[int, str, str, str]] = [
        (one.from_s, f"generation {one.generation}", words[one.why].format(variant=name), one.who)
        for name in sorted(names)
        for one in desk.store.promotions(name)
    ]
    notes += [
        (at_s, f"generation {number}", words["quarantined"], who)
        for at_s, number, who in desk.store.quarantines()
    ]
    notes += [
        (at_s, f"post {post}", words["down" if is_down else "up"], who)
        for at_s, post, is_down, who in history.takedowns
    ]
    notes += [
        (at_s, f"post {post}", words["pinned"].format(place=pin.place) if pin else words["unpinned"], who)
        for at_s, post, pin, who in history.pinnings
    ]
    rows = [
        {"at": moment(at_s).isoformat(), "of": of, "what": what, "who": who or None}
        for at_s, of, what, who in notes
    ]
    rows += [
        {"of": f"experiment {one.name}", **note}
        for one in find_all(desk.client, desk.keys)
        for note in read_log(desk.client, desk.keys, one.name)
    ]
    newest_last = sorted(rows, key=lambda row: str(row["at"]))  # of a second too, the last last
    return newest_last[: -MOST_NOTES - 1 : -1]


def _with_memory(row: Mapping[str, Any], manifest: Any) -> dict[str, Any]:
    counts = manifest.counts if manifest is not None else (row.get("manifest") or {}).get("counts", {})
    kept = {name: value for name, value in row.items() if name != "manifest"}
    return {
        **kept,
        "planned_mb": _mb(counts.get("bytes_planned")),
        "taken_mb": _mb(counts.get("bytes_taken")),
    }


def _mb(n_bytes: int | None) -> float | None:
    return None if n_bytes is None else round(n_bytes / 2**20, 1)
