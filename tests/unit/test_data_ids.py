"""Ids and their codes: what stands for what, and that nothing is taken for another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.data import ids
from batch.data.ids import IdCollision, IdNames, encode_ids
from batch.data.validation import ids as validation
from batch.data.validation.ids import Places

UPPER, LOWER = "6F9619FF-8B86-D011-B42D-00C04FC964FF", "6f9619ff-8b86-d011-b42d-00c04fc964ff"


def test_whole_numbers_are_their_own_codes_and_nothing_else_is() -> None:
    numbers = ["0", "7", str(2**53), str(2**63 - 1)]
    others = ["007", "-7", "+7", "7.0", " 7", "", "0x1A", str(2**63), str(2**64 - 1), "семь", "7\n"]

    codes = encode_ids(others)

    assert encode_ids(numbers).tolist() == [0, 7, 2**53, 2**63 - 1]
    assert codes.min() >= 0
    assert len(set(codes.tolist())) == len(others)


def test_ids_come_back_as_they_are_spelled_and_compare_in_one_form() -> None:
    names = IdNames.of("text", [UPPER, "007", "7", "браслет {1}", LOWER])
    codes = encode_ids([LOWER, "007", "7", "браслет {1}"])

    assert names.spelled(codes) == [UPPER, "007", "7", "браслет {1}"]
    assert names.canonical(codes) == [LOWER, "007", "7", "браслет {1}"]
    assert names.as_json(codes) == names.spelled(codes)
    assert [names.code_of(text) for text in (UPPER, LOWER, "007", "7")] == codes[[0, 0, 1, 2]].tolist()
    assert len(names.codes) == 3  # a number needs no name


def test_numbers_need_no_names_below_zero_apart() -> None:
    names = IdNames.of("numbers", ["12", "-5", "+7"])
    codes = encode_ids(["12", "-5", "7"])

    assert names.as_json(codes) == [12, -5, 7]
    assert names.texts.to_pylist() == ["-5"]
    assert IdNames().as_json(np.array([3, 1])) == [3, 1]


def test_an_id_whose_code_is_another_one_s_is_nobody() -> None:
    names, code = IdNames.of("text", ["sku"]), int(encode_ids(["sku"])[0])

    assert names.code_of("sku") == code
    assert names.code_of(str(code)) == -1  # that number is an id of its own
    assert names.code_of("other") == -1


def test_two_ids_of_one_code_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    number = str(int(encode_ids(["sku"])[0]))
    with pytest.raises(IdCollision, match=f"'sku' and '{number}' have the same"):
        IdNames.of("text", ["sku", number])

    monkeypatch.setattr(ids, "_hash", lambda text: len(text))
    with pytest.raises(IdCollision, match="'blue' and 'grey'"):
        IdNames.of("text", ["blue", "grey"])
    with pytest.raises(IdCollision, match="'blue' and 'grey'"):
        IdNames.of("text", ["blue"]).union(IdNames.of("text", ["grey"]))


def test_names_unite_in_our_spelling_and_are_cut_to_what_is_asked() -> None:
    ours, others = IdNames.of("text", [UPPER, "a b"]), IdNames.of("text", [LOWER, "c", "12"])
    codes = encode_ids([LOWER, "a b", "c"])

    both = ours.union(others)

    assert both.spelled(codes) == [UPPER, "a b", "c"]
    assert (np.diff(both.codes) > 0).all()
    assert both.where(codes[[2, 1, 2]]).texts.to_pylist() == [
        text for _, text in sorted(zip(codes[1:].tolist(), ["a b", "c"], strict=True))
    ]


@given(st.lists(st.lists(st.integers(-3, 9) | st.sampled_from([19, 20, 2**53]))))
def test_ids_have_places_in_the_order_in_which_they_first_come(batches: list[list[int]]) -> None:
    places, order = Places(), list[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "TABLE_LIMIT", 20)  # from there on they are found by Arrow
        for batch in batches:
            order += [mark for mark in dict.fromkeys(batch) if mark not in order]
            assert places.of(np.array(batch, np.int64)).tolist() == [order.index(mark) for mark in batch]
        known = Places(np.array(order, np.int64))

    asked = [*range(-4, 11), 19, 20, 2**53]
    expected = [order.index(mark) if mark in order else -1 for mark in asked]
    assert places.marks.tolist() == known.marks.tolist() == order
    assert known.of(np.array(asked, np.int64)).tolist() == expected
    assert [known.of(np.array([mark], np.int64)).tolist() for mark in asked] == [[at] for at in expected]
