"""The inspector's page of why a post is in a feed, or is not: what the command finds, drawn."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import redis

from api.contract.buckets import moment
from api.contract.codec import decode
from api.contract.manifest import Manifest
from batch.jobs.why import find_why
from batch.publish.explain.lines import LEAST
from batch.settings import Settings
from tests.inspecting import Inspected, inspecting
from tests.nights import DEPTH, night, publish_night
from tests.own_lists import read_own
from tests.world import AS_OF_S, Names, World

pytestmark = pytest.mark.integration
FIRST = 22
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def inspector(valkey_url: str, tmp_path: Path) -> Iterator[Inspected]:
    """Give the inspector, signed in."""
    with inspecting(valkey_url, tmp_path) as opened:
        yield opened.enter()


@pytest.fixture
def live(store: redis.Redis, tmp_path: Path) -> Manifest:
    """Publish one night and return its manifest."""
    return publish_night(store, tmp_path / "generations", night(FIRST))


def test_the_page_says_what_the_command_finds_and_its_bars_add_up_to_the_score(
    inspector: Inspected, store: redis.Redis, live: Manifest, tmp_path: Path
) -> None:
    user, at_s = int(night(FIRST).content.user_ids[3]), live.start_s
    listed = decode(read_own(store, 1, user)[b"%d" % at_s])
    others = [int(post) for post in night(FIRST).content.post_ids if post not in listed]
    states = set()
    for post in (listed[0], listed[-1], *others[::60]):
        asked: dict[str, Any] = {"user": user, "at": moment(at_s).isoformat(), "post": post}

        shown = inspector.read("/why", **asked)

        found = find_why(store, Settings(state_dir=tmp_path), user, post, at_s)
        assert shown["why"] == found.values()
        states.add(found.state)
        lines = shown["lines"]
        added = lines["base"] + sum(value for _, value in lines["parts"])
        assert added == pytest.approx(lines["score"], abs=LEAST)
        assert lines["score"] == pytest.approx(found.values()["score"], abs=1e-9)
        page = unescape(inspector.text("/why", **asked))
        assert found.sentence()[1:] in page
        assert f"{lines['score']:+.4f}" in page
        assert len(re.findall('<rect class="(?:bar|minus)"', page)) == len(lines["parts"])
        assert shown["post"]["id"] == post
        assert [one["id"] for one in shown["liked"]] == [near for near, _ in found.evidence]
    assert states >= {"listed", "ranked"}


def test_a_users_columns_are_those_that_the_model_read(
    inspector: Inspected, store: redis.Redis, live: Manifest
) -> None:
    inputs, row = night(FIRST).inputs.sides, 3
    asked: dict[str, Any] = {"user": int(inputs.user_ids[row]), "at": moment(live.start_s).isoformat()}

    told = inspector.read("/feed", **asked)["feed"]["profile"]["told"]

    names = [one.name for one in inputs.features if one.side == "user"]
    assert [one["name"] for one in told] == names
    assert names
    wanted = [None if value != value else value for value in inputs.user[row].tolist()]
    assert [one["value"] for one in told] == wanted
    assert inspector.read("/feed", user="nobody")["feed"]["profile"]["told"] == []


def test_the_feeds_links_lead_to_why_and_so_does_its_form(
    inspector: Inspected, store: redis.Redis, live: Manifest
) -> None:
    user = int(night(FIRST).content.user_ids[3])
    page = inspector.text("/feed", user=user, at=moment(live.start_s).isoformat(), limit=5)
    links = [unescape(link) for link in re.findall(r'href="(/why\?[^"]+)"', page)]

    for rank, link in enumerate(links[:5], 1):
        shown = inspector.client.get(link.replace("/why?", "/why.json?")).json()
        assert (shown["rank"], shown["limit"]) == (rank, 5)
        assert shown["why"]["n_listed"] == DEPTH
    assert '<form class="fields" action="/why">' in page


def test_a_pinned_post_is_said_to_be_in_the_feed_and_not_in_the_list(
    inspector: Inspected, store: redis.Redis, names: Names
) -> None:
    World(names=names).publish(store).promote(store).pin(store, 9, 3)

    shown = inspector.read("/why", user=names.user(2), at=moment(AS_OF_S).isoformat(), post=names.post(9))

    assert (shown["rank"], shown["rung"], shown["why"]["place"]) == (3, "pinned", None)
    assert (shown["why"]["state"], shown["lines"]) == ("absent", None)
    assert shown["why"]["lacking"] == "generation 1 was published without its inputs"


def test_whatever_is_unknown_or_missing_is_said_and_nothing_of_it_is_run(
    inspector: Inspected, store: redis.Redis
) -> None:
    assert inspector.read("/why", 503, user=2, post=4)["title"] == "Nothing is published yet"
    World().publish(store).promote(store)
    at = moment(AS_OF_S).isoformat()

    unknown = inspector.read("/why", user=2, at=at, post=HOSTILE)
    stranger = inspector.read("/why", user=HOSTILE, at=at, post=2)

    assert (unknown["why"]["state"], unknown["post"], unknown["rank"]) == ("unknown", None, None)
    assert stranger["why"]["state"] == "no_list"
    assert inspector.read("/why", 422, user=2)["error"] == "post= is missing: give an id"
    assert inspector.read("/why", 422, post=2)["error"] == "user= is missing: give an id"
    assert "is not an id" in inspector.read("/why", 422, user=2, post="x" * 300)["error"]
    assert "variant 'other'" in inspector.read("/why", 503, user=2, post=2, variant="other")["error"]
    for asked in ({"user": "2", "post": HOSTILE}, {"user": HOSTILE, "post": "2"}):
        page = inspector.text("/why", at=at, **asked)
        assert not re.search(r"<(script|img)(?![^>]*/static/)", page)
        assert HOSTILE in unescape(page)
