"""API, `FCALL_RO feed`, `inspect`, `replay` and the oracle answer alike, now and at times past.

For random users, times, limits, seen posts, takedowns, pins and windows of posts, over three promotions and a
rollback.
"""

import json
import os
import random
import subprocess
import sys
import urllib.request
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlencode

import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import DAY_S, moment
from api.contract.facets import Filter
from api.contract.ids import as_json
from api.contract.keys import Keys
from api.contract.profile import signature
from api.contract.window import Window
from api.main import create_app
from api.settings import Settings
from batch.jobs.inspect import inspect
from batch.publish.functions import load
from batch.publish.ledger.promotion import promote, rollback
from batch.publish.replay.history import read_history
from batch.publish.replay.kept import GenerationLost, Kept, from_store
from batch.publish.replay.replay import Replayed, Replayer
from batch.publish.store import GenerationStore
from batch.settings import Settings as BatchSettings
from tests.clients import running
from tests.feed_function import call_feed
from tests.oracle import expected, generation_at
from tests.world import AS_OF_S, HOUR_S, PROMOTED_AT_S, Names, World, draw_windows, events_of

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("some_layout")]

PATH = "/post/recommendations/"


def called(
    store: redis.Redis, world: World, user: int, at_s: int, limit: int, profile: dict[str, str] | None = None
) -> list[str]:
    """Return what the function replies: rung, bucket, label, ids of posts."""
    keys, number, told = Keys(), world.generation, list[str]()
    if profile:
        signed = signature(world.manifest.profile, profile)
        told = [keys.profile(number, signed)]
        told += [keys.segment(number, f"parity={profile['parity']}")] if "parity" in profile else []
    return call_feed(store, world.manifest, world.names.user_key(user), at_s, limit, told)


def drawn(rng: random.Random) -> dict[str, str]:
    """Draw what a user tells of himself: nothing, or any of an age, a parity and what is no column."""
    fields = {
        "age": str(rng.randrange(10, 60)),
        "parity": rng.choice(["even", "odd", "none"]),
        "planet": "Mars",
    }
    return {name: value for name, value in fields.items() if rng.random() < 0.5}


def pin_or_unpin(store: redis.Redis, world: World, rng: random.Random) -> None:
    """Pin a post, at some times, for some users, or end pins; one in ten is of a post that nobody knows."""
    post = rng.choice(world.posts)
    if rng.random() < 0.4:
        world.unpin(store, *rng.sample(world.posts, 10))
    told: dict[str, object] = {
        "from_s": AS_OF_S + rng.randrange(-DAY_S, 2 * DAY_S),
        "to_s": AS_OF_S + rng.randrange(DAY_S, 4 * DAY_S),
        "segment": rng.choice(["parity=even", "parity=odd"]),
        "topic": "even",
    }
    said = {name: value for name, value in told.items() if rng.random() < (0.2 if name == "topic" else 0.4)}
    world.pin(store, post if rng.random() < 0.9 else 4000, rng.choice([1, 1, 2, 2, 3, 5, 10, 40]), **said)


@pytest.mark.parametrize("policy", ["views", "likes", "none"])
@pytest.mark.parametrize(
    ("seed", "holds_seen"), [(1, False), (2, False), (3, True), (4, True)]
)  # even: windows
def test_the_api_the_function_and_the_oracle_agree(
    store: redis.Redis, valkey_url: str, names: Names, policy: str, seed: int, holds_seen: bool
) -> None:
    rng = random.Random(seed)
    world = World(seen_policy=policy, names=names, holds_seen=holds_seen)  # type: ignore[arg-type]  # one of three
    if seed % 2 == 0:
        world = replace(world, windows=draw_windows(rng, world.posts, AS_OF_S))
    world = replace(world, explore={2: 10, 3: 4}.get(seed, 0))
    edges = [time_s for _, window in world.windows for time_s in window if time_s is not None]
    world.publish(store).promote(store)
    assert load(store)
    key = Keys().likes if policy == "likes" else Keys().seen
    views = [] if policy == "likes" else list(world.views)
    n_pinned = n_drawn = 0
    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        for _ in range(150 if names.kind == "numbers" else 50):
            user, at_s = rng.randrange(0, 12), AS_OF_S + rng.randrange(-2 * DAY_S, 4 * DAY_S)
            if edges and rng.random() < 0.3:
                at_s = rng.choice(edges) - rng.randrange(2)
            late = rng.randrange(AS_OF_S + 1, AS_OF_S + 2 * DAY_S)
            early = rng.randrange(AS_OF_S - 2 * DAY_S, AS_OF_S)
            view = (rng.choice(world.users), rng.choice(world.posts), early if holds_seen else late)
            views.append(view)
            store.zadd(key(names.user_key(view[0])), {str(names.number(view[1])): view[2]}, lt=True)
            if rng.random() < 0.3:
                world.take_down(store, rng.choice(world.posts))
            if rng.random() < 0.3:
                world.put_back(store, rng.choice(world.posts))
            if rng.random() < 0.4:
                pin_or_unpin(store, world, rng)
            limit, profile = rng.randrange(1, 60), drawn(rng)
            query: dict[str, Any] = {"id": names.user(user), "time": moment(at_s).isoformat(), "limit": limit}

            fields = [f"{name}={value}" for name, value in profile.items()]
            reply = client.get(PATH, params={**query, "profile": fields})
            rung, bucket, label, *posts = called(store, world, user, at_s, limit, profile)

            events = events_of(views, names)
            wanted = expected(store, events, names.user(user), at_s, limit, profile=profile)
            given = [post["id"] for post in reply.json()]
            assert given == wanted, (user, at_s, limit, profile)
            closed = {post for post, window in world.windows if not window.holds_at(at_s)}
            assert closed.isdisjoint(names.places(given)), (user, at_s, limit, profile)
            assert [as_json(post, names.kind) for post in posts] == wanted, (user, at_s, limit, profile)
            assert (rung, label) == (reply.headers["x-almanac-rung"], reply.headers["x-almanac-time"])
            assert moment(int(bucket)).isoformat() == reply.headers["x-almanac-bucket"]
            pinned = list(map(unquote, reply.headers.get("x-almanac-pinned", "").split(",")))
            assert {*filter(None, pinned)} <= {*map(str, wanted)}
            n_pinned += pinned != [""]
            drawn_ids = [
                part.partition(":")[0] for part in reply.headers.get("x-almanac-explored", "").split(",")
            ]
            assert {*map(unquote, filter(None, drawn_ids))} <= {*map(str, wanted)}
            n_drawn += drawn_ids != [""]
    assert n_pinned > 20
    assert (n_drawn > 20) == (world.explore > 0)


def draw_wish(rng: random.Random, world: World) -> tuple[list[str], list[str]]:
    """Draw facets of which one is wanted, and topics of which none is."""
    none_of = [facet for facet in world.wishes if facet.startswith("topic=")]
    return rng.sample(world.wishes, rng.randrange(3)), rng.sample(none_of, rng.choice([0, 0, 1]))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_api_and_the_oracle_agree_under_filters_now_and_at_past_times(
    store: redis.Redis, valkey_url: str, names: Names, seed: int
) -> None:
    rng = random.Random(seed)
    depth = 4 if seed == 1 else 0  # of users' own lists of topics
    explore = 10 * (seed - 1)
    weeks = Weeks(store, "views", rng, names, topic_depth=depth, windows=seed == 2, explore=explore)
    rungs = set[str]()
    settings = BatchSettings(redis_url=valkey_url)
    world = weeks.worlds[1]
    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        for turn in range(300):
            if turn % 20 == 0:
                world.take_down(store, rng.choice(world.posts))
                weeks.see(rng.randrange(AS_OF_S - DAY_S, AS_OF_S + 4 * DAY_S))
            if turn % 5 == 0:
                pin_or_unpin(store, world, rng)
            user, at_s, limit = weeks.draw()
            any_of, none_of = draw_wish(rng, world)
            profile = drawn(rng)
            query: dict[str, Any] = {
                "filter": [facet for facet in any_of if turn % 2 or not facet.startswith("topic=")],
                "topic": [facet[6:] for facet in any_of if not turn % 2 and facet.startswith("topic=")],
                "not_topic": [facet[6:] for facet in none_of],
                "profile": [f"{name}={value}" for name, value in profile.items()],
                "limit": limit % 20 + 1,
            }

            reply = client.get(
                PATH, params={**query, "id": names.user(user), "time": moment(at_s).isoformat()}
            )

            events, wish = events_of(weeks.views, names), world.wish(any_of, none_of)
            wanted = expected(
                store, events, names.user(user), at_s, limit % 20 + 1, profile=profile, wish=wish
            )
            assert [post["id"] for post in reply.json()] == wanted, (user, at_s, query)
            if not profile:
                asked = Filter.of(any_of, none_of)
                found: Any = inspect(store, settings, names.user(user), at_s, limit % 20 + 1, wish=asked)
                assert (found["answer"]["post_ids"], found["answer"]["rung"]) == (
                    wanted,
                    reply.headers["x-almanac-rung"],
                )
            reason = reply.headers.get("x-almanac-underfill")
            assert (reason is None) == (len(wanted) == limit % 20 + 1)
            rungs.add(reply.headers["x-almanac-rung"])
    assert rungs >= {"own", "rest", "segment", "popular", "catalogue"}
    assert ("topic" in rungs) == (depth > 0)


class Asked(NamedTuple):
    """A request, and what it was answered: by which generation, from which rung, with which posts."""

    user: int
    at_s: int
    limit: int
    generation: int
    rung: str
    label: str
    post_ids: list[int | str]


class Weeks:
    """Three generations a day apart, promoted one after another, then the last one rolled back.

    The second, which is current at the end, holds seen posts if `holds_seen`. With `windows` each has some.
    """

    def __init__(
        self,
        store: redis.Redis,
        policy: str,
        rng: random.Random,
        names: Names,
        *,
        holds_seen: bool = False,
        topic_depth: int = 0,
        windows: bool = False,
        explore: int = 0,
    ) -> None:
        """Publish, with views between; half of those before a promotion are told only after it."""
        self.store, self.rng, self.names = store, rng, names
        self.key = Keys().likes if policy == "likes" else Keys().seen
        self.live = Keys().likes_live if policy == "likes" else Keys().seen_live
        self.worlds: dict[int, World] = {}
        self.views: list[tuple[int, int, int]] = []
        world = World(seen_policy=policy, names=names)  # type: ignore[arg-type]  # one of three
        for number in (1, 2, 3):
            known = frozenset((user, post) for user, post, _ in self.views)
            begin_s = AS_OF_S + (number - 1) * DAY_S
            world = replace(world, generation=number, turn=number, as_of_s=begin_s, known=known)
            world = replace(world, holds_seen=holds_seen and number == 2, topic_depth=topic_depth)
            world = replace(world, explore=explore if number > 1 else 0)
            if windows:
                world = replace(world, windows=draw_windows(rng, world.posts, begin_s))
            self.worlds[number] = world.publish(store)
            if number == 1 and policy != "likes":
                self.views += world.views
            promote(GenerationStore(store, Keys()), number, self.promoted_at_s(number))
            for _ in range(12):
                self.see(rng.randrange(begin_s + 1, begin_s + DAY_S))
        rollback(GenerationStore(store, Keys()), "default", AS_OF_S + 3 * DAY_S)
        for _ in range(12):
            self.see(rng.randrange(AS_OF_S - DAY_S, AS_OF_S + 4 * DAY_S))

    def promoted_at_s(self, number: int) -> int:
        """Return when a generation was promoted."""
        return PROMOTED_AT_S + (number - 1) * DAY_S

    def see(self, at_s: int) -> None:
        """Let a user see a post, as a live event does."""
        user, post = self.rng.randrange(0, 12), self.rng.choice(World().posts)
        self.views.append((user, post, at_s))
        who = self.names.user_key(user)
        self.store.zadd(self.key(who), {str(self.names.number(post)): at_s}, lt=True)
        self.store.zadd(self.live(who), {self.names.post_key(post): at_s}, lt=True)

    def draw(self) -> tuple[int, int, int]:
        """Draw a user, a time from before the first generation to after the last, and a limit."""
        at_s = AS_OF_S + self.rng.randrange(-DAY_S, 4 * DAY_S)
        return self.rng.randrange(0, 12), at_s, self.rng.randrange(1, 60)

    def expected(self, user: int, at_s: int, limit: int) -> list[int | str]:
        """Return what the oracle says."""
        events = events_of(self.views, self.names)
        return expected(self.store, events, self.names.user(user), at_s, limit)

    def replay(self, user: int, at_s: int, limit: int) -> Replayed | None:
        """Replay an answer; None where no generation of the time is kept."""
        history = read_history(self.store, Keys(), "default")
        try:
            replayer = Replayer(self.store, Keys(), history, self.kept)
            return replayer.replay(self.names.user(user), at_s, limit)
        except GenerationLost:
            return None

    @cache  # noqa: B019 - of one test
    def kept(self, name: int | str) -> Kept:
        """Read a generation, once."""
        return from_store(self.store, Keys(), int(name))


def asked(client: TestClient, weeks: Weeks, user: int, at_s: int, limit: int) -> Asked:
    """Ask the API."""
    query: dict[str, Any] = {"id": weeks.names.user(user), "limit": limit}
    reply = client.get(PATH, params={**query, "time": moment(at_s).isoformat()})
    number, rung, label = (reply.headers[f"x-almanac-{name}"] for name in ("generation", "rung", "time"))
    return Asked(user, at_s, limit, int(number), rung, label, [post["id"] for post in reply.json()])


def inspected(found: dict[str, Any], user: int, at_s: int, limit: int) -> Asked:
    """Return what `almanac inspect` found, as the API says it."""
    answer = found["answer"]
    return Asked(user, at_s, limit, found["generation"], answer["rung"], found["label"], answer["post_ids"])


def almanac(commands: list[list[str]], **env: str) -> list[Any]:
    """Run commands, one after another in one process, since each would take a second to start."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(commands)],
        env={**os.environ, **env},
        capture_output=True,
        check=True,
        text=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


RUN_ALL = """
import json, sys
from batch.__main__ import app
for command in json.loads(sys.argv[1]):
    app([*command, "--json"], standalone_mode=False)
"""


@pytest.mark.parametrize(
    ("policy", "n", "holds_seen", "windows"),
    [
        ("views", 1000, False, False),
        ("views", 400, False, True),
        ("likes", 400, False, False),
        ("none", 200, False, True),
        ("views", 401, True, False),
        ("likes", 201, True, True),
    ],
)
def test_all_agree_at_any_time_over_three_promotions_and_a_rollback(
    store: redis.Redis, valkey_url: str, names: Names, policy: str, n: int, holds_seen: bool, windows: bool
) -> None:
    rng = random.Random(n)
    weeks = Weeks(store, policy, rng, names, holds_seen=holds_seen, windows=windows, explore=5 * windows)
    settings = BatchSettings(redis_url=valkey_url)
    load(store)
    answered: set[int] = set()
    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        for turn in range(n if names.kind == "numbers" else n // 4):
            if turn % 20 == 0:
                weeks.worlds[1].take_down(store, rng.choice(World().posts))
                weeks.worlds[1].put_back(store, rng.choice(World().posts))
                weeks.see(rng.randrange(AS_OF_S - DAY_S, AS_OF_S + 4 * DAY_S))
            if turn % 7 == 0:
                pin_or_unpin(store, weeks.worlds[1], rng)
            user, at_s, limit = weeks.draw()

            said = asked(client, weeks, user, at_s, limit)

            assert said.post_ids == weeks.expected(user, at_s, limit), said
            assert said.generation == int(generation_at(store, at_s)), said
            found: dict[str, Any] = inspect(store, settings, names.user(user), at_s, limit)
            assert inspected(found, user, at_s, limit) == said
            again = weeks.replay(user, at_s, limit)
            if again is None:
                assert said.label == "leaky"
            else:
                assert (again.generation, again.rung, again.time) == (said.generation, said.rung, said.label)
                assert list(again.post_ids) == said.post_ids, said
            if said.generation == 2:  # what is current, whose lists the function knows
                rung, _, label, *posts = called(store, weeks.worlds[2], user, at_s, limit)
                assert (rung, label) == (said.rung, said.label)
                assert [as_json(post, names.kind) for post in posts] == said.post_ids
            answered.add(said.generation)
    assert answered == {1, 2, 3}


@pytest.mark.own_rights
def test_the_command_line_says_what_the_api_says_over_http(
    store: redis.Redis, valkey_url: str, names: Names, tmp_path: Path
) -> None:
    rng = random.Random(20)
    weeks = Weeks(store, "views", rng, names)
    (tmp_path / "state").mkdir()
    answered: list[tuple[int, list[int | str]]] = []
    commands: list[list[str]] = []
    with running(valkey_url, tmp_path / "state") as base:
        for _ in range(20):
            user, _, limit = weeks.draw()
            at_s = rng.randrange(PROMOTED_AT_S, AS_OF_S + 4 * DAY_S)
            at = moment(at_s).replace(tzinfo=None).isoformat()
            who = str(names.user(user))
            query = urlencode({"id": who, "time": at, "limit": limit})
            with urllib.request.urlopen(f"{base}{PATH}?{query}") as reply:
                shown = [post["id"] for post in json.load(reply)]
                answered.append((int(reply.headers["x-almanac-generation"]), shown))
            commands.append(["inspect", who, "--at", at])
            commands.append(["replay", "--user", who, "--at", at, "--limit", str(limit)])

    said = almanac(commands, ALMANAC_REDIS_URL=valkey_url, ALMANAC_STATE_DIR=str(tmp_path / "state"))

    for (number, shown), looked, again in zip(answered, said[::2], said[1::2], strict=True):
        assert (looked["generation"], again["generation"]) == (number, number)
        assert again["post_ids"] == shown
        n_both = min(len(shown), 10)
        assert looked["answer"]["post_ids"][:n_both] == shown[:n_both]
    assert len({number for number, _ in answered}) == 3


@pytest.mark.usefixtures("layout")
def test_the_function_leaves_out_what_is_not_wanted(store: redis.Redis) -> None:
    world = World().publish(store).promote(store)
    load(store)

    reply = call_feed(store, world.manifest, "2", AS_OF_S, 2, without=(40, 36))

    assert reply[3:] == ["38", "34"]
    assert world.own(2, AS_OF_S - AS_OF_S % HOUR_S)[:4] == [40, 38, 36, 34]


def test_the_function_refuses_to_answer_without_the_windows_of_posts(store: redis.Redis) -> None:
    world = World(windows=((40, Window(AS_OF_S + 1, None)),)).publish(store).promote(store)
    load(store)

    assert called(store, world, 2, AS_OF_S, 1)[3:] == ["38"]
    with pytest.raises(redis.ResponseError, match=r"want the key …:windows:1 in place 12"):
        called(store, replace(world, windows=()), 2, AS_OF_S, 1)
    store.unlink(Keys().windows(1))
    with pytest.raises(redis.ResponseError, match=r"want the key …:windows:1 in place 12"):
        called(store, world, 2, AS_OF_S, 1)


def test_the_function_refuses_a_generation_that_is_not_current(store: redis.Redis) -> None:
    World().publish(store)
    world = World().successor().publish(store).promote(store)
    load(store)

    assert called(store, world, 2, AS_OF_S, 1)[0] == "own"
    with pytest.raises(redis.ResponseError, match="generation 1 is not current"):
        called(store, World(), 2, AS_OF_S, 1)


@pytest.mark.own_rights
def test_a_store_that_does_not_let_us_load_functions_is_no_fault(store: redis.Redis, valkey_url: str) -> None:
    store.acl_setuser(
        "modest", enabled=True, passwords=["+secret"], categories=["+@all"], commands=["-function"]
    )
    try:
        url = valkey_url.replace("redis://", "redis://modest:secret@")
        with redis.Redis.from_url(url) as client:
            assert not load(client)
    finally:
        store.acl_deluser("modest")
