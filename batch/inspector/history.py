"""What a user has liked: over time and by topic, as the store has it, facts and live events together."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from api.contract.buckets import DAY_S, moment
from batch.inspector.desk import Desk
from batch.inspector.posts import read_posts
from batch.publish.replay.kept import Kept
from batch.publish.replay.seen import liked_times

MOST_BARS = 60  # of a picture
TOPICS = 10


def read_likes(desk: Desk, kept: Kept, user_key: str, at_s: int) -> dict[str, Any]:
    """Return a user's likes up to a time: how many, over time, by topic, and the newest posts.

    A post that the generation does not have any more has no topic.
    """
    manifest = kept.shared.manifest
    times = {
        post: first_s
        for post, first_s in liked_times(desk.client, desk.keys, user_key, manifest).items()
        if first_s <= at_s
    }
    numbers = [kept.shared.number_of(post) for post in times]
    there = [number for number in numbers if number is not None]
    posts = {post["key"]: post for post in read_posts(desk, manifest.generation, there)}
    topics = Counter(posts[post]["topic"] if post in posts else "" for post in times)
    newest = list(times)[-5:][::-1]
    return {
        "n": len(times),
        "over_time": count_by_time(list(times.values())),
        "by_topic": [{"topic": topic, "n": n} for topic, n in topics.most_common(TOPICS)],
        "newest": [
            {**posts[post], "when": moment(times[post]).isoformat()} for post in newest if post in posts
        ],
    }


def count_by_time(times: Sequence[int], most: int = MOST_BARS) -> list[dict[str, Any]]:
    """Return how many times (epoch seconds) fall into each of at most `most` spans of equal whole days.

    >>> [(span["n"], span["days"]) for span in count_by_time([0, 1, 2 * DAY_S])]
    [(2, 1), (0, 1), (1, 1)]
    """
    if not times:
        return []
    first, last = min(times) // DAY_S, max(times) // DAY_S
    days = -(-(last - first + 1) // most)
    counts = Counter((at_s // DAY_S - first) // days for at_s in times)
    return [
        {"from": moment((first + span * days) * DAY_S).date().isoformat(), "days": days, "n": counts[span]}
        for span in range((last - first) // days + 1)
    ]
