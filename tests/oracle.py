"""What the feed checker must be answered, worked out a second time.

From raw facts and raw values of the store only, with keys spelled as `redis/KEYS.md` spells them. It imports
nothing of `api` or `batch`, so that it can share no error with them. Slow and plain on purpose.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import redis

DAY_S = 86_400


class Events(NamedTuple):
    """Events that count as seen under the seen policy, in any order; repeats are allowed.

    User ids, post ids and epoch seconds: int64 (events,) each.
    """

    user: npt.NDArray[np.int64]
    post: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]


def expected(
    client: redis.Redis,
    events: Events,
    user_id: int,
    at_s: int,
    limit: int,
    prefix: str = "almanac",
    variant: str = "default",
    profile: Mapping[str, str] | None = None,
) -> list[int]:
    """Return the post ids that a user must be answered at a time, best first.

    Args:
        client: The store; replies must be bytes.
        events: All that anyone saw.
        user_id: Who asks.
        at_s: The time asked for, epoch seconds.
        limit: How many posts at most.
        prefix: First part of every key.
        variant: The name whose current generation answers.
        profile: What he tells of himself; it counts where he has no list.
    """
    base = f"{prefix}:1"
    generation = _text(client.hget(f"{base}:current:{variant}", "generation"))
    manifest = json.loads(_text(client.get(f"{base}:manifest:{generation}")))
    bucket = str(bucket_of(manifest, at_s))
    own = f"{base}:list:{{{user_id}}}:{generation}"
    segment, told = _text(client.hget(own, "segment")), ""
    if profile and not client.hget(own, bucket):
        told = f"{base}:profile:{generation}:{signature(manifest['profile'], profile)}"
        if manifest["segment_by"] and all(name in profile for name in manifest["segment_by"]):
            segment = segment or ",".join(f"{name}={profile[name]}" for name in manifest["segment_by"])
    ranked = [
        _text(client.hget(own, bucket)),
        _text(client.hget(told, bucket)) if told else "",
        _text(client.hget(f"{base}:segment:{generation}:{segment}", bucket)) if segment else "",
        _text(client.hget(f"{base}:popular:{generation}", bucket)),
        _text(client.get(f"{base}:catalogue:{generation}")),
    ]
    hidden = seen_by(events, user_id, at_s) if manifest["seen_policy"] != "none" else set()
    hidden |= {int(post) for post in client.smembers(f"{base}:takedowns")}
    wanted = [post for post in map(int, " ".join(ranked).split()) if post not in hidden]
    return list(dict.fromkeys(wanted))[:limit]


def signature(bins: dict[str, list[Any]], profile: Mapping[str, str]) -> str:
    """Return a profile's signature by counting edges and frequent values one by one."""
    parts = []
    for name, of in sorted(bins.items()):
        if name not in profile:
            parts.append("_")
        elif isinstance(of[0], str):
            place = 0
            while place < len(of) and of[place] != profile[name]:
                place += 1
            parts.append(str(place))
        else:
            parts.append(str(sum(edge <= float(profile[name]) for edge in of)))
    return ".".join(parts)


def seen_by(events: Events, user_id: int, at_s: int) -> set[int]:
    """Return the posts that a user saw no later than a time."""
    return set(events.post[(events.user == user_id) & (events.time <= at_s)].tolist())


def bucket_of(manifest: dict[str, Any], at_s: int) -> int:
    """Return the start of the bucket that answers a time, by trying them all.

    The bucket that holds it; else, of those that hold its time of day, the one nearest in time; else the one
    nearest on the clock, the later of two alike.
    """
    width = int(manifest["width_s"])
    starts: list[int] = [manifest["start_s"] + k * width for k in range(manifest["n_buckets"])]
    holding = [start for start in starts if start <= at_s < start + width]
    alike = [start for start in starts if (at_s - start) % DAY_S < width]
    if holding or alike:
        return min(holding or alike, key=lambda start: abs(at_s - start))

    def clock_distance(start: int) -> int:
        return min((start - at_s) % DAY_S, (at_s - (start + width - 1)) % DAY_S)

    return min(reversed(starts), key=clock_distance)


def _text(value: Any) -> str:
    return str(value, "utf-8") if value is not None else ""
