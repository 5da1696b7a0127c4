"""Pinned posts, as people set and end them: in the store beside the generations, each change with a note."""

from collections.abc import Callable
from typing import Any

import redis
from redis.client import Pipeline

from api.contract.buckets import moment
from api.contract.ids import Kind, as_json, canonical, check_id, quote
from api.contract.keys import Keys
from api.contract.pin import MOST, Pin, in_order
from batch.publish.ledger.ledger import Ledger, NothingServed
from batch.store import read
from batch.store.transaction import Write, transact


class TooManyPins(ValueError):
    """As many posts are pinned as may be."""


def set_pin(
    client: redis.Redis, keys: Keys, variant: str, post_id: str, pin: Pin, now_s: float, who: str = ""
) -> dict[str, Any]:
    """Pin a post, in the place of an earlier pin of it; return the pin as `list_pins`, and what it changed.

    A post that no generation knows may be pinned: it is shown as soon as one does.

    Args:
        client: The store.
        keys: Names of the keys.
        variant: Whose current generation says what ids of posts are.
        post_id: Which post.
        pin: Where, when and for whom.
        now_s: When this is noted, epoch seconds.
        who: Does it, for the note; empty: unknown.

    Raises:
        TooManyPins: MOST other posts are pinned.
        ValueError: It can be no id.
    """
    kind, text = find_kind(client, keys, variant), pin.to_json()
    post = canonical(check_id(post_id), kind)

    def decide(stored: dict[bytes, bytes]) -> bool:
        if len({*stored, post.encode()}) > MOST:
            raise TooManyPins(
                f"{len(stored)} posts are pinned and {MOST} may be, so {post} is not: "
                "`almanac pins remove POST` ends one, `almanac pins list` shows them"
            )
        return stored.get(post.encode()) != text

    changed = _change(client, keys, decide, post, text, now_s, who)
    return {**_describe(as_json(post, kind), pin), "changed": changed}


def remove_pin(
    client: redis.Redis, keys: Keys, variant: str, post_id: str, now_s: float, who: str = ""
) -> None:
    """End a pin, whatever it holds.

    Raises:
        LookupError: The post is not pinned.
    """
    post = canonical(post_id, find_kind(client, keys, variant))

    def decide(stored: dict[bytes, bytes]) -> bool:
        if post.encode() not in stored:
            raise LookupError(f"post {post} is not pinned: `almanac pins list` shows those that are")
        return True

    _change(client, keys, decide, post, None, now_s, who)


def list_pins(client: redis.Redis, keys: Keys, variant: str) -> list[dict[str, Any]]:
    """Return the pins as people read them, by place: the post as JSON has it, times as ISO 8601.

    Raises:
        ValueError: Somebody else wrote something that is none.
    """
    kind, pins = find_kind(client, keys, variant), {}
    for post, text in read.fields(client, keys.pins()).items():
        try:
            pins[post.decode()] = Pin.from_json(text)
        except ValueError as exc:
            remedy = "`almanac pins remove` with its id ends it"
            raise ValueError(f"what is pinned as {post.decode(errors='replace')!r}: {exc}; {remedy}") from exc
    return [_describe(as_json(post, kind), pin) for post, pin in in_order(pins)]


def _change(
    client: redis.Redis,
    keys: Keys,
    decide: Callable[[dict[bytes, bytes]], bool],
    post: str,
    text: bytes | None,
    now_s: float,
    who: str,
) -> bool:
    """Write a pin, or none, with a note, if what stands there lets us; return whether that is a change."""
    changed = False

    def decide_by_stored(pipe: Pipeline) -> Write:
        nonlocal changed
        changed = decide(read.fields(pipe, keys.pins()))
        return write if changed else lambda _: None

    def write(queue: Pipeline) -> None:
        if text is None:
            queue.hdel(keys.pins(), post)
        else:
            queue.hset(keys.pins(), post, text)
        by, what = f"{quote(who)} " if who else "", "removed" if text is None else text.decode()
        member = f"{round(now_s * 1000)} {quote(post)} {by}{what}"
        queue.zadd(keys.pin_log(), {member: int(now_s)})

    transact(client, [keys.pins()], decide_by_stored)
    return changed


def find_kind(client: redis.Redis, keys: Keys, variant: str) -> Kind:
    """Return what ids of posts are; where nothing is served, text: any id has a form of its own then."""
    try:
        return Ledger(client, keys).current(variant).post_ids
    except NothingServed:
        return "text"


def _describe(post_id: int | str, pin: Pin) -> dict[str, Any]:
    """Return a pin as people read it."""
    begin, end = (None if at_s is None else moment(at_s).isoformat() for at_s in (pin.from_s, pin.to_s))
    return {
        "post_id": post_id,
        "place": pin.place,
        "from": begin,
        "to": end,
        "topic": pin.topic,
        "segment": pin.segment,
    }
