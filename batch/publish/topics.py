"""Users' own lists of single topics: of each user the best posts of the topics that suit them best."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from api.contract.codec import encode as as_text
from api.contract.facets import TOPIC, spell
from batch.arrays import Ints32
from batch.publish import shard
from batch.publish.generation import TOPICS_MOST, GenerationContent, Rows
from batch.publish.proof.inputs import Inputs
from batch.publish.writer import Build
from batch.score.engine import score
from batch.store.cluster_wire import open_writer
from batch.store.wire import EXEC, MULTI, bulk

CHECKSUM = "topics"
MODULUS = 2 ** (8 * shard.DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class TopicLists:
    """Lists of single topics, in no order of topics.

    Attributes:
        names: The topics.
        topic: int32 (users, TOPICS_MOST). Places in `names`; -1 where a user has fewer.
        posts: int32 (users, TOPICS_MOST, depth). Rows of posts, best first; -1 fills.
    """

    names: tuple[str, ...]
    topic: Ints32
    posts: Rows


def rank_topics(
    inputs: Inputs, topics: Mapping[str, Ints32], depth: int, *, threads: int, memory_mb: int
) -> TopicLists:
    """Rank each topic's posts for each user exactly, in the first bucket, and keep every user's best topics.

    The best ones are those whose best unseen post has the highest scores; ties go to the topic named first.

    Args:
        inputs: All that scoring reads.
        topics: Topic to rows of its posts, any order.
        depth: Posts in a list.
        threads: Threads; 0: all cores.
        memory_mb: MiB that scoring may take.
    """
    n_users = len(inputs.sides.user_ids)
    best = np.full((n_users, TOPICS_MOST), -np.inf)
    topic = np.full((n_users, TOPICS_MOST), -1, np.int32)
    lists = np.full((n_users, TOPICS_MOST, depth), -1, np.int32)
    first = inputs.part(np.arange(n_users), np.arange(1))
    for number, rows in enumerate(topics.values()):
        posts = np.sort(rows)
        of = first.of_posts(posts)
        blocks = score(
            of.model, of.sides, of.left_out, min(depth, len(posts)),
            dense=of.dense, threads=threads, memory_mb=memory_mb,
        )  # fmt: skip
        for block in blocks:
            users = np.arange(block.first, block.first + len(block.posts))
            top = np.nan_to_num(block.scores[:, 0, 0], nan=-np.inf)
            worst = best[users].min(axis=1)
            place = np.where(best[users] == worst[:, None], topic[users], -2).argmax(axis=1)
            better = np.flatnonzero(top > worst)
            at = users[better], place[better]
            best[at], topic[at] = top[better], number
            lists[at] = -1
            own = block.posts[better, 0]
            lists[at[0], at[1], : own.shape[1]] = np.where(own < 0, -1, posts[own])
    return TopicLists(tuple(topics), topic, lists)


def write_topics(build: Build, inputs: Inputs) -> int:
    """Rank and write users' lists of topics, a hash with its life each; return the sum of their digests."""
    content, config = build.content, build.config
    prefix = spell(TOPIC, "")
    topics = {
        name.removeprefix(prefix): rows for name, rows in content.facets.items() if name.startswith(prefix)
    }
    ranked = rank_topics(
        inputs, topics, content.topic_depth, threads=config.threads, memory_mb=config.memory_mb
    )
    life, total = bulk(b"%d" % config.ttl_s), 0
    with open_writer(build.store.client) as wire:
        for user_id, fields in _lay_out(content, ranked):
            build.lease.check()
            total += digest_topics(user_id, fields)
            key = bulk(build.store.keys.topics(user_id, build.number).encode())
            pairs = [bulk(part) for pair in fields.items() for part in pair]
            head = b"*%d\r\n$4\r\nHSET\r\n" % (2 + len(pairs))
            expire = b"*3\r\n$6\r\nEXPIRE\r\n" + key + life
            wire.send(b"".join([MULTI, head, key, *pairs, expire, EXEC]), 4)
        wire.flush()
    return total


def digest_topics(user_id: str, fields: Mapping[bytes, bytes]) -> int:
    """Digest one user's lists of topics as a number, topics ascending; 0 where there are none."""
    if not fields:
        return 0
    lines = [user_id.encode(), *(part for topic in sorted(fields) for part in (topic, fields[topic]))]
    text = b"".join(line + b"\n" for line in lines)
    return int.from_bytes(blake2b(text, digest_size=shard.DIGEST_BYTES).digest())


def sum_topics(found: Iterable[tuple[str, Mapping[bytes, bytes]]]) -> str:
    """Return the checksum of users' lists of topics, whatever order they come in."""
    return spell_sum(sum(digest_topics(user_id, fields) for user_id, fields in found))


def spell_sum(total: int) -> str:
    """Write a sum of digests as hexadecimal text."""
    return f"{total % MODULUS:0{2 * shard.DIGEST_BYTES}x}"


def _lay_out(content: GenerationContent, ranked: TopicLists) -> Iterator[tuple[str, dict[bytes, bytes]]]:
    """Yield users who have such lists, each with topic to numbers of posts as text."""
    users = content.user_names.canonical(content.user_ids)
    numbers = content.post_numbers
    for row, user_id in enumerate(users):
        fields = {
            ranked.names[topic].encode(): as_text(numbers[posts[posts >= 0]].tolist())
            for topic, posts in zip(ranked.topic[row].tolist(), ranked.posts[row], strict=True)
            if topic >= 0
        }
        if fields:
            yield user_id, fields
