"""Trees, masks and merging on their own, on cases small enough to check by hand."""

import lightgbm as lgb
import numpy as np
import pytest

from batch.features.sides import Feature
from batch.score.exact import to_units
from batch.score.tables.masks import encode, factor, masks
from batch.score.tables.merge import merge, number_distinct
from batch.score.tables.sets import TILE, lay_out
from batch.score.tables.simd import allocate_aligned, float64, int32, lowest_bit, row_adder
from batch.score.tables.trees import Tree, parse

# The tree of docs/engine.md: age ≤ 30 ? (length ≤ 500 ? A : B) : C
TEXT = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
feature_names=age length
feature_infos=[0:99] [0:999]

Tree=0
num_leaves=3
num_cat=0
split_feature=0 1
threshold=30 500
decision_type=0 0
left_child=1 -1
right_child=-3 -2
leaf_value=0.5 -0.25 0.125
is_linear=0

end of trees
"""
FEATURES = (Feature("age", "user"), Feature("length", "post"))


def test_the_tree_of_the_document_opens_the_leaves_it_says() -> None:
    factors = factor(parse(TEXT), FEATURES)
    ages = encode(factors.sides["user"], np.array([[30], [31]], np.float32))
    lengths = encode(factors.sides["post"], np.array([[500], [501]], np.float32))

    users, posts = masks(factors, "user", ages)[:, 0, 0], masks(factors, "post", lengths)[:, 0, 0]

    assert users.tolist() == [0b011, 0b100]
    assert posts.tolist() == [0b101, 0b110]
    assert (users[:, None] & posts).tolist() == [[0b001, 0b010], [0b100, 0b100]]


def test_a_text_that_is_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="is not the text of a LightGBM model"):
        parse("hello")


@pytest.mark.parametrize("missing", [0, 1, 2])
@pytest.mark.parametrize("default_left", [0, 1])
def test_numerical_decisions_are_lightgbms(missing: int, default_left: int) -> None:
    text = TEXT.replace("decision_type=0 0", f"decision_type={missing << 2 | default_left << 1} 0")
    for threshold in (30.0, 0.0, -1e-36, 1e-36, -1.0000000180025095e-35, 1.0000000180025095e-35):
        changed = text.replace("threshold=30 500", f"threshold={threshold!r} 500")
        booster = lgb.Booster(model_str=changed)
        ages = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e-36, -1e-36, 1e-34, -1e-34, 30, 31], np.float32)
        rows = np.column_stack([ages, np.zeros_like(ages)])

        wanted = np.asarray(booster.predict(rows, pred_leaf=True)).ravel() != 2

        tree = parse(changed).trees[0]
        np.testing.assert_array_equal(tree.goes_left(0, ages.astype(np.float64)), wanted)
        factors = factor(parse(changed), FEATURES)
        opened = masks(factors, "user", encode(factors.sides["user"], ages[:, None]))[:, 0, 0]
        np.testing.assert_array_equal(opened & np.uint64(0b011) != 0, wanted)


def test_categories_are_whole_parts_towards_zero() -> None:
    whole = np.zeros(1, np.int64)
    tree = Tree(
        whole, np.zeros(1), whole + 1, whole - 1, whole - 2, (np.array([0, 3]),), np.array([1.0, 2.0])
    )

    left = tree.goes_left(0, np.array([0, -0.5, -1, 3, 3.9, 4, np.nan, np.inf, 1e18]))

    assert left.tolist() == [True, True, False, True, True, False, False, False, False]


def test_merging_joins_what_adds_no_rows_and_keeps_the_rest_apart() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, 1000), rng.integers(0, 4, 1000)
    ids = np.array([one, one % 2, other, other], np.int32)

    assert merge(ids, at_most=100, added_at_most=0) == ([[0, 1], [2, 3]], 8)
    assert merge(ids, at_most=100, added_at_most=100) == ([[0, 1, 2, 3]], 16)
    assert merge(ids, at_most=15, added_at_most=100) == ([[0, 1], [2, 3]], 8)


def test_numbers_name_distinct_rows() -> None:
    keys = np.array([[5, 1], [7, 1], [5, 1], [5, 2]], np.uint64)

    ids = number_distinct(keys)

    assert sorted(set(ids.tolist())) == [0, 1, 2]
    assert ids[0] == ids[2]


def test_every_post_has_one_place_in_a_tile_of_its_group() -> None:
    group = np.array([1, 0, 1, 3] * 50, np.int32)

    layout = lay_out(group, 4)

    assert np.array_equal(layout.post[layout.place], np.arange(200))
    assert np.array_equal(layout.group[layout.place // TILE], group)
    assert (layout.post >= 0).sum() == 200
    assert np.diff(layout.tiles).tolist() == [1, 2, 0, 1]


def test_units_keep_sums_in_range_and_their_error_within_the_slack() -> None:
    values = np.random.default_rng(0).normal(size=(300, 31)) * 10.0 ** np.arange(-150, 150)[:, None]

    units = to_units(values, 1, dense_range=0.0, n_factors=0)

    assert np.abs(units.leaves.astype(np.int64)).max(axis=1).sum() <= 2**28
    errors = np.abs(units.leaves[:, :31] * units.size - values).max(axis=1).sum()
    assert 2 * errors / units.size <= units.slack


def test_lanes_add_rows_in_registers() -> None:
    import numba as nb

    add_4, add_2 = row_adder(int32, 4, with_max=True), row_adder(float64, 2)

    @nb.njit
    def sums(table, ids, out, doubles, totals):  # type: ignore[no-untyped-def]
        largest = add_4(table, 0, 4, ids, 1, 2, 2, out, 0)
        add_2(doubles, 0, 2, ids, 0, 1, 3, totals, 0)
        return largest, lowest_bit(np.uint64(40)), lowest_bit(np.uint64(0))

    table, ids = np.arange(12, dtype=np.int32).reshape(3, 4), np.array([0, 2, 0, 1], np.uint16)
    out, doubles, totals = np.full(4, -100, np.int32), np.array([0.5, 1.5, 2.5, 3.5, 4.5, 5.5]), np.ones(2)

    answer = sums(table, ids, out, doubles, totals)

    assert out.tolist() == [-88, -86, -84, -82]  # rows 2 and 1
    assert totals.tolist() == [1 + 0.5 + 4.5 + 0.5, 1 + 1.5 + 5.5 + 1.5]
    assert answer == (-82, 3, 64)


@pytest.mark.parametrize("shape", [(1,), (3, 5), (1000, 7)])
def test_an_aligned_array_starts_at_a_cache_line(shape: tuple[int, ...]) -> None:
    some = allocate_aligned(shape, np.float64)

    assert some.shape == shape
    assert some.ctypes.data % 64 == 0
