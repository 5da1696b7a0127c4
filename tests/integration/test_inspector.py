"""The inspector: who is let in, and that its feed is the one that the API answers."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.parse import quote as url_quote

import httpx2
import orjson
import pytest
import redis
import yaml
from fastapi.testclient import TestClient

from api.contract.buckets import DAY_S, Horizon, moment
from api.contract.ids import quote
from api.contract.keys import Keys
from api.contract.pin import Pin
from api.tokens import FILE, add_token
from batch.__main__ import run_command
from batch.inspector.door import LINK_S, SESSION_S
from batch.inspector.guard import HEADERS
from batch.publish.ledger.promotion import promote
from batch.publish.pins import set_pin
from batch.publish.publish import publish
from batch.publish.takedowns import take_down
from tests.clients import ROOT
from tests.conftest import free_port
from tests.content import AS_OF_S as CONTENT_S
from tests.content import blocks, config, content, generations, published
from tests.forked import program
from tests.inspecting import COOKIE, Inspected, inspecting
from tests.world import AS_OF_S, HOUR_S, Names, World

pytestmark = pytest.mark.integration

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def small(store: redis.Redis) -> World:
    """Publish the world, whose ids are numbers, and make it current."""
    return World().publish(store).promote(store)


@pytest.fixture
def outside(valkey_url: str, tmp_path: Path) -> Iterator[Inspected]:
    """Give the inspector with nobody signed in."""
    with inspecting(valkey_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def inspector(outside: Inspected) -> Inspected:
    """Give the inspector, signed in."""
    return outside.enter()


def test_nobody_sees_a_page_before_they_sign_in(outside: Inspected, small: World) -> None:
    for path in ("/", "/feed", "/feed.json", "/feed/random", "/post?generation=1&id=2"):
        answered = outside.client.get(path)

        assert answered.status_code == 401
        assert "Post" not in answered.text
    assert outside.client.post("/leave", data={"csrf": ""}).status_code == 401


def test_a_link_lets_in_once_and_only_while_it_is_valid(outside: Inspected, small: World) -> None:
    code, late = outside.door.make_link(), outside.door.make_link()

    entered = outside.client.get(f"/enter?code={code}")

    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert outside.client.get("/feed").status_code == 200
    outside.client.cookies.clear()
    assert outside.client.get(f"/enter?code={code}").status_code == 403  # it was used
    outside.clock.now_s += LINK_S
    assert outside.client.get(f"/enter?code={late}").status_code == 403  # it has expired
    assert outside.client.get("/enter?code=made-up").status_code == 403
    assert outside.client.get("/feed").status_code == 401


def test_an_admin_token_lets_in_and_no_other(outside: Inspected, small: World, tmp_path: Path) -> None:
    _, admin = add_token(tmp_path / FILE, "admin", "ann")
    _, write = add_token(tmp_path / FILE, "write", "shop")

    for token in (write, "almanac_wrong", ""):
        assert outside.client.post("/enter", data={"token": token}).status_code == 403
        headers = {"Authorization": f"Bearer {token}"}
        assert outside.client.get("/feed.json", headers=headers).status_code == 401
    headers = {"Authorization": f"Bearer {admin}"}
    assert outside.client.get("/feed.json", headers=headers).status_code == 200
    assert outside.client.post("/enter", data={"token": admin}).status_code == 303
    assert outside.client.get("/feed").status_code == 200


def test_a_session_ends_by_itself_or_by_signing_out(inspector: Inspected, small: World) -> None:
    key, csrf = inspector.client.cookies[COOKIE], inspector.csrf

    for wrong in ("", "x" * 43, "é"):
        assert inspector.client.post("/leave", data={"csrf": wrong}).status_code == 403
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert inspector.client.post("/leave", data={"csrf": csrf}, headers=foreign).status_code == 403
    assert inspector.client.post("/leave", data={"csrf": csrf, "x": "y" * 70_000}).status_code == 403
    assert inspector.client.get("/leave").status_code == 405
    assert inspector.client.get("/feed").status_code == 200
    assert inspector.client.post("/leave", data={"csrf": csrf}).status_code == 303
    inspector.client.cookies.set(COOKIE, key)
    assert inspector.client.get("/feed").status_code == 401
    inspector.enter().clock.now_s += SESSION_S
    assert inspector.client.get("/feed").status_code == 401


def test_style_and_script_are_packed_and_pages_are_not(inspector: Inspected, small: World) -> None:
    for name in ("style.css", "live.js"):
        packed, plain = (
            inspector.client.get(f"/static/{name}", headers={"Accept-Encoding": accepted})
            for accepted in ("gzip, br", "identity")
        )
        assert (packed.headers.get("content-encoding"), plain.headers.get("content-encoding")) == (
            "gzip",
            None,
        )
        assert packed.text == plain.text
        assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert (
        "content-encoding" not in inspector.client.get("/feed", headers={"Accept-Encoding": "gzip"}).headers
    )


@pytest.mark.parametrize("path", ["/", "/feed.json", "/static/style.css", "/nowhere", "/enter?code=x"])
def test_every_answer_is_guarded_and_foreign_names_are_refused(
    inspector: Inspected, small: World, path: str
) -> None:
    answered = inspector.client.get(path)

    assert {name: answered.headers[name] for name in HEADERS} == HEADERS
    for host in ("evil.example", "127.0.0.1.evil.example:80", "", "testserver, evil.example"):
        refused = inspector.client.get(path, headers={"Host": host})
        assert refused.status_code == 421
        assert refused.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize("hours", [0, 1, 23, 40, -26])
def test_the_feed_is_what_the_api_answers(
    inspector: Inspected, world: World, client: TestClient, store: redis.Redis, hours: int
) -> None:
    at = moment(AS_OF_S + hours * HOUR_S).replace(tzinfo=None).isoformat()
    world.take_down(store, 20)
    world.see(store, 2, 30, AS_OF_S + HOUR_S)
    world.pin(store, 9, 3)
    for place in (2, 3, 99):
        user = str(world.names.user(place))

        shown = inspector.read("/feed", user=user, at=at)["feed"]

        answered = client.get("/post/recommendations/", params={"id": user, "time": at}).json()
        assert [post["id"] for post in shown["posts"]] == [post["id"] for post in answered]
        assert [post["rank"] for post in shown["posts"]] == list(range(1, len(answered) + 1))
        assert [post["text"] for post in shown["posts"]] == [post["text"] for post in answered]
        assert shown["posts"][2]["rung"] == "pinned"
        assert shown["is_known"] == (place != 99)


def test_what_was_left_out_of_a_list_is_named_with_why(
    inspector: Inspected, store: redis.Redis, names: Names
) -> None:
    world = World(names=names).publish(store).promote(store)
    first, second = world.own(2, AS_OF_S - AS_OF_S % HOUR_S)[:2]
    world.take_down(store, second)
    world.see_live(store, 2, first, AS_OF_S)

    shown = inspector.read("/feed", user=str(names.user(2)), at=moment(AS_OF_S).isoformat())["feed"]

    assert [(post["id"], post["why"], post["place"]) for post in shown["passed"]] == [
        (names.post(first), "seen", 1),
        (names.post(second), "taken_down", 2),
    ]
    assert shown["passed"][0]["when"] == moment(AS_OF_S).isoformat()
    assert shown["profile"]["columns"] == {"parity": "even"}
    assert shown["profile"]["seen"] == 5


def test_the_hours_around_and_another_generation_are_compared(
    inspector: Inspected, store: redis.Redis
) -> None:
    world = World().publish(store).promote(store)
    World().successor().publish(store)
    at_s = AS_OF_S + 5 * HOUR_S

    shown = inspector.read("/feed", user=2, at=moment(at_s).isoformat(), limit=5, beside=2)["feed"]

    ids = [post["id"] for post in shown["posts"]]
    after = shown["around"]["after"]
    assert ids[1:] == after["posts"][:4]  # lists turn by one place an hour
    assert [after["common"], after["came"], after["went"]] == [4, [after["posts"][4]], [ids[0]]]
    assert [post["ranks"]["after"] for post in shown["posts"]] == [None, 1, 2, 3, 4]
    assert shown["around"]["yesterday"]["at"] == moment(at_s - DAY_S).isoformat()
    assert shown["around"]["yesterday"]["overlap"] == 1.0  # the same time of day of the same lists
    assert [post["place"] for post in shown["beside"]["posts"]] == [2, 3, 4, 5, None]
    assert shown["beside"]["common"] == 4
    assert inspector.read("/feed", 410, user=2, beside=7)["error"].startswith("generation 7 ")
    assert "variant 'other'" in inspector.read("/feed", 503, user=2, beside="other")["error"]
    assert world.generation == 1


def test_scores_are_those_that_were_published(
    inspector: Inspected, store: redis.Redis, tmp_path: Path
) -> None:
    of = content(0)
    promote(generations(store), published(store, tmp_path / "generations").generation, CONTENT_S)
    block = next(blocks(of, 0))
    user, bucket_s = int(of.user_ids[0]), of.horizon.starts[1]

    shown = inspector.read("/feed", user=user, at=moment(bucket_s).isoformat(), limit=5)["feed"]

    wanted = dict(zip(of.post_ids[block.posts[0, 1]].tolist(), block.scores[0, 1].tolist(), strict=True))
    own = [post for post in shown["posts"] if post["rung"] in ("own", "rest")]
    assert own
    assert {post["id"]: post["score"] for post in own} == {post["id"]: wanted[post["id"]] for post in own}
    assert shown["has_scores"]
    assert [post["score"] for post in shown["posts"] if post not in own] == [None] * (5 - len(own))


def test_likes_are_counted_by_day_and_topic(inspector: Inspected, store: redis.Redis) -> None:
    World().publish(store).promote(store)
    store.zadd(Keys().likes(2), {"1": AS_OF_S - 3 * DAY_S, "2": AS_OF_S, "4": AS_OF_S, "5": AS_OF_S + DAY_S})

    likes = inspector.read("/feed", user=2, at=moment(AS_OF_S).isoformat())["feed"]["likes"]

    assert likes["n"] == 3
    assert [span["n"] for span in likes["over_time"]] == [1, 0, 0, 2]
    assert likes["by_topic"] == [{"topic": "even", "n": 2}, {"topic": "odd", "n": 1}]


def test_texts_of_any_kind_are_shown_as_texts(inspector: Inspected, store: redis.Redis) -> None:
    world = World().publish(store).promote(store)
    long, arabic = "ж" * 10_000, "\u202eمرحبا <b>بالعالم</b>"
    texts = {40: HOSTILE, 38: long, 36: arabic}
    for post, text in texts.items():
        raw = orjson.dumps({"id": post, "text": text, "topic": HOSTILE})
        store.hset(Keys().posts(world.generation), str(post), raw)
    at = moment(AS_OF_S - AS_OF_S % HOUR_S).isoformat()

    page = inspector.text("/feed", user=2, at=at)

    assert not re.search(r"<(script|img)(?![^>]*/static/)", page)
    assert HOSTILE in unescape(page)
    assert "ж" * 200 + "…" in page
    assert "ж" * 201 not in page
    assert arabic in unescape(page)
    assert long in inspector.text("/post", generation=1, id=38)
    assert HOSTILE not in inspector.text("/feed", user=HOSTILE, at=at, beside=HOSTILE, variant=HOSTILE)
    assert HOSTILE not in inspector.text("/feed", user=2, at=HOSTILE)


def test_every_post_of_a_feed_of_text_ids_has_its_page(inspector: Inspected, store: redis.Redis) -> None:
    names = Names("text")
    World(names=names).publish(store).promote(store)
    for place in (1, 2):
        page = inspector.text("/feed", user=str(names.user(place)), at=moment(AS_OF_S).isoformat(), limit=40)

        links = set(re.findall(r'href="(/post\?[^"]+)"', page))
        assert len(links) >= 36
        for link in links:
            assert inspector.client.get(unescape(link)).status_code == 200


def test_anybody_may_be_drawn_and_anybody_of_a_segment(
    inspector: Inspected, world: World, store: redis.Redis
) -> None:
    places = {world.names.user_key(place): place for place in world.users}
    store.set(Keys().users(1), " ".join(map(quote, places)))
    drawn = []
    for segment in ("", "parity=odd"):
        answered = inspector.client.get("/feed/random", params={"segment": segment, "limit": 3})
        query = parse_qs(urlsplit(answered.headers["location"]).query)
        assert query["limit"] == ["3"]
        drawn.append(places[query["user"][0]])

    assert drawn[1] % 2 == 1
    assert inspector.client.get("/feed/random?segment=none").status_code == 404
    assert inspector.client.get("/feed/random?views=none").status_code == 404


def test_a_user_is_drawn_by_how_much_they_have_seen(
    inspector: Inspected, world: World, store: redis.Redis
) -> None:
    keys = {place: world.names.user_key(place) for place in world.users}
    store.set(Keys().users(1), " ".join(map(quote, keys.values())))
    for place, key in keys.items():  # user 8 has seen twelve posts, user 1 five
        seen = {str(world.names.number(post)): AS_OF_S for post in range(5, 5 + place)}
        store.zadd(Keys().seen(key), seen)

    def draw(**asked: Any) -> dict[str, list[str]]:
        answered = inspector.client.get("/feed/random", params={"topic": ["odd", "ten"], **asked})
        return parse_qs(urlsplit(answered.headers["location"]).query)

    assert draw(views="most")["user"] == [keys[8]]
    assert draw(views="few")["user"] == [keys[1]]
    assert draw(views="typical")["user"][0] in (keys[4], keys[5])
    assert draw(views="most", segment="parity=odd")["user"] == [keys[7]]
    assert draw(views="few")["topic"] == ["odd", "ten"]  # what else is asked stays


@pytest.mark.parametrize(
    "asked",
    [
        {"topic": ["odd"]},
        {"topic": ["odd", "ten"], "filter": ["third=a=1"]},
        {"not_topic": ["ten"]},
        {"topic": ["none"]},
    ],
)
def test_a_filtered_feed_is_the_apis_and_says_what_was_filtered(
    inspector: Inspected, world: World, client: TestClient, asked: dict[str, list[str]]
) -> None:
    user, at = str(world.names.user(2)), moment(AS_OF_S).replace(tzinfo=None).isoformat()
    wished: dict[str, Any] = {"user": user, "at": at, "limit": 40, **asked}

    shown = inspector.read("/feed", **wished)["feed"]

    answered = client.get(
        "/post/recommendations/", params={"id": user, "time": at, "limit": 40, **asked}
    ).json()
    posts = [post["id"] for post in shown["posts"]]
    assert posts == [post["id"] for post in answered]
    own = [world.names.post(post) for post in world.own(2, AS_OF_S - AS_OF_S % HOUR_S)]
    passed = {post["id"]: post["why"] for post in shown["passed"]}
    assert passed == {post: "filtered" for post in own if post not in posts}
    page = inspector.text("/feed", **wished)
    for name, values in asked.items():
        for value in values:
            assert f"{name}={url_quote(value, safe='')}" in unescape(page)  # in the links to other hours
            assert f'name="{name}" value="{value}"' in page  # in the form of the slider


def test_excluded_posts_are_left_out_as_the_api_does_it(
    inspector: Inspected, world: World, client: TestClient
) -> None:
    user, at = str(world.names.user(2)), moment(AS_OF_S).replace(tzinfo=None).isoformat()
    own = [world.names.post(post) for post in world.own(2, AS_OF_S - AS_OF_S % HOUR_S)]
    exclude = ",".join(str(post).replace(",", ",,") for post in own[:3])

    shown = inspector.read("/feed", user=user, at=at, exclude=exclude)["feed"]

    answered = client.get(f"/users/{url_quote(user, safe='')}/feed", params={"at": at, "exclude": exclude})
    assert [post["id"] for post in shown["posts"]] == [post["id"] for post in answered.json()["posts"]]
    assert [(post["id"], post["why"]) for post in shown["passed"]] == [(post, "excluded") for post in own[:3]]
    assert shown["around"]["after"]["posts"][:1] != own[:1]
    assert inspector.read("/feed", 422, user=user, exclude="1,,2,")["title"] == "That does not fit"


def test_what_is_no_filter_is_refused(inspector: Inspected, small: World) -> None:
    said = inspector.read("/feed", 422, user=2, filter="colour=red")["error"]
    assert "'colour' is no column that generation 1 filters by" in said
    assert inspector.read("/feed", 422, user=2, filter="colour")["error"].startswith(
        "filter='colour' is none"
    )
    assert inspector.read("/feed", 422, user=2, topic=["a" * k for k in range(1, 22)])["error"].startswith(
        "21 of"
    )


def test_any_generation_is_shown_whatever_is_served_and_why_asks_the_same_one(
    inspector: Inspected, store: redis.Redis
) -> None:
    World().publish(store).promote(store)
    later = World().successor().publish(store)
    at = moment(AS_OF_S).isoformat()
    first = AS_OF_S - AS_OF_S % HOUR_S

    named = inspector.read("/feed", user=2, at=at, generation=2, beside=1, limit=5)["feed"]

    assert [post["id"] for post in named["posts"]] == later.own(2, first)[:5]
    assert (named["generation"], named["beside"]["generation"]) == (2, 1)
    assert named["around"]["after"]["generation"] == 2
    page = inspector.text("/feed", user=2, at=at, beside=2, limit=5)
    links = [unescape(link) for link in re.findall(r'href="(/why\?[^"]+)"', page)]
    told = [inspector.client.get(link.replace("/why?", "/why.json?")).json() for link in links]
    assert [(one["why"]["generation"], one["rank"]) for one in told] == [
        *((1, rank) for rank in range(1, 6)),
        *((2, rank) for rank in range(1, 6)),
        (1, None),  # the last post beside is not here: why not
    ]
    assert inspector.read("/why", 410, user=2, post=4, at=at, generation=7)["title"].startswith("This gen")


def test_the_kept_past_is_led_to_by_when_each_generation_was_served(
    inspector: Inspected, store: redis.Redis, tmp_path: Path
) -> None:
    for seed in range(3):
        of = replace(content(seed), as_of_s=CONTENT_S + seed * DAY_S)
        of = replace(of, horizon=Horizon.after(of.as_of_s, HOUR_S, 3))
        how = config(tmp_path / "generations", now=lambda at_s=of.as_of_s + 60: at_s)
        publish(generations(store), of, blocks(of, seed), how)  # two are kept
    user = int(content(0).user_ids[0])
    inspector.clock.now_s = CONTENT_S + 3 * DAY_S
    inspector.enter()

    shown = inspector.read("/feed", user=user)["feed"]

    assert [(one["generation"], one["at"]) for one in shown["kept"]] == [
        (3, moment(CONTENT_S + 2 * DAY_S + 60).isoformat()),
        (2, moment(CONTENT_S + DAY_S + 60).isoformat()),
    ]
    page = inspector.text("/feed", user=user)
    links = [
        unescape(link) for link in re.findall(r'<a href="(/feed\?[^"]+)"[^>]*>[^<]*: generation \d', page)
    ]
    told = [inspector.client.get(link.replace("/feed?", "/feed.json?")).json()["feed"] for link in links]
    assert [one["generation"] for one in told] == [3, 2]


def test_pins_and_takedowns_say_since_when(inspector: Inspected, store: redis.Redis) -> None:
    world = World().publish(store).promote(store)
    first = world.own(2, AS_OF_S - AS_OF_S % HOUR_S)[0]
    take_down(store, Keys(), "default", str(first), AS_OF_S - 500)
    set_pin(store, Keys(), "default", "9", Pin(2, to_s=AS_OF_S + 500), AS_OF_S - 400)

    shown = inspector.read("/feed", user=2, at=moment(AS_OF_S).isoformat())["feed"]

    passed, pinned = shown["passed"][0], shown["posts"][1]
    assert (passed["why"], passed["when"]) == ("taken_down", moment(AS_OF_S - 500).isoformat())
    assert (pinned["rung"], pinned["pinned_at"]) == ("pinned", moment(AS_OF_S - 400).isoformat())
    assert pinned["pinned_to"] == moment(AS_OF_S + 500).isoformat()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"at": "yesterday"}, "at='yesterday' is no time: give such as 2021-12-20T19:00"),
        ({"at": "9999-12-31T23:59"}, "at='9999-12-31T23:59' is outside the years 1970 to 9000"),
        ({"limit": "101"}, "limit='101' is no whole number from 1 to 100"),
        ({"limit": "²"}, "limit='²' is no whole number from 1 to 100"),
        ({"user": "x" * 300}, f"'{'x' * 40}' is not an id: 1 to 256 bytes without control characters"),
    ],
)
def test_a_bad_value_is_named(inspector: Inspected, small: World, query: dict[str, Any], said: str) -> None:
    asked: dict[str, Any] = {"user": "2", **query}

    assert inspector.read("/feed", 422, **asked)["error"] == said


def test_a_slider_goes_to_its_hour(inspector: Inspected, store: redis.Redis) -> None:
    World().publish(store).promote(store)
    first = AS_OF_S - AS_OF_S % HOUR_S
    slid: dict[str, Any] = {"from": moment(first).isoformat(), "width": HOUR_S, "step": 7}

    shown = inspector.read("/feed", user=2, **slid)["feed"]

    assert shown["bucket"] == moment(first + 7 * HOUR_S).isoformat()
    assert shown["step"] == 7


def test_an_empty_store_and_one_that_is_away_say_so(
    inspector: Inspected, store: redis.Redis, tmp_path: Path
) -> None:
    assert inspector.read("/feed", 503)["title"] == "Nothing is published yet"
    with inspecting(f"redis://:secret@127.0.0.1:{free_port()}/0", tmp_path) as away:
        found = away.enter().read("/feed", 503, user=2)

    assert found["title"] == "The store does not answer"
    assert "ALMANAC_REDIS_URL" in found["error"]
    assert "secret" not in found["error"]


def test_a_generation_that_goes_under_an_open_page_is_said_to_be_gone(
    inspector: Inspected, store: redis.Redis
) -> None:
    World().publish(store).promote(store)
    World().successor().publish(store)
    at = moment(AS_OF_S).isoformat()
    assert inspector.read("/feed", user=2, at=at, beside=2)["feed"]["beside"]["generation"] == 2

    store.hset(Keys().states(), "2", "retired")

    assert (
        inspector.read("/feed", 410, user=2, at=at, beside=2)["title"] == "This generation is no longer kept"
    )
    assert inspector.client.get("/post?generation=2&id=4").status_code == 410
    assert inspector.read("/feed", user=2, at=at)["feed"]["generation"] == 1


def test_the_process_prints_its_link_once_and_logs_nothing_of_it(
    valkey_url: str, small: World, tmp_path: Path
) -> None:
    command = [*program(), "inspect", "--web", "--port", "0", "--json"]
    env = {**os.environ, "ALMANAC_REDIS_URL": valkey_url, "ALMANAC_STATE_DIR": str(tmp_path)}
    log = tmp_path / "log"
    with log.open("wb") as err:
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=err)
        assert process.stdout is not None
        link = orjson.loads(process.stdout.readline())["url"]
        with httpx2.Client(follow_redirects=True) as browser:
            first = browser.get(link)
            again = httpx2.get(link)
        process.terminate()
        rest, _ = process.communicate(timeout=20)

    assert (first.status_code, again.status_code) == (200, 403)
    assert "server" not in first.headers
    assert link.startswith("http://127.0.0.1:")
    assert (process.returncode, orjson.loads(rest.splitlines()[-1])) == (0, {"stopped": True})
    code = link.partition("code=")[2]
    assert code.encode() not in rest + log.read_bytes()


def test_the_service_of_the_compose_file_lets_in_by_a_token_only_and_prints_none(
    valkey_url: str, small: World, tmp_path: Path
) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    own = ["127.0.0.1" if word == "0.0.0.0" else word for word in services["inspector"]["command"][1:]]
    env = {**os.environ, "ALMANAC_REDIS_URL": valkey_url, "ALMANAC_STATE_DIR": str(tmp_path)}
    _, token = add_token(tmp_path / FILE, "admin", "ann")
    words = [re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in own]
    command = [*program(), *words, "--port", "0", "--json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        home = orjson.loads(said)["url"]
        with httpx2.Client(follow_redirects=True) as browser:
            assert browser.get(home).status_code == 401
            entered = browser.post(f"{home}enter", data={"token": token})
            by_name = browser.get(home.replace("127.0.0.1", "localhost"))
        process.terminate()
        said += process.stdout.read()

    assert (entered.status_code, by_name.status_code) == (200, 401)  # one name's cookie is not another's
    assert b"code=" not in said
    assert token.encode() not in said


def test_inspect_wants_a_user_or_pages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["inspect"]) == 2
    assert "almanac inspect USER; or --web for pages" in capsys.readouterr().err
