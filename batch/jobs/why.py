"""Why a post is in a user's list at a time, or is not: the store and a generation's folder to a `Why`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import redis

from api.contract.codec import decode
from api.contract.ids import as_json, canonical
from api.contract.keys import Id, Keys
from api.contract.window import is_closed
from batch.data.ids import encode_ids
from batch.data.rows import find_rows
from batch.jobs.inspect import ReadKept, find_kept
from batch.learn.chosen import columns_of
from batch.publish.explain.evidence import find_evidence
from batch.publish.explain.parts import Parts
from batch.publish.explain.place import Place, explain_post
from batch.publish.explain.why import State, Why
from batch.publish.folder import GenerationFolder
from batch.publish.proof.inputs import InputsMissing
from batch.publish.proof.verify import load_sealed
from batch.publish.replay.kept import Kept, from_store
from batch.publish.replay.seen import liked_times, seen_times
from batch.settings import Settings
from batch.store import read

MOST = 5  # liked posts that are named as evidence


@dataclass(frozen=True, slots=True)
class _Scored:
    """What the stored inputs say; `lacking` is why they say nothing."""

    place: Place | None = None
    parts: Parts | None = None
    lacking: str = ""


def find_why(
    client: redis.Redis,
    settings: Settings,
    user_id: Id,
    post_id: Id,
    at_s: int,
    read_kept: ReadKept = from_store,
    generation: int | None = None,
) -> Why:
    """Find out why a post stands in the list that answers a user at a time, or why it does not.

    Args:
        client: The store.
        settings: Say the prefix, the variant, and where generations lie on disk.
        user_id: Whose list, in any spelling.
        post_id: Which post.
        at_s: The time, epoch seconds.
        read_kept: Reads a generation, by default anew.
        generation: Whose lists, whatever is served; None: of the one that answers the time.

    Raises:
        NothingServed: No generation is current.
        GenerationLost: The one that is named is not in the store any more.
    """
    keys = settings.keys
    kept, history = find_kept(client, keys, settings.variant, at_s, read_kept, generation)
    manifest = kept.shared.manifest
    who, what = kept.user_key(str(user_id)), canonical(str(post_id), manifest.post_ids)
    number, bucket_s = kept.shared.number_of(what), manifest.horizon.bucket_for(at_s)
    listed = list(kept.read_own(who, bucket_s)[0])
    place = listed.index(number) + 1 if number in listed else None
    times = liked_times if manifest.seen_policy == "likes" else seen_times
    seen_s = times(client, keys, who, manifest).get(what) if manifest.seen_policy != "none" else None
    is_known = number is not None and number in kept.shared.posts
    root = settings.state_dir / "generations"
    scored = _score(root, kept, who, what, bucket_s) if is_known else _Scored()
    return Why(
        user_id=as_json(str(user_id), manifest.user_ids),
        post_id=kept.name_post(what),
        generation=manifest.generation,
        at_s=at_s,
        bucket_s=bucket_s,
        state=_judge(
            is_known=is_known,
            is_down=what in history.taken_down,
            is_seen=seen_s is not None and seen_s <= at_s,
            is_closed=number is not None and is_closed(kept.shared.windows, number, at_s),
            has_list=bool(listed),
            is_listed=place is not None,
            found=scored.place,
        ),
        n_listed=len(listed),
        place=place,
        seen_s=seen_s,
        found=scored.place,
        parts=scored.parts,
        evidence=_find_liked(client, keys, kept, who, number, at_s) if number is not None else (),
        lacking=scored.lacking,
    )


def _judge(
    *,
    is_known: bool,
    is_down: bool,
    is_seen: bool,
    is_closed: bool,
    has_list: bool,
    is_listed: bool,
    found: Place | None,
) -> State:
    """Return the first thing that keeps a post out, or `listed`."""
    asked: Sequence[tuple[State, bool]] = (
        ("unknown", not is_known),
        ("taken_down", is_down),
        ("seen", is_seen),
        ("closed", is_closed),
        ("no_list", not has_list),
        ("listed", is_listed),
    )
    for state, holds in asked:
        if holds:
            return state
    if found is None or found.state == "listed":
        return "absent"
    return "seen" if found.state == "left_out" else found.state


def _score(root: Path, kept: Kept, who: str, what: str, bucket_s: int) -> _Scored:
    """Score all posts for one user again from the generation's folder, and split the score of one."""
    manifest = kept.shared.manifest
    folder = GenerationFolder.of(root, manifest.generation).inputs
    users = folder / "users.parquet"
    row = np.array([-1])
    if users.is_file():
        ids = pq.read_table(users, columns=["user_id"])["user_id"].to_numpy()
        row = find_rows(ids, encode_ids([who]))
    if users.is_file() and row[0] < 0:
        return _Scored(lacking=f"generation {manifest.generation} has scored nothing for user {who}")
    try:
        inputs = load_sealed(manifest, folder, row)
    except InputsMissing as exc:
        return _Scored(lacking=str(exc))
    post = int(find_rows(inputs.sides.post_ids, encode_ids([what]))[0])
    if post < 0:
        return _Scored(lacking=f"generation {manifest.generation} has scored no post {what}")
    columns, (bucket,) = columns_of(manifest.metrics), np.flatnonzero(inputs.sides.starts == bucket_s)
    place, parts = explain_post(inputs, columns, 0, post, int(bucket), manifest.depth)
    untold = f"the model of generation {manifest.generation} does not tell what its estimate is made of"
    return _Scored(place, parts, "" if columns or inputs.dense is None else untold)


def _find_liked(
    client: redis.Redis, keys: Keys, kept: Kept, who: str, number: int, at_s: int
) -> tuple[tuple[int | str, int], ...]:
    """Return the posts that the user had liked by a time and that are most like a post, and how near."""
    shared = kept.shared
    if not shared.manifest.similar:
        return ()
    times = liked_times(client, keys, who, shared.manifest)
    liked = [shared.number_of(post) for post, first_s in times.items() if first_s <= at_s]
    asked = list(dict.fromkeys([number, *(post for post in liked if post is not None)]))
    found = client.hmget(keys.similar(shared.manifest.generation), list(map(str, asked)))
    similar = {post: decode(read.narrow(text or b"")) for post, text in zip(asked, found, strict=True)}
    near = find_evidence(number, asked[1:], similar, MOST)
    return tuple((shared.id_of(one.post), one.near) for one in near if one.post in shared.posts)
