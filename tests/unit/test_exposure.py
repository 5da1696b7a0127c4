"""Records of experiments' answers: what is written is read, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.exposure import MOST_RECORDS, Exposure, pack, unpack

ONE = Exposure(
    experiment="buttons",
    user_id="200",
    arm="text",
    asked_s=1_640_359_000,
    accepted_ms=1_640_361_721_500,
    generation=42,
    bucket_s=1_640_358_000,
    rung="own",
    request_id="0123456789abcdef",
    posts=(17, 2_097_151, 45),
    propensities=(0.25, 1.0),
)
TIMES = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.integers(0, 2**35 - 1)
EXPOSURES = st.builds(
    Exposure,
    experiment=st.text(),
    user_id=st.text(),
    arm=st.text(),
    asked_s=TIMES,
    accepted_ms=TIMES,
    generation=NUMBERS,
    bucket_s=TIMES,
    rung=st.text(),
    request_id=st.text(),
    posts=st.lists(st.integers(0, 2**32 - 1)).map(tuple),
    propensities=st.lists(st.floats(0, 1, exclude_min=True), max_size=255).map(tuple),
)


@given(EXPOSURES)
def test_what_is_written_is_read(one: Exposure) -> None:
    assert Exposure.decode(one.encode()) == one


@given(st.lists(EXPOSURES.map(Exposure.encode), max_size=20))
def test_an_entry_holds_many_records_in_order(records: list[bytes]) -> None:
    assert unpack(pack(records)) == records


def test_a_record_of_ten_posts_takes_about_a_hundred_bytes() -> None:
    one = ONE._replace(posts=tuple(range(2_097_142, 2_097_152)), propensities=())

    assert len(one.encode()) == 100
    assert len(pack([one.encode()] * MOST_RECORDS)) == MOST_RECORDS * 101


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused_with_one_sentence(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"bytes is no exposure$"):
        Exposure.decode(b"\x02" + raw)


@pytest.mark.parametrize("n_bytes", range(len(ONE.encode())))
def test_a_record_that_was_cut_off_is_refused(n_bytes: int) -> None:
    with pytest.raises(ValueError, match=r"bytes is no exposure$"):
        Exposure.decode(ONE.encode()[:n_bytes])


@pytest.mark.parametrize("raw", [ONE.encode() + b"\x00", ONE._replace(propensities=(1.5,)).encode(), b""])
def test_a_record_with_more_than_that_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"bytes is no exposure$"):
        Exposure.decode(raw)


@pytest.mark.parametrize("field", [b"\x05abc", b"\xff\xff\xff\xff\xff\x01", b"\x80"])
def test_a_field_that_is_cut_off_is_refused(field: bytes) -> None:
    with pytest.raises(ValueError, match="holds no exposures"):
        unpack(field)


def test_a_number_below_zero_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="-1 is no number of a record"):
        ONE._replace(generation=-1).encode()
