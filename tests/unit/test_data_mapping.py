"""Mappings: what they rename, what ships, and what they refuse."""

from pathlib import Path

import pytest

from batch.data.columns import LIKE, VIEW
from batch.data.event_form import EventForm, TargetForm
from batch.data.mapping import Mapping, TimeForm


def test_no_mapping_is_the_identity() -> None:
    mapping = Mapping.load("")

    assert mapping == Mapping()
    assert mapping.table("feed_data") == "feed_data"
    assert mapping.column("feed_data", "user_id") == "user_id"
    assert mapping.events.names == {"view": VIEW, "like": LIKE}
    assert not mapping.events.only


def test_a_shipped_mapping_is_loaded_by_name() -> None:
    deskdrop, shop = Mapping.load("deskdrop"), Mapping.load("retailrocket")

    assert deskdrop.table("feed_data") == "users_interactions"
    assert deskdrop.column("feed_data", "post_id") == "contentId"
    assert deskdrop.events.names == {"view": VIEW, "like": LIKE, "bookmark": LIKE}
    assert shop.time == TimeForm(unit="ms")
    assert {Mapping.load(name).shown for name in ("deskdrop", "retailrocket", "ml-100k")} == {"choices"}
    assert Mapping().shown is None


def test_a_mapping_file_says_everything(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        like_within_s = 60
        shown = "choices"
        [tables]
        user_data = "people"
        [columns.user_data]
        user_id = "id"
        country = "land"
        [events]
        view = ["Seen ", "opened", 3]
        like = ["liked"]
        weights = { Liked = 2, seen = 0.5 }
        split = ";"
        mark = ":"
        [profile]
        columns = ["country", "age"]
        [time]
        unit = "us"
        """
    )

    mapping = Mapping.load(path)

    assert mapping == Mapping(
        tables={"user_data": "people"},
        columns={"user_data": {"user_id": "id", "country": "land"}},
        events=EventForm(
            names={"seen": VIEW, "opened": VIEW, "3": VIEW, "liked": LIKE},
            only=True,
            weights={"liked": 2.0, "seen": 0.5},
            split=";",
            mark=":",
        ),
        profile=("country", "age"),
        time=TimeForm(unit="us"),
        like_within_s=60,
        shown="choices",
    )


@pytest.mark.parametrize(
    ("like", "form"),
    [
        ('{ column = "stars", at_least = 4 }', TargetForm("stars", at_least=4.0)),
        ('{ column = "stars", among = ["Good ", 5] }', TargetForm("stars", among=("good", "5"))),
    ],
)
def test_what_is_liked_may_be_said_by_a_column(tmp_path: Path, like: str, form: TargetForm) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"[events]\nlike = {like}\n[columns.feed_data]\npost_id = 'film'")

    mapping = Mapping.load(path)

    assert mapping.events == EventForm(names={}, target=form)
    assert mapping.columns["feed_data"] == {"post_id": "film", "target": "stars"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("table = 1", "unknown key: 'table' (known: tables, columns, files,"),
        ("shown = 'feed'", "shown = 'feed' must be impressions or choices"),
        ("tables = 1", "tables = 1 must be a section [tables]"),
        ("[tables]\nusers = 'u'", "unknown table in [tables]: 'users' (known: user_data, post_text_df"),
        ("[tables]\nuser_data = ''", "tables.user_data = '' must be a text in quotes"),
        ("[columns.feeds]\nuser_id = 'u'", "unknown table in [columns]: 'feeds'"),
        (
            "[columns.feed_data]\nuser = 'u'",
            "unknown column in [columns.feed_data]: 'user' (known: timestamp",
        ),
        ("[columns.feed_data]\nuser_id = 3", "columns.feed_data.user_id = 3 must be a text in quotes"),
        (
            "[events]\nclick = ['c']",
            "unknown key in [events]: 'click' (known: view, like, weights, split, mark)",
        ),
        ("[events]\nview = [' C']\nlike = ['c ']", "event 'c' stands under two actions"),
        ("[events]\nview = [true]", "events.view = True must be a text in quotes"),
        ("[events]\nlike = { column = 'stars' }", "must have a column and either at_least or among"),
        ("[events]\nlike = { at_least = 4 }", "events.like.column = None must be a text in quotes"),
        (
            "[events]\nlike = { column = 'a', at_least = '4' }",
            "events.like.at_least = '4' must be a number, 0 or",
        ),
        (
            "[events]\nlike = { column = 'a', at_least = nan }",
            "events.like.at_least = nan must be a number, 0 or",
        ),
        ("[events]\nlike = { column = 'a', among = 'x' }", "events.like.among = 'x' must be a list of names"),
        (
            "[events]\nlike = { column = 'a', least = 1 }",
            "unknown key in events.like: 'least' (known: column,",
        ),
        (
            "[events]\nlike = { column = 'a', at_least = 1 }\n[columns.feed_data]\ntarget = 'b'",
            "columns.feed_data.target and [events] both say what is liked: leave one of them out",
        ),
        ("[events]\nview = ['v']\nmark = '-'", "[events] has a mark and no split"),
        ("[events]\nview = ['v']\nweights = { v = 2 }", "events.weights count where users choose: set shown"),
        (
            "shown = 'choices'\n[events]\nview = ['v']\nweights = { w = 2 }",
            "unknown event in events.weights: 'w' (known: v)",
        ),
        (
            "shown = 'choices'\n[events]\nview = ['v']\nweights = 3",
            "events.weights = 3 must be names with numbers",
        ),
        ("[events]\nview = 'c'", "events.view = 'c' must be a list of names"),
        ("[events]\nview = ['c']\nlike = ['c']", "event 'c' stands under two actions"),
        ("[events]", "[events] names no event"),
        ("[time]\nunit = 'h'", "time.unit = 'h' must be s, ms, us or ns"),
        ("[time]\nform = 'h'", "unknown key in [time]: 'form' (known: unit, format, zone)"),
        ("[time]\nunit = 's'\nformat = '%Y%m%d'", "[time] has a unit and a format"),
        ("[time]\nformat = ''", "time.format = '' must be a text in quotes"),
        ("[time]\nformat = '%Y-%m-%Q'", "time.format = '%Y-%m-%Q' is no format of strptime"),
        ("[time]\nformat = '%m%d'", "time.format = '%m%d' must hold a year, a month and a day"),
        ("[time]\nzone = 'Mars/Olympus'", "time.zone = 'Mars/Olympus' must be an IANA name"),
        ("[time]\nzone = '../zone'", "time.zone = '../zone' must be an IANA name"),
        (
            "[columns.feed_data]\ntimestamp = ['date']",
            "columns.feed_data.timestamp = ['date'] must be a name,",
        ),
        (
            "[columns.feed_data]\nuser_id = ['a', 'b']",
            "columns.feed_data.user_id = ['a', 'b'] must be a text",
        ),
        ("[profile]\ncolumns = 'age'", "profile.columns = 'age' must be a list of names"),
        ("[profile]\nonly = ['age']", "unknown key in [profile]: 'only' (known: columns)"),
        ("like_within_s = -1", "like_within_s = -1 must be a whole number of seconds, 0 or more"),
        ("like_within_s = true", "like_within_s = True must be a whole number of seconds"),
        ("[tables", "mapping "),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)

    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is compared below
        Mapping.load(path)

    assert message in str(refused.value)
    assert str(path) in str(refused.value)


def test_an_unknown_mapping_lists_those_that_ship() -> None:
    with pytest.raises(
        ValueError,
        match="no mapping 'nowhere': give a TOML file or one of deskdrop, hm, kion, mind, ml-100k, movie",
    ):
        Mapping.load("nowhere")
