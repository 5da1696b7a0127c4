"""Ragged columns: users' values are kept together whatever is taken of them."""

import numpy as np

from batch.data.ragged import starts
from batch.data.seen import SeenTimes

SEEN = SeenTimes(starts([2, 0, 3]), np.array([4, 7, 1, 2, 9], np.int32), np.array([40, 70, 10, 20, 90]))


def test_each_value_names_its_user() -> None:
    assert SEEN.n_users == 3
    assert SEEN.sizes.tolist() == [2, 0, 3]
    assert SEEN.user.tolist() == [0, 0, 2, 2, 2]
    assert SEEN.of(2).tolist() == [1, 2, 9]


def test_some_users_keep_their_values_in_the_order_asked_for() -> None:
    some = SEEN.of_users(np.array([2, 1, 0, 2]))

    assert some.start.tolist() == [0, 3, 3, 5, 8]
    assert some.post.tolist() == [1, 2, 9, 4, 7, 1, 2, 9]
    assert (some.time == 10 * some.post).all()
    assert SEEN.of_users(np.empty(0, np.int64)).start.tolist() == [0]


def test_some_values_leave_all_users_there() -> None:
    late = SEEN.where(SEEN.time >= 40)

    assert late.start.tolist() == [0, 2, 2, 3]
    assert late.post.tolist() == [4, 7, 9]
    assert late.time.tolist() == [40, 70, 90]


def test_users_who_have_seen_nothing_have_no_values() -> None:
    assert SeenTimes.none(2).sizes.tolist() == [0, 0]
