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
EXPOSURES = st.builds(
    Exposure,
    experiment=st.text(),
    user_id=st.text(),
    arm=st.text(),
    asked_s=TIMES,
    accepted_ms=TIMES,
    generation=st.integers(0, 2**35 - 1),
    bucket_s=TIMES,
    rung=st.text(),
    request_id=st.text(),
    posts=st.lists(st.integers(0, 2**32 - 1)).map(tuple),
    propensities=st.lists(st.floats(0, 1, exclude_min=True), max_size=255).map(tuple),
)


@given(st.lists(EXPOSURES, max_size=20))
def test_what_is_written_is_read_in_order(some: list[Exposure]) -> None:
    assert unpack(pack(some)) == some


def test_a_record_of_ten_posts_takes_about_eighty_bytes_thirty_of_them_for_the_posts() -> None:
    ten = ONE._replace(posts=tuple(range(2_097_142, 2_097_152)), propensities=())
    five = ten._replace(posts=ten.posts[:5])

    assert len(pack([ten] * MOST_RECORDS)) < 76 * MOST_RECORDS
    assert len(pack([ten] * MOST_RECORDS)) - len(pack([five] * MOST_RECORDS)) == 5 * 3 * MOST_RECORDS


def test_a_field_that_was_cut_off_is_refused() -> None:
    whole = pack([ONE, ONE])
    for n_bytes in range(len(whole)):
        with pytest.raises(ValueError, match="holds no exposures"):
            unpack(whole[:n_bytes])


@pytest.mark.parametrize(
    "field",
    [
        pack([ONE]) + b"\x00",
        pack([ONE._replace(propensities=(1.5,))]),
        pack([ONE]).replace(b"[2,", b"[3,", 1),
        pack([ONE]).replace(b"[2,1", b"[2,2", 1),
        pack([ONE]).replace(b"42", b'"a"', 1),
        pack([ONE]).replace(b"\n\x00", b"\n\x01", 1),
        b"[]\n",
    ],
)
def test_any_other_field_is_refused_with_one_sentence(field: bytes) -> None:
    with pytest.raises(ValueError, match="holds no exposures"):
        unpack(field)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused_with_one_sentence(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"bytes holds no exposures$"):
        unpack(raw)
