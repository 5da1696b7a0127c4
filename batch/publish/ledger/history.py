"""What was served when: written with every promotion, read back as intervals."""

from dataclasses import dataclass
from typing import Literal, cast

import redis

from api.contract.keys import Keys

Why = Literal["promoted", "forced", "rolled-back"]


@dataclass(frozen=True, slots=True)
class Promotion:
    """From when to when a generation was served; epoch seconds, `until_s` None while it still is."""

    number: int
    generation: int
    why: Why
    from_s: int
    until_s: int | None


def promotions(client: redis.Redis, keys: Keys, variant: str) -> list[Promotion]:
    """Return the whole history of a variant, oldest first."""
    raw = client.zrange(keys.promotions(variant), 0, -1, withscores=True)
    pairs = [(member.decode().split(" "), int(at)) for member, at in cast("list[tuple[bytes, float]]", raw)]
    until = [*(at for _, at in pairs[1:]), None][: len(pairs)]
    return [
        Promotion(int(number), int(generation), cast(Why, why), at, end)
        for ((number, generation, why), at), end in zip(pairs, until, strict=True)
    ]


def served_at(client: redis.Redis, keys: Keys, variant: str, at_s: int) -> int | None:
    """Return the generation that was current at a time, epoch seconds; None before the first."""
    members = client.zrange(keys.promotions(variant), at_s, "-inf", byscore=True, desc=True, offset=0, num=1)
    return int(cast("list[bytes]", members)[0].split()[1]) if members else None
