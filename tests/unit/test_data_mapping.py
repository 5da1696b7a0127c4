"""Mappings: what they rename, what ships, and what they refuse."""

from pathlib import Path

import pytest

from batch.data.columns import LIKE, VIEW
from batch.data.mapping import Mapping, TimeForm


def test_no_mapping_is_the_identity() -> None:
    mapping = Mapping.load("")

    assert mapping == Mapping()
    assert mapping.table("feed_data") == "feed_data"
    assert mapping.column("feed_data", "user_id") == "user_id"
    assert mapping.events == {"view": VIEW, "like": LIKE}
    assert not mapping.ignores_other_events


def test_a_shipped_mapping_is_loaded_by_name() -> None:
    deskdrop, shop = Mapping.load("deskdrop"), Mapping.load("retailrocket")

    assert deskdrop.table("feed_data") == "users_interactions"
    assert deskdrop.column("feed_data", "post_id") == "contentId"
    assert deskdrop.events == {"VIEW": VIEW, "LIKE": LIKE, "BOOKMARK": LIKE}
    assert shop.time == TimeForm(unit="ms")
    assert {Mapping.load(name).shown for name in ("deskdrop", "retailrocket", "ml-100k")} == {"choices"}
    assert Mapping().shown == "impressions"


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
        view = ["seen", "opened"]
        like = ["liked"]
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
        events={"seen": VIEW, "opened": VIEW, "liked": LIKE},
        ignores_other_events=True,
        profile=("country", "age"),
        time=TimeForm(unit="us"),
        like_within_s=60,
        shown="choices",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("table = 1", "unknown key: 'table' (known: tables, columns, files,"),
        ("shown = 'feed'", "shown = 'feed' must be impressions or choices"),
        ("tables = 1", "tables = 1 must be a section [tables]"),
        ("[tables]\nusers = 'u'", "unknown table in [tables]: 'users' (known: user_data, post_text_df"),
        ("[tables]\nuser_data = ''", "tables.user_data = '' must be a name in quotes"),
        ("[columns.feeds]\nuser_id = 'u'", "unknown table in [columns]: 'feeds'"),
        (
            "[columns.feed_data]\nuser = 'u'",
            "unknown column in [columns.feed_data]: 'user' (known: timestamp",
        ),
        ("[columns.feed_data]\nuser_id = 3", "columns.feed_data.user_id = 3 must be a name in quotes"),
        ("[events]\nclick = ['c']", "unknown action in [events]: 'click' (known: view, like)"),
        ("[events]\nview = 'c'", "events.view = 'c' must be a list of names"),
        ("[events]\nview = ['c']\nlike = ['c']", "event 'c' stands under two actions"),
        ("[events]", "[events] names no event"),
        ("[time]\nunit = 'h'", "time.unit = 'h' must be s, ms, us or ns"),
        ("[time]\nform = 'h'", "unknown key in [time]: 'form' (known: unit, format, zone)"),
        ("[time]\nunit = 's'\nformat = '%Y%m%d'", "[time] has a unit and a format"),
        ("[time]\nformat = ''", "time.format = '' must be a name in quotes"),
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
            "columns.feed_data.user_id = ['a', 'b'] must be a name",
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
        ValueError, match="no mapping 'nowhere': give a TOML file or one of deskdrop, ml-100k, retail"
    ):
        Mapping.load("nowhere")
