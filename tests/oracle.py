"""What the feed checker must be answered, worked out a second time.

From raw facts and raw values of the store only, with keys spelled as `redis/KEYS.md` spells them. It imports
nothing of `api` or `batch`, so that it can share no error with them. Slow and plain on purpose.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from hashlib import sha1
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import redis

DAY_S = 86_400


class Events(NamedTuple):
    """Events that count as seen under the seen policy, in any order; repeats are allowed.

    User ids, post ids (numbers, or texts as the tables spell them) and epoch seconds: (events,) each.
    """

    user: npt.NDArray[Any]
    post: npt.NDArray[Any]
    time: npt.NDArray[np.int64]

    @classmethod
    def of(cls, users: Sequence[int | str], posts: Sequence[int | str], times: Sequence[int]) -> "Events":
        """Hold events given in columns."""
        kinds = [np.int64 if all(isinstance(one, int) for one in ids) else object for ids in (users, posts)]
        return cls(np.array(users, kinds[0]), np.array(posts, kinds[1]), np.array(times, np.int64))


class Wish(NamedTuple):
    """What is asked of posts' columns, `<column>=<value>` each; and what each post has, by its plain id."""

    any_of: Sequence[str]
    none_of: Sequence[str]
    facets: Mapping[str, Sequence[str]]

    def is_for(self, post: str) -> bool:
        """Say whether a post has one of the values asked for in each column, and none that is not wanted."""
        has = self.facets[plain(post)]
        columns = {facet.split("=")[0] for facet in self.any_of}
        asked = [[facet for facet in self.any_of if facet.split("=")[0] == column] for column in columns]
        return all(any(facet in has for facet in facets) for facets in asked) and not any(
            facet in has for facet in self.none_of
        )


def expected(
    client: redis.Redis,
    events: Events,
    user_id: int | str,
    at_s: int,
    limit: int,
    prefix: str = "almanac",
    variant: str = "default",
    profile: Mapping[str, str] | None = None,
    wish: Wish | None = None,
) -> list[Any]:
    """Return the post ids that a user must be answered at a time, best first, as JSON has them.

    Args:
        client: The store; replies must be bytes.
        events: All that anyone saw.
        user_id: Who asks, as the table of users spells it.
        at_s: The time asked for, epoch seconds.
        limit: How many posts at most.
        prefix: First part of every key.
        variant: The name whose generation of the time answers.
        profile: What is told of the user; it counts where they have no list.
        wish: Which posts are wanted; None: all.
    """
    base = f"{prefix}:1"
    generation = generation_at(client, at_s, prefix, variant)
    manifest = json.loads(_text(client.get(f"{base}:manifest:{generation}")))
    bucket = str(bucket_of(manifest, at_s))
    own = f"{base}:list:{{{escaped(plain(user_id))}}}:{generation}"
    own_list, segment = own_of(client, own, manifest, bucket)
    told = ""
    if profile and not own_list:
        told = f"{base}:profile:{generation}:{signature(manifest['profile'], profile)}"
        if manifest["segment_by"] and all(name in profile for name in manifest["segment_by"]):
            segment = segment or ",".join(f"{name}={profile[name]}" for name in manifest["segment_by"])
    ranked = [
        own_list,
        by_topics(client, f"{base}:topics:{{{escaped(plain(user_id))}}}:{generation}", wish),
        _text(client.hget(told, bucket)) if told else "",
        _text(client.hget(f"{base}:segment:{generation}:{segment}", bucket)) if segment else "",
        _text(client.hget(f"{base}:popular:{generation}", bucket)),
        _text(client.get(f"{base}:catalogue:{generation}")),
    ]
    rungs = " ".join(ranked).split()
    ids = {_text(number): _text(post) for number, post in client.hgetall(f"{base}:ids").items()}
    hidden = seen_by(events, user_id, at_s) if manifest["seen_policy"] != "none" else set()
    hidden |= {_text(post) for post in client.smembers(f"{base}:takedowns")}
    hidden |= closed_at(client, f"{base}:windows:{generation}", at_s, ids)
    posts = dict.fromkeys(ids.get(number, number) for number in rungs)
    wanted = [post for post in posts if plain(post) not in hidden and (wish is None or wish.is_for(post))]
    as_json = int if manifest.get("post_ids", "numbers") == "numbers" else str
    topics = set() if wish is None else {facet[6:] for facet in wish.any_of if facet.startswith("topic=")}
    pins = pins_of(client, base, at_s, segment, topics)
    drawn: dict[int, str] = {}
    if "explore" in manifest.get("needs", ()):
        field = segment or ("*" if own_list else "?")
        text = client.hget(f"{base}:explore:{generation}", field)
        pairs = _text(text or client.hget(f"{base}:explore:{generation}", "*")).split()
        weights = {
            ids.get(number, number): float(weight) for number, _, weight in (p.partition(":") for p in pairs)
        }
        there = {plain(post) for post in posts}
        may = {
            post: weight
            for post, weight in weights.items()
            if plain(post) in there and plain(post) not in hidden and (wish is None or wish.is_for(post))
        }
        salt = f"{manifest['variant']} {bucket} {escaped(plain(user_id))}"
        drawn = drawn_at(
            may, manifest["counts"]["explore_places"], salt, pinned_at(wanted, pins, limit), limit
        )
    return [as_json(post) for post in with_pins(wanted, pins, limit, drawn)]


def own_of(client: redis.Redis, key: str, manifest: Mapping[str, Any], bucket: str) -> tuple[str, str]:
    """Return a user's list of a bucket, numbers with blanks between, and their segment; empty for none."""
    if "packed" not in manifest.get("needs", ()):
        return _text(client.hget(key, bucket)), _text(client.hget(key, "segment"))
    reply = client.get(key)
    if reply is None:
        return "", ""
    assert isinstance(reply, bytes)
    value, place = list(reply), (int(bucket) - manifest["start_s"]) // manifest["width_s"]
    bits, cells, segment_bytes = value[0], value[1] + 256 * value[2], value[7] + 256 * value[8]
    named = 9 + manifest["n_buckets"]  # a byte a bucket: the tests have few
    list_bytes = -(-cells * bits // 8)
    start = named + segment_bytes + value[9 + place] * list_bytes
    # The last byte has the highest bits: written from it on, the first cell stands rightmost.
    digits = "".join(f"{byte:08b}" for byte in reversed(value[start : start + list_bytes]))
    numbers = [digits[len(digits) - (k + 1) * bits : len(digits) - k * bits] for k in range(cells)]
    ranked = [str(int(number, 2)) for number in numbers if "0" in number]
    return " ".join(ranked), bytes(value[named : named + segment_bytes]).decode()


def drawn_at(
    weights: dict[str, float], n_places: int, salt: str, pinned: Mapping[int, str], limit: int
) -> dict[int, str]:
    """Return which posts are drawn for which places: one in each block of places, none that is pinned."""
    left = {post: weight for post, weight in weights.items() if post not in pinned.values()}
    drawn: dict[int, str] = {}
    for block in range(limit // n_places + 1):
        digits = sha1(f"{block} {salt}".encode()).hexdigest()
        place = block * n_places + int(digits[:8], 16) % n_places + 1
        if place <= limit and place not in pinned and left:
            rising = list(accumulate(left.values()))
            lot = int(digits[8:21], 16) / 2**52 * rising[-1]
            drawn[place] = list(left)[bisect_right(rising, lot)]
            del left[drawn[place]]
    return drawn


def pins_of(
    client: redis.Redis, base: str, at_s: int, segment: str, topics: set[str]
) -> list[tuple[int, str]]:
    """Return place and post of the pins that hold for a user of a segment where some topics are asked for."""
    found = []
    for post, text in client.hgetall(f"{base}:pins").items():
        pin = json.loads(_text(text))
        begins, ends = pin.get("from_s", at_s), pin.get("to_s", at_s + 1)
        is_for = pin.get("segment", segment) == segment and ("topic" not in pin or topics == {pin["topic"]})
        if begins <= at_s < ends and is_for:
            found.append((pin["place"], _text(post)))
    return sorted(found, key=lambda pin: (pin[0], len(pin[1].encode()), pin[1].encode()))


def pinned_at(posts: list[str], pins: list[tuple[int, str]], limit: int) -> dict[int, str]:
    """Return which of the posts are pinned to which places, or to the next one that is free."""
    names = {plain(post): post for post in posts}
    places: dict[int, str] = {}
    for place, post in pins:
        while place in places or place < max(places, default=0):
            place += 1
        if post in names and place <= limit:
            places[place] = names[post]
    return places


def with_pins(
    posts: list[str], pins: list[tuple[int, str]], limit: int, drawn: Mapping[int, str]
) -> list[str]:
    """Return the first posts, with those that are pinned or drawn at their places."""
    places = {**pinned_at(posts, pins, limit), **drawn}
    others = [post for post in posts if post not in places.values()]
    page: list[str] = []
    while len(page) < limit and (others or places):
        if len(page) + 1 in places:
            page.append(places.pop(len(page) + 1))
        elif others:
            page.append(others.pop(0))
        else:
            page += [places[place] for place in sorted(places)]
            break
    return page


def by_topics(client: redis.Redis, key: str, wish: Wish | None) -> str:
    """Return a user's own lists of the topics asked for: the first of each by name, then the second…"""
    asked = [] if wish is None else [facet for facet in wish.any_of if facet.startswith("topic=")]
    lists = [_text(client.hget(key, facet[len("topic=") :])).split() for facet in sorted(set(asked))]
    longest = max(map(len, lists), default=0)
    return " ".join(posts[place] for place in range(longest) for posts in lists if place < len(posts))


def expected_similar(
    client: redis.Redis,
    events: Events,
    post_id: int | str,
    limit: int,
    user_id: int | str | None = None,
    at_s: int = 0,
    prefix: str = "almanac",
    variant: str = "default",
) -> list[Any]:
    """Return the post ids that a request for posts like one must be answered with, nearest first.

    Args:
        client: The store; replies must be bytes.
        events: All that anyone saw.
        post_id: The post, as the table of posts spells it.
        limit: How many posts at most.
        user_id: Who asks, as the table of users spells it; None: nobody.
        at_s: The time asked for, by when what they saw counts, epoch seconds.
        prefix: First part of every key.
        variant: The name whose current generation answers.
    """
    base = f"{prefix}:1"
    generation = _text(client.hget(f"{base}:current:{variant}", "generation"))
    manifest = json.loads(_text(client.get(f"{base}:manifest:{generation}")))
    ids = {_text(number): _text(post) for number, post in client.hgetall(f"{base}:ids").items()}
    numbers = {plain(post): number for number, post in ids.items()}
    number = numbers.get(plain(post_id), plain(post_id))
    topic = json.loads(_text(client.hget(f"{base}:posts:{generation}", number)))["topic"]
    ranked = [
        _text(client.hget(f"{base}:similar:{generation}", number)),
        _text(client.hget(f"{base}:facets:{generation}", f"topic={topic}")),
        _text(client.get(f"{base}:catalogue:{generation}")),
    ]
    hidden = {plain(post_id)} | {_text(post) for post in client.smembers(f"{base}:takedowns")}
    hidden |= closed_at(client, f"{base}:windows:{generation}", at_s, ids)
    if user_id is not None and manifest["seen_policy"] != "none":
        hidden |= seen_by(events, user_id, at_s)
    posts = [ids.get(found, found) for found in " ".join(ranked).split()]
    as_json = int if manifest.get("post_ids", "numbers") == "numbers" else str
    return [as_json(post) for post in dict.fromkeys(posts) if plain(post) not in hidden][:limit]


def closed_at(client: redis.Redis, key: str, at_s: int, ids: Mapping[str, str]) -> set[str]:
    """Return the posts that may not be answered for a time, as ids are compared."""
    closed = set()
    for number, text in client.hgetall(key).items():
        begin, end = _text(text).split(",")
        if (begin and at_s < int(begin)) or (end and at_s >= int(end)):
            closed.add(plain(ids.get(_text(number), _text(number))))
    return closed


def plain(found: int | str) -> str:
    """Return an id as ids are compared: letter by letter, but for a UUID's capitals."""
    text = str(found)
    parts = text.split("-")
    is_uuid = [len(part) for part in parts] == [8, 4, 4, 4, 12] and not set(text) - set(
        "0123456789abcdefABCDEF-"
    )
    return text.lower() if is_uuid else text


def escaped(text: str) -> str:
    """Return an id as it stands in a key."""
    return "".join(
        "".join(f"%{byte:02X}" for byte in letter.encode())
        if letter in "%{}" or letter.isspace() or ord(letter) < 32 or 127 <= ord(letter) < 160
        else letter
        for letter in text
    )


def generation_at(client: redis.Redis, at_s: int, prefix: str = "almanac", variant: str = "default") -> str:
    """Return the number of the generation that answers a time.

    The last one promoted by then; before the first promotion, and before the newest fact of what is current,
    the last one made for a time by then. Where there is none, or it is no longer sealed: what is current.
    """
    base = f"{prefix}:1"
    current = _text(client.hget(f"{base}:current:{variant}", "generation"))
    as_of_s = json.loads(_text(client.get(f"{base}:manifest:{current}")))["as_of_s"]
    found = [_text(member).split()[1] for member in _by(client, f"{base}:promotions:{variant}", at_s)]
    if not found and at_s < as_of_s:
        found = [_text(member) for member in _by(client, f"{base}:past:{variant}", at_s)]
    sealed = found and _text(client.hget(f"{base}:states", found[-1])) == "sealed"
    return found[-1] if sealed else current


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


def seen_by(events: Events, user_id: int | str, at_s: int) -> set[str]:
    """Return the posts that a user saw no later than a time, as ids are compared."""
    return set(map(plain, events.post[(events.user == user_id) & (events.time <= at_s)].tolist()))


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


def _by(client: redis.Redis, key: str, at_s: int) -> list[Any]:
    members = client.zrangebyscore(key, "-inf", at_s)
    assert isinstance(members, list)
    return members


def _text(value: Any) -> str:
    return str(value, "utf-8") if value is not None else ""
