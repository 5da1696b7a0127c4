"""One row a user out of what really lies there: both streams, the events' database, the facts' feed."""

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from api.contract.event import Event
from api.contract.experiment import Arm, Experiment
from api.contract.exposure import FIELD, Exposure, pack
from api.contract.ids import Kind
from api.contract.keys import Keys
from batch.experiments.acts import Span
from batch.experiments.comparisons import Terms
from batch.experiments.registry import create, start
from batch.jobs.outcomes import NoExposures, read_material
from batch.jobs.report import report
from batch.progress import SILENT
from batch.settings import Settings
from tests.world import KINDS, World

pytestmark = pytest.mark.integration

KEYS = Keys()
START_S, END_S = 1_700_000_000, 1_700_086_400
AB = Experiment("ab", "ab", (Arm("a", "default", 50), Arm("b", "other", 50)), START_S, END_S, state="stopped")


@pytest.mark.parametrize("kind", ["numbers", "text"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_users_did_is_counted_whatever_ids_are_and_wherever_events_are_kept(
    store: redis.Redis, tmp_path: Path, kind: Kind, database: str, request: pytest.FixtureRequest
) -> None:
    names = KINDS[kind]
    World(names=names).publish(store)
    url = str(request.getfixturevalue("postgres_url")) if database == "postgresql" else ""
    settings = Settings(state_dir=tmp_path / "state", events_url=url, exposures_days=0)
    users, posts = [str(names.user(place)) for place in range(1, 4)], list(range(1, 7))
    shown = [
        (0, "a", START_S + 10, posts),
        (0, "a", START_S + 20, [3, 4]),
        (1, "b", START_S + 10, posts),
        (2, "a", START_S + 10, posts),
        (2, "b", START_S + 11, posts),
        (1, "b", END_S + 1, posts),
    ]
    records = [
        Exposure("ab", users[user], arm, 0, at_s * 1000, 1, 0, "own", "r", list(map(names.number, some)))
        for user, arm, at_s, some in shown
    ]
    other = records[0]._replace(experiment="other", arm="z")
    store.xadd(KEYS.exposures(), {FIELD: pack([*records, other])})
    did = [(0, 3, "view", 15), (0, 3, "addtocart", 16), (0, 4, "transaction", 25), (1, 6, "like", 90_000)]
    for place, (user, post, what, after_s) in enumerate(did):
        at_s = START_S + after_s
        event = Event(f"e{place}", users[user], str(names.post(post)), what, at_s, at_s)
        store.xadd(KEYS.events(), event.to_fields())  # type: ignore[arg-type]  # a dict of texts is one
    facts = [(1, 1, "like", 30), (1, 1, "view", 29), (1, 2, "like", -60), (0, 3, "view", 15)]
    feed = {
        "timestamp": [START_S + after_s for *_, after_s in facts],
        "user_id": [names.user(1 + user) for user, *_ in facts],
        "post_id": [names.post(post) for _, post, *_ in facts],
        "action": [what for _, _, what, _ in facts],
    }
    (tmp_path / "facts").mkdir()
    pq.write_table(pa.table(feed), tmp_path / "facts" / "feed_data.parquet")

    found = read_material(settings, store, str(tmp_path / "facts"), AB, SILENT, END_S + 9_000).count()

    one = {
        "user_id": users[0],
        "arm": "a",
        "views": 1,
        "likes": 0,
        "carts": 1,
        "purchases": 1,
        "pre_likes": 0,
    }
    two = {
        "user_id": users[1],
        "arm": "b",
        "views": 1,
        "likes": 1,
        "carts": 0,
        "purchases": 0,
        "pre_likes": 1,
    }
    hits = {"answers": 2, "hits_5": 2, "hits_5_like": 0, "hits_5_cart": 1, "hits_5_purchase": 2}
    assert found.table.to_pylist() == [
        one | hits,
        two | {"answers": 1, "hits_5": 1, "hits_5_like": 1, "hits_5_cart": 0, "hits_5_purchase": 0},
    ]
    assert found.span == Span(START_S, END_S)
    assert found.left_out == ["users answered by several arms: 1"]
    assert found.table.column_names[6] == "pre_likes"


def test_an_experiment_that_answered_nobody_says_so(store: redis.Redis, tmp_path: Path) -> None:
    with pytest.raises(NoExposures, match="'ab' has answered nobody"):
        read_material(Settings(state_dir=tmp_path), store, str(tmp_path), AB, SILENT, END_S)


def test_a_report_by_name_takes_arms_and_shares_from_the_definition_and_leaves_out_who_was_forced(
    store: redis.Redis, tmp_path: Path
) -> None:
    now_s, halves = int(time.time()), (Arm("old", "default", 75), Arm("new", "other", 25))
    for generation, arm in enumerate(halves, 1):
        World(generation, variant=arm.variant).publish(store).promote(store)
    create(store, KEYS, Experiment("ab", "ab", halves, forced={"1": "new"}), "ann", now_s - 100)
    one = start(store, KEYS, "ab", "ann", now_s - 100)
    users = list(map(str, range(1, 101)))
    arms = {user: one.assign(user).name for user in users}
    shown = [
        Exposure("ab", user, arms[user], 0, (now_s - 50) * 1000, 1, 0, "own", "r", [1, 2]) for user in users
    ]
    store.xadd(KEYS.exposures(), {FIELD: pack(shown)})
    for user in users:
        for post in (1, 2) if arms[user] == "new" else (1,):
            name, action = f"{user}-{post}", "like" if int(user) % 3 else "view"
            event = Event(name, user, str(post), action, now_s - 40, now_s - 40)
            store.xadd(KEYS.events(), event.to_fields())  # type: ignore[arg-type]  # a dict of texts is one

    found = report(Settings(state_dir=tmp_path), store, "ab", Terms(n_resamples=10), SILENT, now_s)

    by_chance = [arms[user] for user in users[1:]]
    assert found.sample_ratio.users == {name: by_chance.count(name) for name in ("old", "new")}
    assert found.sample_ratio.planned == {"old": 99 * 0.75, "new": 99 * 0.25}
    likes = next(reading for reading in found.readings if reading.metric == "likes a user")
    liking = [user for user in users[1:] if int(user) % 3]
    assert likes.control == pytest.approx(sum(arms[u] == "old" for u in liking) / by_chance.count("old"))
    assert likes.treatment == pytest.approx(
        2 * sum(arms[u] == "new" for u in liking) / by_chance.count("new")
    )
    assert likes.says == "higher"
    assert found.left_out[0] == "users forced into an arm, whom chance has not put there: 1"
