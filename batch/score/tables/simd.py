"""A few operations that plain numba does not compile to what the processor has: see docs/decisions."""

from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
from numba.core import cgutils
from numba.core.cgutils import ir  # type: ignore[attr-defined] # llvmlite itself ships no types
from numba.extending import intrinsic

# numba calls these by name and position, and their types are its own.
# ruff: noqa: ARG001

LINE_BYTES = 64


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


def allocate_aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array, not filled, that starts at a cache line, so that no vector of it lies in two."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(n_bytes + LINE_BYTES, np.uint8)
    first = -room.ctypes.data % LINE_BYTES
    return room[first : first + n_bytes].view(dtype).reshape(shape)


lowest_bit: Any = intrinsic(_lowest_bit)
bit_count: Any = intrinsic(_bit_count)
int32, float64 = ir.IntType(32), ir.DoubleType()


def _data(context: Any, builder: Any, signature: Any, args: Any, k: int) -> Any:
    return context.make_array(signature.args[k])(context, builder, value=args[k]).data


def row_adder(element: Any, n_lanes: int, *, with_max: bool = False) -> Any:
    """Make a function that adds table rows of `n_lanes` elements, one after the other, in registers.

    `add(table, base, stride, ids, first, step, n, out, at)` adds, for the `n` places `i` from `first` on in
    steps of `step`, the elements of `table` from `base + ids[i] * stride` on to those of `out` from `at` on.
    With `with_max`, which is for int32, it returns the largest of the sums.
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
        summed = builder.load(total)
        builder.store(summed, target, align=aligned)
        if not with_max:
            return context.get_dummy_value()
        kind, name = ir.FunctionType(int32, [vector]), f"llvm.vector.reduce.smax.v{n_lanes}i32"
        reduce = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
        return builder.call(reduce, [summed])

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
        result = nb.int32 if with_max else nb.void
        return result(table, whole, whole, ids, whole, whole, whole, out, whole), generate

    return intrinsic(add)


N_LANES = 8  # of `add_products`


def _add_products(
    typing_context: Any, left: Any, right: Any, n: Any, stride: Any, a: Any, b: Any, out: Any, at: Any
) -> tuple[Any, Callable[..., Any]]:
    """Add a square of products, row after row, in registers.

    `add_products(left, right, n, stride, a, b, out, at)` adds, for the first `n` rows of `stride` elements
    and `j` and `l` below N_LANES, `left[row, a + j] * right[row, b + l]` to `out` at `at + j * stride + l`.
    The arrays are float64 and contiguous. Places count elements, whatever the arrays' shapes, and are not
    checked. Every sum goes from the first row to the last, so vectors change no bit.
    """
    vector = ir.VectorType(float64, N_LANES)
    exact = ("contract",)  # product and sum are rounded once where the processor can, as in `fastmath`

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def lanes(array: Any, place: Any) -> Any:
            return builder.bitcast(builder.gep(array, [place]), vector.as_pointer())

        def spread(value: Any) -> Any:
            nothing, first = ir.Constant(vector, ir.Undefined), ir.Constant(int32, 0)
            everywhere = ir.Constant(ir.VectorType(int32, N_LANES), [0] * N_LANES)
            return builder.shuffle_vector(builder.insert_element(nothing, value, first), nothing, everywhere)

        _, _, n, stride, a, b, _, at = args
        left, right, out = (_data(context, builder, signature, args, k) for k in (0, 1, 6))
        steps = [ir.Constant(n.type, j) for j in range(N_LANES)]
        targets = [lanes(out, builder.add(at, builder.mul(stride, step))) for step in steps]
        totals = [cgutils.alloca_once(builder, vector) for _ in steps]  # type: ignore[no-untyped-call]
        for total, target in zip(totals, targets, strict=True):
            builder.store(builder.load(target, align=8), total)
        with cgutils.for_range(builder, n) as loop:
            row = builder.mul(loop.index, stride)
            values = builder.load(lanes(right, builder.add(row, b)), align=8)
            for total, step in zip(totals, steps, strict=True):
                one = builder.load(builder.gep(left, [builder.add(builder.add(row, a), step)]))
                product = builder.fmul(spread(one), values, flags=exact)
                builder.store(builder.fadd(builder.load(total), product, flags=exact), total)
        for total, target in zip(totals, targets, strict=True):
            builder.store(builder.load(total), target, align=8)
        return context.get_dummy_value()

    whole = nb.int64
    return nb.void(left, right, whole, whole, whole, whole, out, whole), generate


add_products: Any = intrinsic(_add_products)
