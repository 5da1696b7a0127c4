"""Posts as pages show them: id, topic, and as much of the text as a row has room for."""

from collections.abc import Sequence
from typing import Any

import orjson

from api.contract.ids import canonical
from batch.inspector.desk import Desk
from batch.store import read

CUT = 200  # characters of a text in a row


def read_posts(desk: Desk, generation: int, numbers: Sequence[int], cut: int = CUT) -> list[dict[str, Any]]:
    """Return posts by their numbers: `id`, `key` (the canonical id), `topic`, `text` and whether it `is_cut`.

    A post that the generation has lost is its number, without a text.
    """
    if not numbers:
        return []
    found = desk.client.hmget(desk.keys.posts(generation), [str(number) for number in numbers])
    manifest = desk.store.need_manifest(generation)
    shown = []
    for number, text in zip(numbers, found, strict=True):
        post = orjson.loads(read.narrow(text)) if text else {"id": number}
        whole = str(post.get("text", ""))
        shown.append(
            {
                "id": post["id"],
                "key": canonical(str(post["id"]), manifest.post_ids),
                "topic": str(post.get("topic", "")),
                "text": whole[:cut] if cut else whole,
                "is_cut": bool(cut) and len(whole) > cut,
            }
        )
    return shown


def read_post(desk: Desk, generation: int, post_id: str) -> dict[str, Any]:
    """Return one post of a generation with its whole text.

    Raises:
        LookupError: The generation is gone, or never had it.
    """
    kept = desk.read_kept(desk.client, desk.keys, generation)
    number = kept.shared.number_of(post_id)
    if number is None or number not in kept.shared.posts:
        raise LookupError(f"generation {generation} has no post {post_id[:40]!r}")
    down = desk.client.smembers(desk.keys.takedowns())
    (post,) = read_posts(desk, generation, [number], cut=0)
    return {**post, "generation": generation, "is_down": post["key"].encode() in down}
