"""The inspector's generations: what the ledger says, and changes that say first what they will do."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import redis

from api.contract.pin import Pin
from api.tokens import FILE, add_token
from batch.publish.gate.interval import wilson
from batch.publish.ledger.promotion import NotServable
from batch.publish.proof.diff import diff
from batch.publish.publish import publish
from batch.publish.replay.history import read_history
from batch.runs.runs import Runs
from batch.store.who import who_am_i
from tests.content import AS_OF_S, KEYS, blocks, config, content, generations, published
from tests.inspecting import Inspected, inspecting

pytestmark = pytest.mark.integration

GATE: dict[str, Any] = {
    "outcome": "wait",
    "mode": "on",
    "why": "<b>too</b> alike",
    "checks": [
        {"name": "churn", "outcome": "wait", "says": "<b>too</b> alike", "value": 0.01, "limit": 0.02},
        {"name": "model", "outcome": "proceed", "says": "not asked", "value": None, "limit": None},
    ],
}


@pytest.fixture
def inspector(valkey_url: str, store: redis.Redis, tmp_path: Path) -> Iterator[Inspected]:
    """Give the inspector, signed in, of a store with two generations; the second is current."""
    for seed in range(2):
        published(store, tmp_path / "generations", seed)
    with inspecting(valkey_url, tmp_path) as opened:
        opened.clock.now_s = AS_OF_S + 1000
        yield opened.enter()


def served(store: redis.Redis) -> tuple[int | None, int | None]:
    """Return the current and the previous generation."""
    return generations(store).read_served("default")


def confirm(inspector: Inspected, **fields: Any) -> Any:
    """Open the page that asks, check that its form holds what its twin tells, and return its values."""
    values = inspector.read("/confirm", **fields)
    page = inspector.text("/confirm", **fields)
    told = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
    form = {**values["fields"], "act": values["act"], "served": values["served"], "csrf": inspector.csrf}
    assert {name: unescape(value) for name, value in told.items()} == form
    return values


def do(inspector: Inspected, **fields: Any) -> Any:
    """Ask, and then send the form."""
    values = confirm(inspector, **fields)
    return inspector.post("/act", act=values["act"], served=values["served"], **values["fields"])


def test_the_ledger_tells_states_and_times(inspector: Inspected) -> None:
    found = inspector.read("/generations")

    assert [(one["generation"], one["state"]) for one in found["generations"]] == [
        (2, "current"),
        (1, "previous"),
    ]
    assert all(one["users"] == 40 and one["served"] for one in found["generations"])
    assert found["notes"][0]["of"] == "generation 2"
    assert {(note["what"], note["who"]) for note in found["notes"]} == {("served under default", who_am_i())}


def test_a_generation_shows_its_gate_value_beside_limit(
    inspector: Inspected, store: redis.Redis, tmp_path: Path
) -> None:
    with pytest.raises(NotServable):  # it stays, sealed
        published(store, tmp_path / "generations", 2, gate=GATE)
    number = 3

    shown = inspector.read("/generation", number=number)

    assert [(one["name"], one["value"], one["limit"]) for one in shown["checks"]] == [
        ("churn", 0.01, 0.02),
        ("model", None, None),
    ]
    assert shown["disk_bytes"] > 0
    assert shown["before"] == 2
    assert "<b>" not in inspector.text("/generation", number=number)
    assert shown["state"] == "sealed"
    assert "generation 9 is unknown" in inspector.read("/generation", 404, number=9)["error"]
    assert "number='none'" in inspector.read("/generation", 422)["error"]
    held = do(inspector, act="promote", generation=number)
    assert held.status_code == 422
    assert "was not let through by the gate" in unescape(held.text)


def test_a_difference_is_that_of_the_command(inspector: Inspected, store: redis.Redis) -> None:
    found = inspector.read("/diff", a=1, b=2)

    told = diff(generations(store), 1, 2, user_id=None, sample=200, rng=np.random.default_rng(42))
    assert found["overlap"] == pytest.approx(told.overlap)
    assert found["histogram"] == list(told.histogram)
    assert [tuple(one) for one in found["winners"]] == list(told.winners)
    user = generations(store).user_ids(1)[0]
    assert {one["user_id"] for one in inspector.read("/diff", a=1, b=2, user=user)["samples"]} == {int(user)}
    store.set(KEYS.users(1), "999")  # nobody has lists in both
    nobody = inspector.read("/diff", a=1, b=2)
    assert (nobody["n_lists"], nobody["only_a"], nobody["only_b"]) == (0, 1, 40)
    assert inspector.read("/diff", 404, a=1, b=9)["title"] == "Not found"
    assert inspector.read("/diff", 404, a=1, b=2, user="nobody")["title"] == "Not found"


def test_topics_shift_by_their_shares_of_the_places(inspector: Inspected, store: redis.Redis) -> None:
    found = inspector.read("/diff", a=1, b=2)

    shares: list[dict[str, float]] = []
    for number, generation in enumerate((1, 2)):
        of, lists = content(number), [block.posts for block in blocks(content(number), number)]
        places = np.concatenate([posts[posts >= 0] for posts in lists])
        rows = {facet.removeprefix("topic="): posts for facet, posts in of.facets.items()}
        shares.append({name: float(np.isin(places, posts).mean()) for name, posts in rows.items()})
        assert generation == number + 1
    told = {one["topic"]: (one["a"], one["b"]) for one in found["topics"]}
    assert told == {
        name: (pytest.approx(shares[0][name]), pytest.approx(shares[1][name])) for name in shares[0]
    }
    gains = [abs(one["b"] - one["a"]) for one in found["topics"]]
    assert gains == sorted(gains, reverse=True)
    page = inspector.text("/diff", a=1, b=2)
    (link, *_) = re.findall(r'<h3><a href="(/feed\?[^"]+)"', page)
    shown = inspector.client.get(unescape(link).replace("/feed?", "/feed.json?")).json()["feed"]
    assert (shown["generation"], shown["beside"]["generation"]) == (2, 1)  # both feeds, whatever is served


def test_quality_and_memory_are_told_over_generations_also_of_those_that_are_gone(
    inspector: Inspected, store: redis.Redis, tmp_path: Path
) -> None:
    told = {"hitrate_at_5": 0.6, "hitrate_at_5_low": 0.55, "hitrate_at_5_high": 0.65, "test_sessions": 300.0}
    runs = Runs(tmp_path)
    lost = {"generation": 9, "metrics": {"hitrate_at_5": 0.1}}  # of a store that is no more
    gone = {
        "generation": 1,
        "as_of": "2021-12-19T00:00:00+00:00",
        "metrics": {**told, "hitrate_at_5_knn": 0.5},
    }
    for made, result in ((9, lost), (1, gone)):
        number = runs.begin("full", "default")
        runs.tell(number, generation=made)
        runs.end(number, "done")
        lines = [
            {"event": "generation.measured", "bytes_planned": 4 * 2**20, "bytes_taken": 3 * 2**20},
            {"event": "run.done", **result},
        ]
        runs.log_of(number).write_text(
            "".join(orjson.dumps(line).decode() + "\n" for line in lines) + '{"event":"run.done"'
        )
    third = replace(content(2), metrics={"hitrate_at_5": 0.5, "test_sessions": 100.0, "auc": float("nan")})
    publish(generations(store), third, blocks(third, 2), config(tmp_path / "generations"))

    rows = inspector.read("/generations")["quality"]

    assert [(row["generation"], row["is_kept"], row["hitrate"]) for row in rows] == [
        (1, False, 0.6),
        (2, True, None),
        (3, True, 0.5),
    ]
    assert (rows[0]["low"], rows[0]["high"], rows[0]["knn"]) == (0.55, 0.65, 0.5)
    assert (rows[0]["planned_mb"], rows[0]["taken_mb"]) == (4.0, 3.0)
    assert (rows[2]["low"], rows[2]["high"]) == wilson(0.5, 100, 0.95)
    assert rows[2]["taken_mb"] is None
    page = inspector.text("/generations")
    assert len(re.findall('class="whisker"', page)) == 2
    assert len(re.findall('class="dot"', page)) == 2 + 1  # hit rates, and what one took


@pytest.mark.parametrize(
    ("fields", "says", "changed"),
    [
        ({"act": "rollback", "variant": "default"}, "will serve generation 1 again", (1, None)),
        ({"act": "quarantine", "generation": 2}, "goes back to generation 1", (1, None)),
        ({"act": "quarantine", "generation": 1}, "will never be served again", (2, None)),
        ({"act": "promote", "generation": 1}, "in place of 2", (1, None)),
    ],
    ids=lambda one: "-".join(map(str, one.values())) if isinstance(one, dict) else None,
)
def test_what_is_served_changes_as_was_said_and_not_before(
    inspector: Inspected,
    store: redis.Redis,
    fields: dict[str, Any],
    says: str,
    changed: tuple[int | None, int | None],
) -> None:
    values = confirm(inspector, **fields)
    assert says in " ".join(values["says"])
    assert served(store) == (2, 1)

    done = do(inspector, **fields)

    assert (done.status_code, done.headers["location"]) == (303, "/generations")
    assert served(store)[0] == changed[0]
    again = inspector.post("/act", act=values["act"], served=values["served"], **values["fields"])
    if served(store) != (2, 1):  # it was asked of another state
        assert again.status_code == 403
        assert "has changed since" in again.text


def test_posts_are_taken_down_put_back_pinned_and_unpinned(inspector: Inspected, store: redis.Redis) -> None:
    def history() -> Any:
        return read_history(store, KEYS, "default")

    steps: list[tuple[dict[str, Any], Callable[[], bool]]] = [
        ({"act": "take_down", "post": "+07"}, lambda: history().taken_down == {"7"}),
        ({"act": "put_back", "post": "7"}, lambda: history().taken_down == set()),
        (
            {"act": "pin", "post": "7", "place": 2, "to": "2021-12-30T00:00", "segment": "m"},
            lambda: history().pins == {"7": Pin(2, to_s=1640822400, segment="m")},
        ),
        ({"act": "unpin", "post": "7"}, lambda: history().pins == {}),
    ]
    for fields, holds in steps:
        confirm(inspector, **fields)
        assert not holds() or fields["act"] == "unpin"
        assert do(inspector, **fields).status_code == 303
        assert holds()
        inspector.clock.now_s += 1

    notes = inspector.read("/generations")["notes"]
    assert [note["what"] for note in notes[:4]] == [
        "pin ended",
        "pinned to place 2",
        "put back",
        "taken down",
    ]
    assert {note["who"] for note in notes[:4]} == {who_am_i()}
    assert inspector.read("/generations")["taken_down"] == []


def test_notes_say_who_by_the_name_of_their_token_and_older_ones_say_nobody(
    inspector: Inspected, store: redis.Redis, tmp_path: Path
) -> None:
    _, token = add_token(tmp_path / FILE, "admin", "ann of {shop} 100%")
    assert inspector.client.post("/enter", data={"token": token}).status_code == 303
    old_s = AS_OF_S + 10
    store.zadd(KEYS.takedown_log(), {f"{old_s}000 7 down": old_s})
    store.zadd(
        KEYS.pin_log(), {f"{old_s}000 7 removed": old_s, f'{old_s}000 8 {{"place":1,"topic":"a b"}}': old_s}
    )
    store.zadd(KEYS.promotions("default"), {"0000000 1 promoted": old_s - 1})

    for fields in (
        {"act": "quarantine", "generation": 2},
        {"act": "take_down", "post": "7"},
        {"act": "pin", "post": "8", "topic": "a b"},
    ):
        inspector.clock.now_s += 1
        assert do(inspector, **fields).status_code == 303

    notes = inspector.read("/generations")["notes"]
    told = [(note["of"], note["what"], note["who"]) for note in notes]
    by = "ann of {shop} 100%"
    assert told[:4] == [
        ("post 8", "pinned to place 1", by),
        ("post 7", "taken down", by),
        ("generation 2", "quarantined", by),
        ("generation 1", "served again under default, by a rollback", by),
    ]
    assert told[-1] == ("generation 1", "served under default", None)
    assert [one for one in told if one[2] is None][:3] == [
        ("post 8", "pinned to place 1", None),
        ("post 7", "pin ended", None),
        ("post 7", "taken down", None),
    ]
    history = read_history(store, KEYS, "default")
    assert history.pins_at(old_s) == {"8": Pin(1, topic="a b")}
    assert history.taken_down_at(old_s) == {"7"}


def test_nothing_changes_without_a_token_or_by_a_link(inspector: Inspected, store: redis.Redis) -> None:
    values = confirm(inspector, act="take_down", post="7")
    form = {"act": "take_down", "post": "7", "served": values["served"]}

    assert inspector.client.post("/act", data=form).status_code == 403
    assert inspector.client.post("/act", data={**form, "csrf": "wrong"}).status_code == 403
    assert inspector.client.get("/act", params=form).status_code == 405
    inspector.client.cookies.clear()
    assert inspector.client.post("/act", data=form).status_code == 401
    assert store.smembers(KEYS.takedowns()) == set()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"act": "delete"}, 404),
        ({}, 404),
        ({"act": "promote", "generation": "9"}, 404),
        ({"act": "promote"}, 422),
        ({"act": "take_down", "post": ""}, 422),
        ({"act": "pin", "post": "7", "place": "0"}, 422),
        ({"act": "pin", "post": "7", "from": "soon"}, 422),
    ],
)
def test_what_cannot_be_done_is_said_before(
    inspector: Inspected, fields: dict[str, Any], status: int
) -> None:
    assert inspector.read("/confirm", status, **fields)["status"] == status


def test_an_empty_store_has_an_empty_ledger(valkey_url: str, store: redis.Redis, tmp_path: Path) -> None:
    with inspecting(valkey_url, tmp_path) as opened:
        assert opened.enter().read("/generations")["generations"] == []
        assert "no generation yet" in opened.text("/generations")
