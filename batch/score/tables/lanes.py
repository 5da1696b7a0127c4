"""A few operations that plain numba does not compile to what the processor has: see docs/decisions."""

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


def _bit_count(typing_context: Any, word: Any) -> tuple[Any, Callable[..., Any]]:
    """Return how many bits of a uint64 are set, as uint64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return nb.uint64(nb.uint64), generate


lowest_bit: Any = intrinsic(_lowest_bit)
bit_count: Any = intrinsic(_bit_count)
int32, float64 = ir.IntType(32), ir.DoubleType()


def _data(context: Any, builder: Any, signature: Any, args: Any, k: int) -> Any:
    return context.make_array(signature.args[k])(context, builder, value=args[k]).data


def lane_max(n_lanes: int) -> Any:
    """Make a function `largest(values, at)`: the largest of `n_lanes` int32 from place `at` on."""
    vector = ir.VectorType(int32, n_lanes)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = builder.gep(_data(context, builder, signature, args, 0), [args[1]])
        loaded = builder.load(builder.bitcast(values, vector.as_pointer()), align=4)
        name = f"llvm.vector.reduce.smax.v{n_lanes}i32"
        kind = ir.FunctionType(int32, [vector])
        reduce = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
        return builder.call(reduce, [loaded])

    def largest(typing_context: Any, values: Any, at: Any) -> tuple[Any, Callable[..., Any]]:
        return nb.int32(values, nb.int64), generate

    return intrinsic(largest)


def row_adder(element: Any, n_lanes: int) -> Any:
    """Make a function that adds table rows of `n_lanes` elements, one after the other, in registers.

    `add(table, base, stride, ids, first, step, n, out, at)` adds, for the `n` places `i` from `first` on in
    steps of `step`, the elements of `table` from `base + ids[i] * stride` on to those of `out` from `at` on.
    The arrays are contiguous. Places count elements, whatever the arrays' shapes, and are not checked.
    """
    vector = ir.VectorType(element, n_lanes)
    is_float = isinstance(element, ir.DoubleType)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def data(k: int) -> Any:
            return _data(context, builder, signature, args, k)

        def lanes(array: Any, place: Any) -> Any:
            return builder.bitcast(builder.gep(array, [place]), vector.as_pointer())

        _, base, stride, _, first, step, n, _, at = args
        table, ids, target = data(0), data(3), lanes(data(7), at)
        aligned = 8 if is_float else element.width // 8
        total: Any = cgutils.alloca_once(builder, vector)  # type: ignore[no-untyped-call]
        builder.store(builder.load(target, align=aligned), total)
        with cgutils.for_range(builder, n) as loop:
            place = builder.add(first, builder.mul(loop.index, step))
            row = builder.load(builder.gep(ids, [place]))
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
        step: Any,
        n: Any,
        out: Any,
        at: Any,
    ) -> tuple[Any, Callable[..., Any]]:
        whole = nb.int64
        return nb.void(table, whole, whole, ids, whole, whole, whole, out, whole), generate

    return intrinsic(add)
