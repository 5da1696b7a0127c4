"""Experiments: whose arm a user is in, what holds when, and how it is written."""

import hashlib
from collections import Counter
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.experiment import (
    ROUTES,
    STATES,
    Arm,
    Experiment,
    find_holding,
    read_experiments,
)

HALVES = (Arm("a", "default", 50), Arm("b", "text", 50))
AB = Experiment("buttons", "my_salt", HALVES, state="running")
NAMES = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
USERS = st.text(min_size=1).filter(lambda text: not text.isspace())


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    """Draw any experiment."""
    edges = draw(st.sets(st.integers(1, 99), min_size=1, max_size=5))
    shares = [end - begin for begin, end in zip([0, *sorted(edges)], [*sorted(edges), 100], strict=True)]
    names = draw(st.lists(NAMES, min_size=len(shares), max_size=len(shares), unique=True))
    arms = tuple(Arm(name, draw(NAMES), share) for name, share in zip(names, shares, strict=True))
    users = draw(st.sets(st.integers(0, 10**12).map(str), max_size=3))
    start_s = draw(st.integers(0, 2**40))
    return Experiment(
        name=draw(NAMES),
        salt=draw(st.text(min_size=1)),
        arms=arms,
        start_s=start_s,
        end_s=draw(st.none() | st.integers(start_s + 1, 2**41)),
        forced={user: draw(st.sampled_from(names)) for user in users},
        response=draw(st.sampled_from(["plain", "ab"])),
        routes=tuple(draw(st.lists(st.sampled_from(ROUTES), min_size=1, max_size=2, unique=True))),
        sample_percent=draw(st.integers(1, 100)),
        state=draw(st.sampled_from(STATES)),
    )


@given(experiments())
def test_what_is_written_is_read(one: Experiment) -> None:
    assert Experiment.from_json(one.to_json()) == one


def test_fields_of_a_later_version_are_passed_over() -> None:
    raw = {**orjson.loads(AB.to_json()), "colour": "red"}

    assert Experiment.from_json(orjson.dumps(raw)) == AB


@given(st.integers(0, 10**12), st.text(min_size=1), st.integers(1, 99))
def test_two_arms_split_the_users_as_checkers_of_the_course_do(user_id: int, salt: str, share: int) -> None:
    one = Experiment("e", salt, (Arm("control", "default", share), Arm("test", "text", 100 - share)))
    place = int(hashlib.md5((str(user_id) + salt).encode()).hexdigest(), 16) % 100

    assert one.assign(user_id).name == ("control" if place < share else "test")


@given(experiments(), st.integers(0, 10**12))
def test_a_number_is_the_same_user_however_it_is_spelled(one: Experiment, user_id: int) -> None:
    assert one.assign(user_id) is one.assign(str(user_id)) is one.assign(f"00{user_id}")


@given(experiments(), USERS)
def test_an_experiment_that_was_written_and_read_assigns_the_same(one: Experiment, user_id: str) -> None:
    assert Experiment.from_json(one.to_json()).place(user_id) == one.place(user_id)


def test_each_arm_gets_about_its_share_and_no_other_salt_the_same_users() -> None:
    one = Experiment("e", "s", (Arm("a", "x", 10), Arm("b", "y", 30), Arm("c", "z", 60)))
    counts = Counter(one.assign(user).name for user in range(20_000))

    assert [round(counts[name] / 20_000, 1) for name in "abc"] == [0.1, 0.3, 0.6]
    assert any(one.assign(user) is not replace(one, salt="t").assign(user) for user in range(20))


def test_a_forced_user_is_in_their_arm_and_nobody_else_moves() -> None:
    forced = replace(AB, forced={"200": "b", "ann": "b"})

    assert AB.assign(200).name == "a"
    assert [forced.assign(user).name for user in (200, "0200", "ann")] == ["b", "b", "b"]
    assert all(forced.assign(user) is AB.assign(user) for user in range(201, 300))


def test_whether_a_user_is_recorded_has_nothing_to_do_with_their_arm() -> None:
    placed = [replace(AB, sample_percent=30).place(user) for user in range(20_000)]
    recorded = Counter(one.arm.name for one in placed if one.is_recorded)

    assert [round(recorded[name] / 10_000, 1) for name in "ab"] == [0.3, 0.3]
    assert all(AB.place(user).is_recorded for user in range(100))


def test_two_arms_are_control_and_test_and_more_are_called_by_their_names() -> None:
    three = replace(AB, arms=(Arm("a", "x", 10), Arm("b", "y", 30), Arm("c", "z", 60)))

    assert [AB.group_of(arm) for arm in AB.arms] == ["control", "test"]
    assert [three.group_of(arm) for arm in three.arms] == ["a", "b", "c"]


def test_only_a_running_one_holds_from_its_start_on_and_before_its_end() -> None:
    one = replace(AB, start_s=10, end_s=12)

    assert [one.holds_at(now_s) for now_s in (9, 10, 11, 12)] == [False, True, True, False]
    assert not any(replace(one, state=state).holds_at(10) for state in STATES if state != "running")


def test_a_route_has_the_experiment_that_runs_on_it() -> None:
    checker, feed = replace(AB, name="x", routes=("checker",)), replace(AB, name="y", routes=("feed",))
    past = replace(AB, name="a", start_s=0, end_s=5)

    assert find_holding([past, checker, feed], "checker", 10) is checker
    assert find_holding([past, checker, feed], "feed", 10) is feed
    assert find_holding([past], "feed", 10) is None


@pytest.mark.parametrize(
    ("changes", "is_so"),
    [
        ({}, True),
        ({"start_s": 20}, False),
        ({"start_s": 19}, True),
        ({"end_s": 10}, False),
        ({"routes": ("feed",)}, False),
        ({"routes": ("feed", "checker")}, True),
    ],
)
def test_two_overlap_if_some_route_has_both_at_some_time(changes: dict[str, Any], is_so: bool) -> None:
    one = replace(AB, start_s=10, end_s=20, routes=("checker",))
    other = replace(AB, name="other", routes=("checker",))

    assert one.overlaps(replace(other, **changes)) is replace(other, **changes).overlaps(one) is is_so


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "two words"}, "'two words' names no experiment: 1 to 64 letters"),
        ({"salt": ""}, "salt='' is none"),
        ({"arms": HALVES[:1]}, "two arms or more, and this one has 1"),
        ({"arms": (HALVES[0], replace(HALVES[1], share=49))}, "sum to 99: they must sum to 100"),
        (
            {"arms": (HALVES[0], replace(HALVES[1], share=True))},
            "share=True of arm 'b' is no whole percent",
        ),
        ({"arms": (HALVES[0], replace(HALVES[1], share=0))}, "share=0 of arm 'b' is no whole percent"),
        ({"arms": (HALVES[0], replace(HALVES[1], name="a"))}, "two arms are called 'a'"),
        ({"arms": (HALVES[0], replace(HALVES[1], variant="a/b"))}, "'a/b' names no variant"),
        ({"start_s": 5, "end_s": 5}, "must end after it starts"),
        ({"start_s": "5"}, "start_s='5' and end_s=None must be whole epoch seconds"),
        ({"forced": {"0200": "a"}}, "forced user '0200' is compared as '200': write that"),
        ({"forced": {"200": "c"}}, "forced user '200' is in 'c', which is no arm: a, b"),
        ({"response": "json"}, "response='json' is none of plain, ab"),
        ({"routes": ()}, "must name each route once: checker, feed"),
        ({"routes": ("checker", "shop")}, "routes='shop' is none of checker, feed"),
        ({"sample_percent": 101}, "sample_percent=101 is no whole number from 1 to 100"),
        ({"state": "paused"}, "state='paused' is none of draft, running, stopped, archived"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("(", r"\(")):
        replace(AB, **changes)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"7", b"{}", b'{"name":"e","salt":"s","arms":7}', b'{"name":"e","salt":"s","arms":[{}]}'],
)
def test_what_is_no_experiment_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="is no experiment"):
        Experiment.from_json(text)


def test_what_somebody_else_wrote_keeps_no_experiment_from_being_read() -> None:
    stored = [
        (b"z", replace(AB, name="z").to_json()),
        (b"buttons", AB.to_json()),
        (b"\xff", b"{"),
        (b"q", AB.to_json()),
    ]

    assert read_experiments(stored) == (AB, replace(AB, name="z"))
