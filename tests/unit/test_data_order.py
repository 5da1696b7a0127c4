"""Events come out in order, each once, and targets can be derived: against plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.data.columns import LIKE, VIEW
from batch.data.validation import order
from batch.data.validation.order import Chunk, Events, in_order
from batch.data.validation.yes import derive_targets

Row = tuple[int, int, int, int, int]  # time, user, post, action, target

ROWS = st.lists(
    st.tuples(
        st.integers(0, 5) | st.integers(2**32, 2**32 + 5),
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from([VIEW, LIKE]),
        st.integers(0, 1),
    ),
    max_size=40,
)


def chunks(rows: list[Row], n: int) -> list[Chunk]:
    """Split rows into chunks of `n`, times as narrow as they fit."""
    made = []
    for start in range(0, len(rows), n):
        time, user, post, action, target = np.array(rows[start : start + n], np.int64).T
        narrow = time.astype(np.uint32) if time.max() < 2**32 else time
        what = (action * 2 + target).astype(np.uint8)
        made.append(Chunk(narrow, user.astype(np.int32), post.astype(np.int32), what))
    return made


def as_rows(events: Events) -> list[Row]:
    """Give events back as tuples."""
    columns = (events.time, events.user, events.post, events.action, events.target)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("key_bits", [64, 0])
@given(rows=ROWS)
def test_events_are_sorted_and_each_is_kept_once(rows: list[Row], key_bits: int) -> None:
    user_row, post_row = np.array([9, 1, 0, 2], np.int32), np.array([1, 0, 9, 4], np.int32)
    placed = [(t, int(user_row[u]), int(post_row[p]), a, y) for t, u, p, a, y in rows]
    best = {row[:4]: max(other[4] for other in placed if other[:4] == row[:4]) for row in placed}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "KEY_BITS", key_bits if rows else 64)
        patch.setattr(order, "BLOCK", 3)
        events, again = in_order(chunks(rows, 7), user_row, post_row)

    assert as_rows(events) == sorted((*row, target) for row, target in best.items())
    assert sorted(as_rows(events) + as_rows(again)) == sorted(placed)
    assert [column.dtype for column in (events.user, events.post, events.time, events.action)] == [
        np.int32,
        np.int32,
        np.int64,
        np.int8,
    ]


@given(rows=ROWS, within_s=st.integers(0, 4))
def test_a_view_is_liked_when_a_like_follows_soon(rows: list[Row], within_s: int) -> None:
    events, _ = in_order(chunks(rows, 50), np.arange(4, dtype=np.int32), np.arange(4, dtype=np.int32))
    likes = [row for row in as_rows(events) if row[3] == LIKE]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "BLOCK", 3)
        target = derive_targets(events, within_s)

    for (time, user, post, action, _), found in zip(as_rows(events), target.tolist(), strict=True):
        follows = any(
            (other[1], other[2]) == (user, post) and 0 <= other[0] - time <= within_s for other in likes
        )
        assert found == int(action == VIEW and follows)


def test_startml_fits_the_key_with_room() -> None:
    assert order.Bits.of(span_s=90 * 86_400, last_user=163_204, last_post=7_022).total == 56
