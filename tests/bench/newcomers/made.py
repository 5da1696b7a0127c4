"""Made worlds in which a tenth more posts come at once, and a day of visits after it; the truth judges."""

from collections.abc import Iterator

import numpy as np
import redis

from batch.arrays import Bools, Floats, Ints
from batch.data.facts import Facts
from batch.settings import Settings
from tests.bench.exploration.world import HOURS as VISITS
from tests.bench.exploration.world import PLACES, Diary, World
from tests.bench.newcomers.follow import NO_POST, K, Moment, follow, hide_seen, keep_posts, rank_scores

MOST_ASKED = 500
DISCOUNT = 1 / np.log2(np.arange(K) + 2)
Gained = dict[str, float]  # discounted P(like) of each ranking's lists, summed


def judge_world(
    settings: Settings, client: redis.Redis, users: int, posts: int, seed: int
) -> Iterator[tuple[int, dict[str, Gained]]]:
    """Yield the hours since the posts came, and what lists gain: of all posts, and of the new ones alone."""
    world = World.make(users, posts, 1, seed)
    facts = _live_a_day(world)
    there = (world.born < 0)[np.searchsorted(world.truth.post_ids, facts.post_ids)]

    def known(at_s: int) -> Facts:
        past = facts.until(at_s)
        return keep_posts(past, there) if at_s < world.first_s else past

    for moment in follow(settings, client, known, world.first_s - 1):
        yield moment.hours, _judge(world, moment, seed)


def _live_a_day(world: World) -> Facts:
    """Return all events to the end of the day on which the posts come: visits see unseen posts at random."""
    diary, rng = Diary(world), np.random.default_rng([world.truth.config.seed, 31])
    day, lots, there = 0, world.likes(0), np.flatnonzero(world.born <= 0)
    for hour in VISITS:
        at_s = world.first_s + hour * 3600
        for user in np.flatnonzero(world.comes[-1] & (world.hour[-1] == hour)).tolist():
            page = rng.permutation(there[~diary.seen[user, there]])[:PLACES]
            ids = world.truth.post_ids[page]
            chance = world.truth.likely(world.truth.user_ids[user], ids, np.array(at_s))
            diary.note(user, page, at_s, chance > lots[user, page])
    return diary.tell(day)


def _judge(world: World, moment: Moment, seed: int) -> dict[str, Gained]:
    facts, rng = moment.facts, np.random.default_rng([seed, 37])
    users = np.sort(rng.choice(np.unique(facts.user), MOST_ASKED, replace=False)).astype(np.int64)
    column = np.searchsorted(world.truth.post_ids, facts.post_ids)
    chance = world.truth.matrix(facts.user_ids[users], moment.at_s)[:, column]
    every = np.ones(len(facts.posts), np.bool_)
    return {
        "all": _gain(moment, users, chance, every),
        "new": _gain(moment, users, chance, moment.new),
    }


def _gain(moment: Moment, users: Ints, chance: Floats, candidates: Bools) -> Gained:
    open_to = hide_seen(moment.facts, users, candidates)
    n_open = open_to.sum(axis=1)
    found = {name: _worth(rank(users, candidates), chance) for name, rank in moment.ranks.items()}
    places = np.array([DISCOUNT[: min(n, K)].sum() for n in n_open.tolist()])
    found["random"] = float((np.where(open_to, chance, 0).sum(axis=1) / n_open * places).sum())
    found["oracle"] = _worth(rank_scores(chance, open_to), chance)
    assert max(found.values()) == found["oracle"], found
    return found


def _worth(lists: Ints, chance: Floats) -> float:
    own = np.where(lists == NO_POST, 0.0, np.take_along_axis(chance, np.maximum(lists, 0), axis=1))
    return float((own * DISCOUNT).sum())
