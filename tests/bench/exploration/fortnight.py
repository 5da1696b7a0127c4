"""One arm's days: a night's run on what is known, then the visits that its lists answer."""

from dataclasses import dataclass

import numpy as np
import redis

from api.contract.buckets import DAY_S
from api.contract.keys import Keys
from batch.arrays import Bools, Floats, Ints
from batch.jobs.full import run
from batch.progress import SILENT
from batch.publish.export.answers import answer_all
from batch.publish.replay.kept import from_store
from batch.settings import Settings
from tests.bench.exploration.world import HISTORY, HOURS, PLACES, Diary, World

YOUNG = 3  # days


@dataclass(slots=True)
class Day:
    """What a day's answers were worth; likes are expected ones, by the truth.

    Attributes:
        n_views: Posts shown.
        likes: Sum of their P(like).
        n_drawn: Of them, drawn for exploration places.
        n_young: Of them, posts younger than three days.
        young_likes: Sum of these ones' P(like).
        young_regret: Sum of what each of these lacks of the best young post that its user had not seen.
        n_listed: Of the young ones, those that were not drawn but stood in lists.
        listed_regret: Sum of what each of these lacks, likewise.
    """

    n_views: int = 0
    likes: float = 0.0
    n_drawn: int = 0
    n_young: int = 0
    young_likes: float = 0.0
    young_regret: float = 0.0
    n_listed: int = 0
    listed_regret: float = 0.0


def live(world: World, explore: str, n_days: int, client: redis.Redis, how: Settings) -> list[Day]:
    """Run each night and answer each day's visits; return the days.

    Args:
        world: Who comes when, and what they like.
        explore: `ALMANAC_EXPLORE`.
        n_days: How many nights and days.
        client: A store.
        how: Settings of the batch.
    """
    prefix = f"s{world.truth.config.seed}{'on' if explore else 'off'}"
    settings = how.replace(state_dir=how.state_dir / prefix, prefix=prefix, explore=explore)
    diary, days = Diary(world), []
    for day in range(n_days):
        facts = diary.tell(day)
        made = run(settings, client, str(how.state_dir), SILENT, evaluated=False, facts=facts)
        days.append(_serve(world, diary, day, client, Keys(prefix), made.generation))
    return days


def _serve(world: World, diary: Diary, day: int, client: redis.Redis, keys: Keys, number: int) -> Day:
    served, said = from_store(client, keys, number).shared, Day()
    ids, post_ids, lots = world.truth.user_ids, world.truth.post_ids, world.likes(day)
    young = (world.born <= day) & (world.born > day - YOUNG)
    for hour in HOURS:
        at_s = world.first_s + day * DAY_S + hour * 3600
        users = np.flatnonzero(world.comes[HISTORY + day] & (world.hour[HISTORY + day] == hour))
        chances = world.truth.matrix(ids[users], at_s)
        asked = answer_all(client, keys, served, {}, [str(user) for user in ids[users]], at_s, PLACES)
        given = [one for some in asked for one in some]
        for user, chance, one in zip(users.tolist(), chances, given, strict=True):
            page = np.searchsorted(post_ids, np.array(one.posts))
            listed = np.array(one.propensities or (1.0,) * len(page)) == 1.0
            _count(said, page, chance, young, diary.seen[user], listed)
            said.n_drawn += len(one.drawn)
            diary.note(user, page, at_s, chance[page] > lots[user, page])
    return said


def _count(said: Day, page: Ints, chance: Floats, young: Bools, seen: Bools, listed: Bools) -> None:
    fresh, of_lists = page[young[page]], page[young[page] & listed]
    best = chance[young & ~seen].max(initial=0.0)
    said.n_views += len(page)
    said.likes += float(chance[page].sum())
    said.n_young += len(fresh)
    said.young_likes += float(chance[fresh].sum())
    said.young_regret += float((best - chance[fresh]).sum())
    said.n_listed += len(of_lists)
    said.listed_regret += float((best - chance[of_lists]).sum())
