"""Live events as clients send them, one by one and many at once."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.event import ACTIONS, Event
from api.schemas.event import AHEAD_S, MOST_EVENTS, Malformed, read_event, read_events, status_of

NOW_S = 1_640_361_721
OURS = {"user_id": 200, "post_id": 17, "action": "view"}
SHOP = {"visitorid": 200, "itemid": 17, "event": "addtocart", "timestamp": 1_640_361_720_117}


def read(**sent: object) -> Event:
    """Read one event that must be good."""
    found = read_event(sent, NOW_S, lambda: "new")
    assert isinstance(found, Event), found
    return found


def test_an_event_without_a_time_occurs_now() -> None:
    assert read(**OURS, id="a1") == Event("a1", "200", "17", "view", NOW_S, NOW_S)


def test_a_shop_event_means_the_same_and_keeps_its_own_word() -> None:
    found = read(**SHOP, transactionid=4000)

    assert (found.user_id, found.post_id, found.kind, found.action) == ("200", "17", "addtocart", "like")
    assert (found.occurred_at_s, found.transaction) == (1_640_361_720, "4000")


@pytest.mark.parametrize(
    "sent", [17, "17", "007", 2**64 - 1, "Ж 1%{}", "6F9619FF-8B86-D011-B42D-00C04FC964FF"]
)
def test_an_id_is_any_text_as_it_is_sent(sent: int | str) -> None:
    found = read(user_id=sent, post_id=sent, action="view")

    assert (found.user_id, found.post_id) == (str(sent), str(sent))


def test_events_of_other_ids_are_other_events() -> None:
    made = {
        read(user_id=user, post_id=post, action="view", time=NOW_S).event_id
        for user, post in [("a:b", "c"), ("a", "b:c"), ("a%3Ab", "c")]
    }

    assert len(made) == 3


@pytest.mark.parametrize(
    "time",
    [
        "2021-12-24 16:02:00",
        "2021-12-24T16:02",
        "2021-12-24T19:02:00+03:00",
        1_640_361_720,
        1_640_361_720.9,
        1_640_361_720_117,
    ],
)
def test_every_form_of_the_time_is_read(time: object) -> None:
    assert read(**OURS, time=time).occurred_at_s == 1_640_361_720


def test_a_clock_that_runs_a_little_ahead_says_now() -> None:
    assert read(**OURS, time=NOW_S + AHEAD_S).occurred_at_s == NOW_S
    assert isinstance(read_event({**OURS, "time": NOW_S + AHEAD_S + 1}, NOW_S, str), Malformed)


def test_the_same_event_sent_again_has_the_same_id() -> None:
    again = [read(**SHOP).event_id for _ in range(2)]

    assert again[0] == again[1] != read(**{**SHOP, "itemid": 18}).event_id
    assert read(**OURS).event_id == "new"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"user_id": None}, "user_id=None is not an id: an integer, or text of 1 to 256 bytes"),
        ({"user_id": True}, "user_id=True is not an id"),
        ({"user_id": 12.0}, "user_id=12.0 is not an id"),
        ({"user_id": ""}, "user_id='' is not an id"),
        ({"post_id": "я" * 129}, f"post_id='{'я' * 39}… is not an id"),
        ({"post_id": "a\tb"}, "post_id='a\\tb' is not an id"),
        ({"post_id": {}}, "post_id=an object is not an id"),
        ({"action": "share"}, "action='share' is not an action: view, like, addtocart, transaction"),
        ({"action": ["view"]}, "action=an array is not an action"),
        ({"time": "soon"}, "time='soon' is not a time: write 2021-12-20 00:00:00"),
        ({"time": True}, "time=True is not a time: text"),
        ({"time": -1}, "time=-1 is not a time from 1970 to 9999"),
        ({"time": NOW_S + 3600}, f"time={NOW_S + 3600} is in the future"),
        ({"id": ""}, "id='' is not an id of an event"),
        ({"id": "two words"}, "id='two words' is not an id of an event"),
        ({"transactionid": "ü"}, "transactionid='ü' is not the number of a purchase"),
    ],
)
def test_a_bad_field_is_named_with_its_value_and_what_is_allowed(change: dict[str, object], why: str) -> None:
    found = read_event({**OURS, **change}, NOW_S, str)

    assert isinstance(found, Malformed)
    assert found.field == next(iter(change))
    assert str(found).startswith(why)


def test_one_many_and_wrapped_events_are_read_alike() -> None:
    bodies = [OURS, [OURS], {"events": [OURS]}]

    assert len({str(read_events(orjson.dumps(body), NOW_S, lambda: "new")) for body in bodies}) == 1


@pytest.mark.parametrize(
    "body", [b"", b"{", b"1", b"[]", b'{"events": {}}', b"[" + b"1," * MOST_EVENTS + b"1]"]
)
def test_what_is_no_list_of_events_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_events(body, NOW_S, str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["user_id", "visitorid", "post_id", "action", "event", "time", "id", "transactionid"]
        ),
        JSON,
    )
    | JSON
)
def test_whatever_is_sent_is_an_event_or_malformed(sent: object) -> None:
    found = read_event(sent, NOW_S, lambda: "new")

    assert isinstance(found, (Event, Malformed))
    if isinstance(found, Event):
        assert Event.from_fields({k.encode(): v.encode() for k, v in found.to_fields().items()}) == found


@pytest.mark.parametrize("fields", [{}, {b"id": b"a"}, {b"user": b"x"}])
def test_an_entry_that_is_no_event_is_refused(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="this entry is no event"):
        Event.from_fields(fields)


@pytest.mark.parametrize(
    ("occurred_at_s", "post_id", "recorded", "status"),
    [
        (NOW_S, 17, True, "accepted"),
        (NOW_S - 100, 17, True, "late"),
        (NOW_S - 99, 17, True, "accepted"),
        (NOW_S, 18, True, "unknown"),
        (NOW_S, 17, False, "duplicate"),
    ],
)
def test_an_event_is_told_what_became_of_it(
    occurred_at_s: int, post_id: int, recorded: bool, status: str
) -> None:
    event = Event("a", "1", str(post_id), "view", occurred_at_s, NOW_S)

    assert status_of(event, recorded=recorded, as_of_s=NOW_S - 100, known={"17"}) == status
    assert status_of(event, recorded=True, as_of_s=None, known=()) == "accepted"


def test_every_kind_is_a_view_or_a_like() -> None:
    assert set(ACTIONS.values()) == {"view", "like"}
