"""Times as people's tables have them: each form gives the seconds meant, or one sentence and no facts.

Every table holds the same events; only the spelling of their times differs.
"""

import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from batch.data.facts import Facts
from batch.data.mapping import Mapping
from batch.data.validation.rejects import TooManyRejected
from batch.data.validation.unlikely import UnlikelyTimes
from tests.data_rows import csv, parquet, read_all

NEWEST_S = 1_640_805_669  # 2021-12-29 19:21:09, UTC
NOW_S = NEWEST_S + 60
SECONDS = [NEWEST_S - 37 * k for k in range(20)][::-1] + [NEWEST_S - 86_400 * k for k in range(1, 20)]
MOMENTS = [datetime.fromtimestamp(s, UTC) for s in SECONDS]
MOSCOW = ZoneInfo("Europe/Moscow")


def spelled(spell: Callable[[datetime], Any]) -> list[Any]:
    """Spell every time."""
    return [spell(at) for at in MOMENTS]


def in_format(pattern: str, zone: Any = UTC) -> list[str]:
    """Spell every time in a format of strftime, as the clocks of a zone show it."""
    return spelled(lambda at: at.astimezone(zone).strftime(pattern))


def feed_of(timestamp: Any, **more: Any) -> dict[str, pa.Table]:
    """Give a feed of views, each of its own post."""
    n = len(timestamp)
    columns = {
        "timestamp": timestamp,
        **more,
        "user_id": [1] * n,
        "post_id": range(n),
        "action": ["view"] * n,
    }
    return {"feed_data": pa.table({name: pa.array(values) for name, values in columns.items()})}


def read_times(folder: Path, mapping: dict[str, Any], rows: dict[str, pa.Table], now_s: int = NOW_S) -> Facts:
    """Read rows as CSV and as Parquet, which must give the same facts, with no row in twenty rejected."""
    form = Mapping.from_toml(mapping)
    typed, text = (
        read_all(put(folder / put.__name__, rows), folder, mapping=form, share=0.05, now_s=now_s)
        for put in (parquet, csv)
    )
    np.testing.assert_array_equal(typed.time, text.time)
    assert typed.report == text.report
    return text


@pytest.mark.parametrize(
    "timestamp",
    [
        in_format("%Y-%m-%d %H:%M:%S"),
        in_format("%Y-%m-%dT%H:%M:%SZ"),
        in_format("%Y-%m-%dt%H:%M:%Sz"),
        in_format("%Y%m%dT%H%M%S"),
        in_format("%Y%m%dT%H%M%SZ"),
        in_format("%Y-%m-%d %H:%M:%S UTC"),
        in_format("%Y-%m-%d %H:%M:%S.123456 UTC"),
        in_format("%Y-%m-%dT%H:%M:%SGMT"),
        in_format("%Y-%m-%d %H:%M:%S,987"),
        in_format("%Y-%m-%dT%H:%M:%S.987654321Z"),
        in_format("%Y-%m-%d %H:%M:%S%z", MOSCOW),
        in_format("%Y-%m-%d %H:%M:%S %z", MOSCOW),
        in_format("%Y-%m-%d %H:%M:%S+03", MOSCOW),
        [at.astimezone((UTC, MOSCOW)[k % 2]).isoformat() for k, at in enumerate(MOMENTS)],
        [in_format(("%Y-%m-%d %H:%M:%S", "%Y%m%dT%H%M%SZ", "%s")[k % 3])[k] for k in range(len(MOMENTS))],
    ],
    ids=lambda timestamp: timestamp[0],
)
def test_iso_times_of_every_form_are_read(tmp_path: Path, timestamp: list[str]) -> None:
    facts = read_times(tmp_path, {}, feed_of(timestamp))

    assert facts.time.tolist() == sorted(SECONDS)
    assert facts.report.rejected == {}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.float64(), pa.string()])
def test_a_number_s_unit_is_guessed_and_reported(tmp_path: Path, unit: str, kind: pa.DataType) -> None:
    per_s = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    rest = 0 if kind == pa.float64() else per_s - 1  # whose 53 bits are too few
    numbers = pa.array([s * per_s + rest for s in SECONDS]).cast(kind, safe=False)
    rows = feed_of(numbers)

    guessed, told = (
        read_all(
            parquet(tmp_path / unit, rows), tmp_path, mapping=Mapping.from_toml(form), share=0, now_s=NOW_S
        )
        for form in ({}, {"time": {"unit": unit}})
    )

    assert guessed.time.tolist() == told.time.tolist() == sorted(SECONDS)
    assert guessed.report.time_units_guessed == {unit: len(SECONDS)}
    assert told.report.time_units_guessed == {}


def test_units_that_differ_within_a_column_are_counted(tmp_path: Path) -> None:
    facts = read_times(tmp_path, {}, feed_of([s if k < 9 else s * 1000 for k, s in enumerate(SECONDS)]))

    assert facts.time.tolist() == sorted(SECONDS)
    assert facts.report.time_units_guessed == {"s": 9, "ms": len(SECONDS) - 9}


@pytest.mark.parametrize(
    ("timestamp", "form", "message"),
    [
        (
            [s * 1000 for s in SECONDS],
            {"unit": "s"},
            "cannot be s since 1970: it is likely ms, set [time] unit",
        ),
        (
            [s * 10**9 for s in SECONDS],
            {"unit": "us"},
            'it is likely ns, set [time] unit = "ns" in a mapping',
        ),
        (
            SECONDS,
            {"unit": "ms"},
            f'{NEWEST_S}, cannot be ms since 1970: it is likely s, set [time] unit = "s"',
        ),
        (
            in_format("%Y%m%d"),
            {},
            '20211229, cannot be s since 1970: it is likely a date, set [time] format = "%Y%m%d"',
        ),
        (in_format("%Y%m%d%H"), {}, 'set [time] format = "%Y%m%d%H"'),
        (in_format("%Y%m%d%H%M"), {}, 'set [time] format = "%Y%m%d%H%M"'),
        (in_format("%Y%m%d%H%M%S"), {}, 'set [time] format = "%Y%m%d%H%M%S"'),
        (in_format("%m%d"), {}, "1229, cannot be s since 1970: it is none of s, ms, us, ns"),
        ([0] * 20, {}, "0, cannot be s since 1970"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, list) else None,
)
def test_a_unit_that_cannot_be_stops_the_run(
    tmp_path: Path, timestamp: list[Any], form: dict[str, str], message: str
) -> None:
    rows = feed_of([int(at) for at in timestamp])

    for put in (csv, parquet):
        with pytest.raises(UnlikelyTimes) as refused:
            read_all(
                put(tmp_path / put.__name__, rows),
                tmp_path,
                mapping=Mapping.from_toml({"time": form}),
                now_s=NOW_S,
            )

        assert message in str(refused.value)
        assert "feed_data" in str(refused.value)
        assert refused.value.exit_code == 3


@pytest.mark.parametrize("odd", [0, 1229, 20_000_000_000_000_000, 9_999_999_999])
def test_a_single_odd_number_is_a_bad_row_and_no_other_unit(tmp_path: Path, odd: int) -> None:
    facts = read_times(tmp_path, {}, feed_of([odd, *SECONDS]))

    assert facts.time.tolist() == sorted(SECONDS)
    assert sum(facts.report.rejected.values()) == 1


@pytest.mark.parametrize(
    ("pattern", "resolution_s"),
    [
        ("%m/%d/%Y %I:%M:%S %p", 1),
        ("%d.%m.%Y %H:%M:%S", 1),
        ("%d.%m.%Y %H:%M", 60),
        ("%d %b %Y %H:%M:%S", 1),
        ("%Y%m%d%H%M%S", 1),
        ("%Y%m%d", 86_400),
        ("%a, %d %b %Y %H:%M:%S GMT", 1),
    ],
)
def test_a_format_reads_what_is_no_iso(tmp_path: Path, pattern: str, resolution_s: int) -> None:
    facts = read_times(tmp_path, {"time": {"format": pattern}}, feed_of(in_format(pattern)))

    assert facts.time.tolist() == sorted(s // resolution_s * resolution_s for s in SECONDS)
    assert facts.report.rejected == {}


def test_a_format_reads_numbers_typed_or_not(tmp_path: Path) -> None:
    days = [int(at) for at in in_format("%Y%m%d")]

    for kind in (pa.int32(), pa.float64(), pa.decimal128(21, 2)):
        rows = feed_of(pa.array([*days, None]).cast(kind))
        facts = read_all(
            parquet(tmp_path / str(kind), rows),
            tmp_path,
            mapping=Mapping.from_toml({"time": {"format": "%Y%m%d"}}),
        )

        assert facts.time.tolist() == sorted(s // 86_400 * 86_400 for s in SECONDS)
        assert facts.report.rejected == {"missing_time": 1}


def test_a_format_with_an_offset_goes_by_each_row_s_own(tmp_path: Path) -> None:
    pattern = "%d/%b/%Y:%H:%M:%S %z"
    timestamp = [at.astimezone((UTC, MOSCOW)[k % 2]).strftime(pattern) for k, at in enumerate(MOMENTS)]

    facts = read_times(tmp_path, {"time": {"format": pattern, "zone": "Asia/Tokyo"}}, feed_of(timestamp))

    assert facts.time.tolist() == sorted(SECONDS)


def test_digits_that_could_be_several_times_are_none(tmp_path: Path) -> None:
    rows = feed_of(["20211229 2131", *in_format("%Y%m%d %H%M%S")])  # 21:31:00, 21:03:01 or 00:21:31

    facts = read_times(tmp_path, {"time": {"format": "%Y%m%d %H%M%S"}}, rows)

    assert facts.time.tolist() == sorted(SECONDS)
    assert facts.report.rejected == {"unreadable_time": 1}


def test_a_text_of_another_form_is_shown_with_the_key_that_helps(tmp_path: Path) -> None:
    with pytest.raises(TooManyRejected) as refused:
        read_times(tmp_path, {}, feed_of(in_format("%d.%m.%Y %H:%M")))

    assert (
        f"39 unreadable_time ('{in_format('%d.%m.%Y %H:%M')[0]}' is no time in ISO 8601: set [time] format"
        in str(refused.value)
    )


def test_local_times_are_read_by_their_zone(tmp_path: Path) -> None:
    zone = {"time": {"zone": "Europe/Moscow"}}
    local = [at.astimezone(MOSCOW).replace(tzinfo=None) for at in MOMENTS]
    mixed = [at.isoformat() if k % 2 else local[k].isoformat(" ") for k, at in enumerate(MOMENTS)]

    for timestamp in ([str(at) for at in local], local, mixed, SECONDS, MOMENTS):
        facts = read_times(tmp_path, zone, feed_of(timestamp))

        assert facts.time.tolist() == sorted(SECONDS)

    days = read_times(tmp_path, zone, feed_of(["2021-12-29"]))
    assert days.time.tolist() == [int(datetime(2021, 12, 29, tzinfo=MOSCOW).timestamp())]


@pytest.mark.parametrize(("zone", "hours"), [("Europe/Moscow", "3"), ("Asia/Kolkata", "5.5")])
def test_local_times_without_a_zone_are_told_from_the_hours_that_they_lie_ahead(
    tmp_path: Path, zone: str, hours: str
) -> None:
    rows = feed_of(in_format("%Y-%m-%d %H:%M:%S", ZoneInfo(zone)))

    with pytest.raises(TooManyRejected) as refused:
        read_times(tmp_path, {}, rows)

    assert f"20 future_time (the newest lies {hours} h ahead: if times are local, set [time] zone" in str(
        refused.value
    )


def test_the_page_s_mapping_of_times_reads_what_it_shows(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    part = page.read_text("utf-8").partition("### Times\n")[2]
    example = re.findall(r"```toml\n(.*?)```", part, re.DOTALL)[0]
    rows = feed_of(range(1), date=["29.12.2021"], clock=["22:21"])["feed_data"].drop_columns("timestamp")

    facts = read_times(tmp_path, tomllib.loads(example), {"feed_data": rows})

    assert facts.time.tolist() == [int(datetime(2021, 12, 29, 22, 21, tzinfo=MOSCOW).timestamp())]


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2021-10-31 02:30:00", "2021-10-31 00:30:00"),  # came twice in Berlin: the first
        ("2021-03-28 02:30:00", "2021-03-28 01:00:00"),  # never came: the moment of the change
        ("2021-03-28 03:00:00", "2021-03-28 01:00:00"),
        ("2021-07-01 12:00:00", "2021-07-01 10:00:00"),
    ],
)
@pytest.mark.parametrize("pattern", ["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M"])
def test_an_hour_that_came_twice_or_never_has_a_stated_time(
    tmp_path: Path, local: str, utc: str, pattern: str
) -> None:
    form = {"zone": "Europe/Berlin"} | ({"format": pattern} if "." in pattern else {})
    rows = feed_of([datetime.fromisoformat(local).strftime(pattern)])

    facts = read_times(tmp_path, {"time": form}, rows)

    assert facts.time.tolist() == [int(datetime.fromisoformat(utc + "Z").timestamp())]


def test_two_columns_make_a_time(tmp_path: Path) -> None:
    two = {"columns": {"feed_data": {"timestamp": ["date", "at"]}}}
    dates, clocks = in_format("%Y-%m-%d"), in_format("%H:%M:%S")
    typed = {"date": spelled(datetime.date), "at": [time.fromisoformat(text) for text in clocks]}
    midnights = {"date": [datetime.fromisoformat(day) for day in dates], "at": clocks}

    for columns in ({"date": dates, "at": clocks}, typed, midnights):
        rows = feed_of(range(len(dates)), **columns)["feed_data"].drop_columns("timestamp")

        facts = read_times(tmp_path, two, {"feed_data": rows})

        assert facts.time.tolist() == sorted(SECONDS)
        assert facts.report.rejected == {}


def test_two_columns_make_a_time_in_a_format_and_a_zone(tmp_path: Path) -> None:
    form = {"format": "%d.%m.%Y %H:%M", "zone": "Europe/Moscow"}
    mapping = {"time": form, "columns": {"feed_data": {"timestamp": ["date", "at"]}}}
    dates, clocks = in_format("%d.%m.%Y", MOSCOW), in_format("%H:%M", MOSCOW)
    rows = feed_of(range(len(dates)), date=dates, at=clocks)["feed_data"]

    facts = read_times(tmp_path, mapping, {"feed_data": rows})

    assert facts.time.tolist() == sorted(s // 60 * 60 for s in SECONDS)


def test_a_date_without_its_clock_has_no_time(tmp_path: Path) -> None:
    two = {"columns": {"feed_data": {"timestamp": ["date", "at"]}}}
    rows = feed_of(range(40), date=[*in_format("%Y-%m-%d"), "2021-12-01"], at=[*in_format("%H:%M:%S"), None])

    facts = read_times(tmp_path, two, rows)

    assert facts.time.tolist() == sorted(SECONDS)
    assert facts.report.rejected == {"missing_time": 1}


def test_days_alone_are_midnights_and_equal_rows_count_once(tmp_path: Path) -> None:
    rows = feed_of(in_format("%Y-%m-%d"))["feed_data"]
    rows = pa.concat_tables([rows, rows.slice(0, 1)])

    facts = read_times(tmp_path, {}, {"feed_data": rows})

    assert facts.time.tolist() == sorted(s // 86_400 * 86_400 for s in SECONDS)
    assert facts.report.rejected == {"duplicate_event": 1}


def test_times_far_ahead_are_refused_as_the_future(tmp_path: Path) -> None:
    rows = feed_of(spelled(lambda at: str(at + timedelta(days=40 * 365))))

    with pytest.raises(TooManyRejected, match=r"39 future_time; see"):
        read_times(tmp_path, {}, rows)
