"""Values of any type and in any company are parsed alike."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batch.data.event_form import TargetForm
from batch.data.ids import IdCollision, encode_ids
from batch.data.mapping import TimeForm
from batch.data.validation.ids import Ids
from batch.data.validation.times import parse_times
from batch.data.validation.values import Parsed, numbers, targets

DAY = 1_633_046_400  # 2021-10-01, UTC


def one(parsed: Parsed) -> int | str:
    """Give the first row's value, or what is wrong with it."""
    if parsed.missing[0]:
        return "missing"
    return "unreadable" if parsed.unreadable[0] else int(parsed.value[0])


def one_id(ids: Ids, column: pa.Array) -> str:
    """Give the first row's id as it is spelled, or what is wrong with it."""
    parsed = ids.parse(column)
    ids.kind = ids.kind or "text"
    found = one(parsed)
    return (
        found
        if isinstance(found, str)
        else ids.names(ids.codes(parsed.value)).spelled(ids.codes(parsed.value))[0]
    )


@pytest.mark.parametrize(
    ("text", "as_text", "as_number"),
    [
        ("7", "7", "7"),
        ("0", "0", "0"),
        (" 7 ", "7", "7"),
        ("+7", "+7", "7"),
        ("-7", "-7", "-7"),
        ("-0", "-0", "0"),
        ("007", "007", "7"),
        ("7.0", "7.0", "7"),
        ("7.5", "7.5", "unreadable"),
        ("1e3", "1e3", "unreadable"),
        ("0x1A", "0x1A", "unreadable"),
        ("seven", "seven", "unreadable"),
        ("семь 7", "семь 7", "unreadable"),
        ("9007199254740991", "9007199254740991", "9007199254740991"),
        ("9007199254740992", "9007199254740992", "unreadable"),
        ("-9007199254740992", "-9007199254740992", "unreadable"),
        ("18446744073709551615", "18446744073709551615", "unreadable"),
        ("9" * 200, "9" * 200, "unreadable"),
        ("ж" * 128, "ж" * 128, "unreadable"),
        ("ж" * 128 + "7", "unreadable", "unreadable"),
        ("a\tb", "unreadable", "unreadable"),
        ("a\u0085b", "unreadable", "unreadable"),
        ("", "missing", "missing"),
        (" ", "missing", "missing"),
        (None, "missing", "missing"),
    ],
)
@pytest.mark.parametrize("beside", ["1", "nonsense", None])
def test_an_id_as_text_does_not_depend_on_its_neighbours(
    text: str | None, as_text: str, as_number: str, beside: str | None
) -> None:
    column, numbers = pa.array([text, beside], pa.string()), Ids()
    numbers.decide(np.array([1]))

    assert one_id(Ids(), column) == as_text
    assert one_id(numbers, column) == as_number


UUID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
UUIDS = pa.array([bytes.fromhex(UUID.replace("-", "")), None], pa.binary(16))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([7], pa.int16()), "7"),
        (pa.array([-7], pa.int16()), "-7"),
        (pa.array([None], pa.int32()), "missing"),
        (pa.array([2**64 - 1], pa.uint64()), str(2**64 - 1)),
        (pa.array([7.0, None]), "7"),
        (pa.array([7.0, float("nan")]), "7"),
        (pa.array([2.0**53]), str(2**53)),
        (pa.array([2.0**54]), "unreadable"),  # it may have been another number
        (pa.array([7.5]), "unreadable"),
        (pa.array([float("nan")]), "missing"),
        (pa.array([float("inf")]), "unreadable"),
        (pa.array([Decimal("7.00")]), "7"),
        (pa.array([Decimal("7.01")]), "unreadable"),
        (pa.array([Decimal("123456789012345678901234567890")]), "123456789012345678901234567890"),
        (pa.array(["007"]).dictionary_encode(), "007"),
        (pa.array(["007"], pa.large_string()), "007"),
        (pa.array(["007"], pa.string_view()), "007"),
        (pa.array([b"007"]), "007"),
        (pa.array([b"\xff7", b"007"]), "unreadable"),
        (pa.array([b"007", b"\xff7"]), "007"),
        (UUIDS, UUID),
        (pa.ExtensionArray.from_storage(pa.uuid(), UUIDS), UUID),
        (UUIDS[1:], "missing"),
        (pa.array([None], pa.null()), "missing"),
        (pa.array([[7]]), "unreadable"),
        (pa.array([True]), "unreadable"),
    ],
)
def test_an_id_of_any_type_is_read_or_refused(column: pa.Array, expected: str) -> None:
    assert one_id(Ids(), column) == expected


def test_numbers_are_all_or_nothing_and_what_was_read_before_follows() -> None:
    for odd, kind in (
        (" +8", "numbers"),
        ("8.0", "numbers"),
        ("08", "text"),
        ("8.5", "text"),
        (str(2**53), "text"),
    ):
        ids = Ids()
        first = ids.parse(pa.array(["5", "7"])).value
        then = ids.parse(pa.array(["5.0", odd])).value

        ids.decide(np.concatenate([first, then]))

        codes = ids.codes(ids.settle(np.concatenate([first, then])))
        expected = [5, 7, 5, 8] if kind == "numbers" else ["5", "7", "5.0", odd]
        assert ids.names(codes).as_json(codes) == expected


def test_a_rejected_row_does_not_decide() -> None:
    ids = Ids()
    marks = ids.parse(pa.array(["5", "header"])).value

    ids.decide(marks[:1])

    assert ids.kind == "numbers"
    assert ids.parse(pa.array(["5", "header"])).unreadable.tolist() == [False, True]


def test_the_number_that_is_a_text_s_code_is_no_other_spelling_of_it() -> None:
    ids = Ids()
    marks = ids.parse(pa.array(["sku", str(int(encode_ids(["sku"])[0]))])).value
    ids.decide(marks)

    with pytest.raises(IdCollision, match="'sku'"):
        ids.codes(marks)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2021-10-01", DAY),
        ("2021-10-01 06", DAY + 6 * 3600),
        ("2021-10-01T06:05", DAY + 6 * 3600 + 300),
        ("2021-10-01 00:00:07", DAY + 7),
        (" 2021-10-01 00:00:07.999999 ", DAY + 7),
        ("2021-10-01 00:00:07.9999999", DAY + 7),
        ("2021-10-01T03:00:07Z", DAY + 3 * 3600 + 7),
        ("2021-10-01 03:00:07+03", DAY + 7),
        ("2021-10-01T03:00:07+03:00", DAY + 7),
        ("1633046407", DAY + 7),
        ("1633046407.9", DAY + 7),
        ("2021-02-30", "unreadable"),
        ("01.10.2021", "unreadable"),
        ("yesterday", "unreadable"),
        ("0001-01-01 00:00:00", "unreadable"),
        ("-5", "unreadable"),
        ("99999999999999999999", "unreadable"),
        ("", "missing"),
        (None, "missing"),
    ],
)
@pytest.mark.parametrize("beside", ["2021-10-01 00:00:00", "2021-10-01T00:00:00Z", "nonsense", "5", None])
def test_a_time_as_text_does_not_depend_on_its_neighbours(
    text: str | None, expected: int | str, beside: str | None
) -> None:
    assert one(parse_times(pa.array([text, beside], pa.string()), TimeForm())) == expected


@pytest.mark.parametrize(
    ("column", "unit", "expected"),
    [
        (pa.array([np.datetime64("2021-10-01T00:00:07.999999")]), "s", DAY + 7),
        (pa.array([datetime(2021, 10, 1, tzinfo=UTC)]), "s", DAY),
        (pa.array([np.datetime64("2021-10-01T00", "s")]).cast(pa.timestamp("ns")), "s", DAY),
        (pa.array([date(2021, 10, 1)]), "s", DAY),
        (pa.array([DAY + 7], pa.int32()), "s", DAY + 7),
        (pa.array([DAY * 1000 + 7999]), "ms", DAY + 7),
        (pa.array([DAY * 1000 + 7999]), "s", "unreadable"),
        (pa.array([str(DAY * 1000 + 7999)]), "ms", DAY + 7),
        (pa.array([DAY * 1_000_000]), "us", DAY),
        (pa.array([DAY + 0.5]), "s", DAY),
        (pa.array([float("nan")]), "s", "missing"),
        (pa.array([float("inf")]), "s", "unreadable"),
        (pa.array([np.datetime64("1969-12-31T23:59:59.500")]), "s", "unreadable"),
        (pa.array([None], pa.timestamp("us")), "s", "missing"),
        (pa.array([True]), "s", "unreadable"),
    ],
)
def test_a_time_of_any_type_is_read_or_refused(column: pa.Array, unit: Any, expected: int | str) -> None:
    assert one(parse_times(column, TimeForm(unit=unit))) == expected


@pytest.mark.parametrize(
    "column",
    [
        pa.array([0, 1, 2, None], pa.int8()),
        pa.array([0, 1, 2, None], pa.uint8()),
        pa.array([0.0, 1.0, 0.5, float("nan")]),
        pa.array(["0", "1", "two", ""]),
    ],
)
def test_a_target_is_zero_one_or_nothing(column: pa.Array) -> None:
    value, missing = targets(column, TargetForm())

    assert value.tolist() == [0, 1, -1, -1]
    assert missing.tolist() == [False, False, False, True]


def test_a_target_may_be_a_truth_value() -> None:
    assert targets(pa.array([False, True, None]), TargetForm())[0].tolist() == [0, 1, -1]


def test_what_is_no_number_is_nan() -> None:
    np.testing.assert_array_equal(numbers(pa.array(["1.5", "x", None])), [1.5, np.nan, np.nan])
    np.testing.assert_array_equal(numbers(pa.array([[1], None])), [np.nan, np.nan])
