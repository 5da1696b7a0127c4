"""How ids, times and limits are read from a query."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.buckets import epoch
from api.schemas.value import read_limit, read_time, read_user_id

MIDNIGHT_S = 1_639_958_400  # 2021-12-20T00:00:00Z
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


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


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_integer_of_64_bits_is_a_user_id(user_id: int) -> None:
    assert read_user_id(str(user_id)) == user_id


@pytest.mark.parametrize(
    "text", ["", "abc", "1.0", "1e3", "1_000", " 1", "１", "0x1", "9223372036854775808", "9" * 5000]
)
def test_what_is_no_user_id_is_refused_with_the_range_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a user id: an integer from -2\^63 to 2\^63-1"):
        read_user_id(text)


@given(st.integers(1, 100))
def test_limits_from_1_to_100_are_read(limit: int) -> None:
    assert read_limit(str(limit)) == limit


@pytest.mark.parametrize("text", ["0", "101", "-1", "five", "", "5.5"])
def test_another_limit_is_refused_with_the_range_allowed(text: str) -> None:
    with pytest.raises(
        ValueError, match=f"limit={text!r} is not a number of posts: an integer from 1 to 100"
    ):
        read_limit(text)
