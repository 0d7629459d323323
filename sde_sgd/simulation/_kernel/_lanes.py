"""A program for one chain, done for many at once: each of its numbers becomes a row of lanes.

An array in the program is an array of cells here, of the same shape, so that nothing is left that a kernel
would have to index, slice or stack. A cell is a number that all chains share or, with one entry for each of
them, a row of lanes.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from sde_sgd._platform import _jaxpr

Cells = np.ndarray
Params = dict[str, Any]

# what is done to numbers one by one
# fmt: off
_SINGLE = frozenset({
    "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh",
    "bitcast_convert_type", "cbrt", "ceil", "clamp", "clz", "convert_element_type", "copy", "cos",
    "cosh", "div", "eq", "exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow", "is_finite", "le",
    "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "nextafter", "not", "or", "pow",
    "rem", "round", "rsqrt", "select_n", "shift_left", "shift_right_arithmetic", "shift_right_logical",
    "sign", "sin", "sinh", "sqrt", "square", "sub", "tan", "tanh", "xor",
})
# fmt: on
# programs within the program, by where they are kept
_WITHIN = {"jit": "jaxpr", "pjit": "jaxpr", "custom_jvp_call": "call_jaxpr", "closed_call": "call_jaxpr"}


class NoLanesError(Exception):
    """The program does something that cannot be done to lanes; the message names it."""


def evaluate(program: Any, inputs: Sequence[Cells]) -> list[Cells]:
    """The outputs of a closed jaxpr, as cells.

    Raises:
        NoLanesError: for operations that are not known here.
    """
    known: dict[Any, Cells] = {}

    def read(atom: Any) -> Cells:
        return constant(np.asarray(atom.val, atom.aval.dtype)) if hasattr(atom, "val") else known[atom]

    consts = [constant(np.asarray(const)) for const in program.consts]
    known.update(zip(program.jaxpr.constvars, consts, strict=True))
    known.update(zip(program.jaxpr.invars, inputs, strict=True))
    for equation in program.jaxpr.eqns:
        results = _apply(equation, [read(atom) for atom in equation.invars])
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in program.jaxpr.outvars]


def constant(array: np.ndarray) -> Cells:
    """The cells of numbers that are known now."""
    return filled(array.shape, list(array.ravel()))


def filled(shape: Sequence[int], numbers: Sequence[Any]) -> Cells:
    """Cells of this shape, from their numbers or lanes in order."""
    cells = np.empty(len(numbers), object)
    for place, number in enumerate(numbers):
        cells[place] = number
    return cells.reshape(shape)


def spread(number: Any, lanes: tuple[int, ...]) -> Any:
    """A number as a row of lanes; what is one already stays."""
    return lax.broadcast(number, lanes) if np.ndim(number) < len(lanes) else number


def _apply(equation: Any, operands: list[Cells]) -> list[Cells]:
    name, params = equation.primitive.name, equation.params
    if name in _SINGLE or name in _WRITTEN_OUT:
        function = _WRITTEN_OUT.get(name, functools.partial(equation.primitive.bind, **params))
        return [_one_by_one(function, operands)]
    if name in _ARRAYS:
        return [_ARRAYS[name](params, *operands)]
    if name in _REDUCTIONS:
        return [_reduced(_REDUCTIONS[name], operands[0], [int(axis) for axis in params["axes"]])]
    if name in _WITHIN:
        return evaluate(params[_WITHIN[name]], operands)
    if name in _LOOPS:
        return _LOOPS[name](equation, operands)
    raise NoLanesError(name)


def _one_by_one(function: Callable[..., Any], operands: Sequence[Cells]) -> Cells:
    """An operation on single numbers done to all cells; a scalar operand goes with each of them."""
    together = np.broadcast_arrays(*operands)

    def at(numbers: tuple[Any, ...]) -> Any:
        if all(isinstance(number, np.generic) for number in numbers):
            with jax.ensure_compile_time_eval():
                return np.asarray(function(*numbers))[()]
        lanes = max((np.shape(number) for number in numbers), key=len)
        return function(*(spread(number, lanes) for number in numbers))

    columns = zip(*(cells.flat for cells in together), strict=True)
    return filled(together[0].shape, [at(numbers) for numbers in columns])


def _population_count(word: Any) -> Any:
    """Bits that are set: the counts in neighbouring pairs of bits, fours, bytes, and their sum."""
    if word.dtype != np.uint32:
        raise NoLanesError(f"population_count of {word.dtype}")

    def low(mask: int, bits: Any) -> Any:
        return lax.bitwise_and(bits, lax.full_like(bits, mask))

    def shifted(bits: Any, places: int) -> Any:
        return lax.shift_right_logical(bits, lax.full_like(bits, places))

    pairs = word - low(0x55555555, shifted(word, 1))
    fours = low(0x33333333, pairs) + low(0x33333333, shifted(pairs, 2))
    bytes_ = low(0x0F0F0F0F, fours + shifted(fours, 4))
    return shifted(bytes_ * lax.full_like(word, 0x01010101), 24)


def _reduced(operation: Callable[..., Any], operand: Cells, axes: Sequence[int]) -> Cells:
    """Over these axes, in their order."""
    kept = [axis for axis in range(operand.ndim) if axis not in axes]
    rows = operand.transpose(*axes, *kept).reshape(-1, *(operand.shape[axis] for axis in kept))
    parts = [rows[number, ...] for number in range(len(rows))]
    return functools.reduce(lambda so_far, part: _one_by_one(operation, [so_far, part]), parts)


def _product(params: Params, left: Cells, right: Cells) -> Cells:
    """`dot_general`, term by term."""
    (contracted, batch) = params["dimension_numbers"]

    def ordered(operand: Cells, summed: Sequence[int], shared: Sequence[int]) -> tuple[Cells, list[int]]:
        own = [axis for axis in range(operand.ndim) if axis not in (*summed, *shared)]
        sizes = [[operand.shape[axis] for axis in axes] for axes in (shared, own, summed)]
        rows = operand.transpose(*shared, *own, *summed)
        return rows.reshape([math.prod(size) for size in sizes]), [*sizes[0], *sizes[1]]

    left, shape = ordered(left, contracted[0], batch[0])
    right, other = ordered(right, contracted[1], batch[1])
    terms = _one_by_one(lax.mul, [left[:, :, None, :], right[:, None, :, :]])
    return _reduced(lax.add, terms, [3]).reshape([*shape, *other[len(batch[1]) :]])


def _broadcast(params: Params, operand: Cells) -> Cells:
    shape = params["shape"]
    placed = [1] * len(shape)
    for axis, size in zip(params["broadcast_dimensions"], operand.shape, strict=True):
        placed[axis] = size
    return np.broadcast_to(operand.reshape(placed), shape)


def _slice(params: Params, operand: Cells) -> Cells:
    strides = params["strides"] or (1,) * operand.ndim
    bounds = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return operand[tuple(slice(*bound) for bound in bounds)]


def _dynamic_slice(params: Params, operand: Cells, *starts: Cells) -> Cells:
    """Chosen among all places where it may begin; one beyond the last counts as the last."""
    for axis, (size, start) in enumerate(zip(params["slice_sizes"], starts, strict=True)):
        windows = np.lib.stride_tricks.sliding_window_view(operand, size, axis)
        operand, *others = np.moveaxis(windows.swapaxes(axis, -1), -1, 0)
        for place, other in enumerate(others, start=1):
            beyond = _one_by_one(lax.ge, [start, constant(np.asarray(place, start.item().dtype))])
            operand = _one_by_one(lax.select_n, [beyond, operand, other])
    return operand


def _iota(params: Params) -> Cells:
    return constant(np.indices(params["shape"])[params["dimension"]].astype(params["dtype"]))


def _pad(params: Params, operand: Cells, padding: Cells) -> Cells:
    config = params["padding_config"]
    if any(inner or low < 0 or high < 0 for low, high, inner in config):
        raise NoLanesError("pad")
    shape = [size + low + high for size, (low, high, _) in zip(operand.shape, config, strict=True)]
    cells = np.broadcast_to(padding, shape).copy()
    inside = tuple(slice(low, low + size) for size, (low, _, _) in zip(operand.shape, config, strict=True))
    cells[inside] = operand
    return cells


def _while(equation: Any, operands: list[Cells]) -> list[Cells]:
    params = equation.params
    consts, own = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]

    def goes_on(carry: list[Cells]) -> Any:
        (condition,) = evaluate(params["cond_jaxpr"], [*operands[:consts], *carry])
        if np.ndim(condition.item()):
            raise NoLanesError("a loop that ends for each chain by itself")
        return condition.item()

    def body(carry: list[Cells]) -> list[Cells]:
        return evaluate(params["body_jaxpr"], [*operands[consts:own], *carry])

    return _loop(goes_on, body, _steady(params["body_jaxpr"], operands[consts:], own - consts))


def _scan(equation: Any, operands: list[Cells]) -> list[Cells]:
    """A loop of fixed length, as `fori_loop` makes it: over no arrays, and stacking none."""
    program, length = equation.params["jaxpr"], equation.params["length"]
    outer, inner = [*equation.invars, *equation.outvars], [*program.in_avals, *program.out_avals]
    if any(one.aval.shape != other.shape for one, other in zip(outer, inner, strict=True)):
        raise NoLanesError("scan over arrays")
    consts = len(operands) - len(program.out_avals)
    if not length:
        return operands[consts:]

    def body(carry: list[Cells]) -> list[Cells]:
        number, *rest = carry
        following = _one_by_one(lax.add, [number, constant(np.asarray(1, np.int32))])
        return [following, *evaluate(program, [*operands[:consts], *rest])]

    def goes_on(carry: list[Cells]) -> Any:
        return lax.lt(carry[0].item(), np.int32(length))

    begin = [constant(np.asarray(0, np.int32)), *_steady(program, operands, consts)]
    return _loop(goes_on, body, begin)[1:]


def _steady(body: Any, operands: list[Cells], consts: int) -> list[Cells]:
    """What a loop carries, with lanes from the start wherever its body may make them."""
    lanes: tuple[int, ...] = max((np.shape(number) for cells in operands for number in cells.flat), key=len)
    own = [any(np.ndim(number) for number in cells.flat) for cells in operands]
    while True:
        after = _jaxpr.reached(body.jaxpr, own)
        wider = [*own[:consts], *(old or new for old, new in zip(own[consts:], after, strict=True))]
        if wider == own:
            break
        own = wider
    return [
        filled(cells.shape, [spread(number, lanes) for number in cells.flat]) if varies else cells
        for cells, varies in zip(operands[consts:], own[consts:], strict=True)
    ]


def _loop(
    goes_on: Callable[[list[Cells]], Any], body: Callable[[list[Cells]], list[Cells]], carry: list[Cells]
) -> list[Cells]:
    """`lax.while_loop` over cells."""
    shapes = [cells.shape for cells in carry]

    def unpacked(numbers: Sequence[Any]) -> list[Cells]:
        left = iter(numbers)
        return [filled(shape, [next(left) for _ in range(math.prod(shape))]) for shape in shapes]

    def packed(carry: list[Cells]) -> list[Any]:
        return [number for cells in carry for number in cells.flat]

    begin = packed(carry)

    def step(numbers: Sequence[Any]) -> list[Any]:
        moved = packed(body(unpacked(numbers)))
        return [spread(new, np.shape(old)) for new, old in zip(moved, begin, strict=True)]

    return unpacked(lax.while_loop(lambda numbers: goes_on(unpacked(numbers)), step, begin))


_ARRAYS: dict[str, Callable[..., Cells]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda params, *operands: np.concatenate(operands, params["dimension"]),
    "dot_general": _product,
    "dynamic_slice": _dynamic_slice,
    "iota": _iota,
    "pad": _pad,
    "reshape": lambda params, operand: operand.reshape(params["new_sizes"]),
    "rev": lambda params, operand: np.flip(operand, params["dimensions"]),
    "slice": _slice,
    "squeeze": lambda params, operand: operand.squeeze(tuple(params["dimensions"])),
    "stack": lambda params, *operands: np.stack(operands, params["axis"]),
    "transpose": lambda params, operand: operand.transpose(params["permutation"]),
}
# Triton, to which Pallas lowers it, refuses this one: "failed to legalize operation 'math.ctpop'"
_WRITTEN_OUT: dict[str, Callable[..., Any]] = {"population_count": _population_count}
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "reduce_and": lax.bitwise_and,
    "reduce_max": lax.max,
    "reduce_min": lax.min,
    "reduce_or": lax.bitwise_or,
    "reduce_prod": lax.mul,
    "reduce_sum": lax.add,
}
_LOOPS: dict[str, Callable[[Any, list[Cells]], list[Cells]]] = {"while": _while, "scan": _scan}
