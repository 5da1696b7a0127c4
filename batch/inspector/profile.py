"""A user as the store and a generation's inputs know them: segment, what they saw, a model's columns."""

from typing import Any

import orjson
import pyarrow.parquet as pq

from api.contract.buckets import moment
from batch.data.ids import encode_ids
from batch.inspector.around import Shown
from batch.inspector.desk import Desk
from batch.publish.folder import GenerationFolder


def describe_profile(desk: Desk, shown: Shown) -> dict[str, Any]:
    """Return a user's segment by its columns, how much they have seen, what the model knows of them."""
    inside, at_s = shown.inside, shown.inside.found.at_s
    seen = [first_s for first_s in inside.seen.values() if first_s <= at_s]
    parts = (part.partition("=") for part in (inside.found.segment or "").split(",") if part)
    manifest = shown.kept.shared.manifest
    folder = GenerationFolder.of(desk.folder, manifest.generation)
    return {
        "segment": inside.found.segment,
        "columns": {name: value for name, _, value in parts},
        "seen": len(seen),
        "first_seen": moment(min(seen)).isoformat() if seen else None,
        "last_seen": moment(max(seen)).isoformat() if seen else None,
        "list": len(inside.list),
        "list_ttl_s": inside.list_ttl_s,
        "told": read_told(folder, shown.kept.user_key(inside.found.user_id)),
    }


def read_told(folder: GenerationFolder, user_key: str) -> list[dict[str, Any]]:
    """Return the user's own columns of the model: name, value (None: missing), and whether it is a code.

    Empty where the generation's inputs are gone, or hold nothing of the user. One row group is read.
    """
    users, features = folder.inputs / "users.parquet", folder.inputs / "features.json"
    if not users.is_file() or not features.is_file():
        return []
    of_user = [one for one in orjson.loads(features.read_bytes()) if one["side"] == "user"]
    if not of_user:
        return []
    found = pq.read_table(users, columns=["user"], filters=[("user_id", "==", encode_ids([user_key])[0])])
    if not len(found):
        return []
    return [
        {"name": one["name"], "value": None if value != value else value, "is_code": one["categorical"]}
        for one, value in zip(of_user, found["user"][0].as_py(), strict=True)
    ]
