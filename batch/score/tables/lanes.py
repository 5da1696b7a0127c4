"""Two operations that plain numba does not compile to what the processor has: see docs/decisions."""

from collections.abc import Callable
from typing import Any

import numba as nb
from numba.core import cgutils
from numba.core.cgutils import ir  # type: ignore[attr-defined] # llvmlite itself ships no types
from numba.extending import intrinsic

# numba calls these by name and position, and their types are its own.
# ruff: noqa: ARG001


def _lowest_bit(typing_context: Any, word: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the place of the lowest set bit of a uint64, 64 if there is none, as uint64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return nb.uint64(nb.uint64), generate


lowest_bit: Any = intrinsic(_lowest_bit)
int32, float64 = ir.IntType(32), ir.DoubleType()


def row_adder(element: Any, n_lanes: int) -> Any:
    """Make a function that adds table rows of `n_lanes` elements, one after the other, in registers.

    `add(table, base, stride, ids, first, n, out, at)` adds, for `i` in `first` to `first + n`, the elements
    of the contiguous array `table` from `base + ids[i] * stride` on to the elements of the contiguous array
    `out` from `at` on. Places count elements, whatever the arrays' shapes, and are not checked.
    """
    vector = ir.VectorType(element, n_lanes)
    is_float = isinstance(element, ir.DoubleType)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def data(k: int) -> Any:
            return context.make_array(signature.args[k])(context, builder, value=args[k]).data

        def lanes(array: Any, place: Any) -> Any:
            return builder.bitcast(builder.gep(array, [place]), vector.as_pointer())

        _, base, stride, _, first, n, _, at = args
        table, ids, target = data(0), data(3), lanes(data(6), at)
        aligned = 8 if is_float else element.width // 8
        total: Any = cgutils.alloca_once(builder, vector)  # type: ignore[no-untyped-call]
        builder.store(builder.load(target, align=aligned), total)
        with cgutils.for_range(builder, n) as loop:
            row = builder.load(builder.gep(ids, [builder.add(first, loop.index)]))
            row = row if row.type == base.type else builder.zext(row, base.type)
            values = lanes(table, builder.add(base, builder.mul(row, stride)))
            plus = builder.fadd if is_float else builder.add
            builder.store(plus(builder.load(total), builder.load(values, align=aligned)), total)
        builder.store(builder.load(total), target, align=aligned)
        return context.get_dummy_value()

    def add(
        typing_context: Any,
        table: Any,
        base: Any,
        stride: Any,
        ids: Any,
        first: Any,
        n: Any,
        out: Any,
        at: Any,
    ) -> tuple[Any, Callable[..., Any]]:
        whole = nb.int64
        return nb.void(table, whole, whole, ids, whole, whole, out, whole), generate

    return intrinsic(add)
