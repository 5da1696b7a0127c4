"""What a user takes in the store where most of them sleep: packed lists, weighed by the store."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import redis

from api.contract.keys import Keys
from api.contract.manifest import SLEEPERS
from batch.publish.config import PublishConfig
from batch.publish.generation import GenerationContent
from batch.publish.memory.probe import weigh
from batch.publish.publish import publish
from batch.publish.store import GenerationStore
from batch.score.ranked import RankedBlock

SHARE, DAYS = 0.6, 30


def measure(
    client: redis.Redis,
    content: GenerationContent,
    blocks: Iterable[RankedBlock],
    config: PublishConfig,
) -> dict[str, float]:
    """Publish into an empty store as if 60 % of the users had seen nothing; return bytes of lists a user."""
    client.flushall()
    n_users, keys = len(content.user_ids), Keys()
    views, likes = (times.where(times.user >= SHARE * n_users) for times in (content.views, content.likes))
    of = replace(content, views=views, likes=likes)
    how = replace(config, layout="packed", sleep_days=DAYS)
    made = publish(GenerationStore(client, keys), of, blocks, how)
    whole = weigh(client)
    ends = of.user_names.canonical(of.user_ids[np.array([0, n_users - 1])])
    first, last = (
        int(client.memory_usage(keys.list(user, made.generation), samples=0) or 0) for user in ends
    )
    for name in client.scan_iter("almanac:1:list:*", count=10_000):
        client.unlink(name)
    return {
        "share": round(made.counts[SLEEPERS] / n_users, 3),
        "bytes_per_user": round((whole - weigh(client)) / n_users),
        "store_bytes_of_a_sleeper": first,
        "store_bytes_of_who_is_awake": last,
    }
