"""How ids, times and limits are read from a query."""

from datetime import datetime, timedelta, timezone
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.buckets import epoch
from api.cursor import Cursor
from api.schemas.value import read_cursor, read_exclude, read_limit, read_time, read_user_id

MIDNIGHT_S = 1_639_958_400  # 2021-12-20T00:00:00Z
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60).filter(
    lambda text: not text.startswith(",")
)


@pytest.mark.parametrize(
    "text",
    [
        "2021-12-20 00:00:00",
        "2021-12-20T00:00:00",
        "2021-12-20 00:00",
        "2021-12-20t00:00",
        "2021-12-20",
        "2021-12-20T00:00:00.999999",
        "2021-12-20T00:00:00Z",
        "2021-12-20T00:00z",
        "2021-12-20T03:00:00+03:00",
        "2021-12-20 03:00:00+0300",
        "2021-12-20 03:00:00+03",
        "2021-12-19T19:00:00-05:00",
        "2021-12-20T03:00:00 03:00",
        "2021-12-20 03:00 0300",
    ],
)
def test_every_form_of_a_time_reads_alike(text: str) -> None:
    assert read_time(text) == MIDNIGHT_S


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1639958400",
        "20211220",
        "2021-13-01 00:00:00",
        "2021-02-29",
        "2021-12-20T24:00:01",
        "2021-12-20T00:00:00+99:00",
        "2021-12-20T00",
        " 2021-12-20",
        "2021-12-20\n",
        "２０２１-12-20",
        "20.12.2021",
        "x" * 10_000,
    ],
)
def test_what_is_no_time_is_refused_with_the_forms_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="write 2021-12-20 00:00:00 or") as refused:
        read_time(text)

    assert repr(text[:40]) in str(refused.value)
    assert len(str(refused.value)) < 300


@given(st.datetimes(timezones=st.none() | ZONES), st.sampled_from(["T", " "]))
def test_what_python_writes_is_read_as_the_same_second(at: datetime, separator: str) -> None:
    text = at.isoformat(separator)

    assert read_time(text) == read_time(text.replace("+", " ")) == epoch(at)


@given(st.text(min_size=1))
def test_any_text_is_a_user_id(user_id: str) -> None:
    assert read_user_id(user_id) == user_id


def test_an_empty_user_id_is_refused() -> None:
    with pytest.raises(ValueError, match="id='' is not a user id"):
        read_user_id("")


@given(
    user_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    numbers=st.lists(st.integers(0, 10**9 - 1), min_size=2, max_size=2),
    times=st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=2),
    wish=st.sampled_from(["", "0123456789abcdef"]),
)
def test_a_cursor_is_read_as_it_was_written_whoever_the_user_is(
    user_id: str, numbers: list[int], times: list[int], wish: str
) -> None:
    cursor = Cursor(numbers[0], times[0], user_id, times[1], numbers[1], wish)

    assert read_cursor(str(cursor)) == cursor
    assert quote(str(cursor), safe="") == str(cursor)  # it needs no escape


@given(st.sets(IDS, max_size=20))
def test_posts_to_leave_out_may_have_any_ids(ids: set[str]) -> None:
    written = ",".join(post_id.replace(",", ",,") for post_id in ids)

    assert read_exclude(written) == ids


@pytest.mark.parametrize("text", [",", "a,", "a\nb", "я" * 129, ",".join(["1"] * 1001)])
def test_what_is_no_list_of_posts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a list of posts: at most 1000 ids of at most 256 bytes"):
        read_exclude(text)


@given(st.integers(1, 100))
def test_limits_from_1_to_100_are_read(limit: int) -> None:
    assert read_limit(str(limit)) == limit


@pytest.mark.parametrize("text", ["0", "101", "-1", "five", "", "5.5"])
def test_another_limit_is_refused_with_the_range_allowed(text: str) -> None:
    with pytest.raises(
        ValueError, match=f"limit={text!r} is not a number of posts: an integer from 1 to 100"
    ):
        read_limit(text)
