"""What a traced program tells: does it draw random numbers, how coarse are its floats, what reaches what."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

# what draws random numbers in a traced program
_DRAWING = ("random_bits", "random_gamma", "threefry2x32", "rng_bit_generator", "rng_uniform")


def draws(program: Any) -> bool:
    """Whether a traced program, or one within it, draws random numbers."""
    return any(equation.primitive.name in _DRAWING for equation in _equations(program))


def coarsest_float(program: Any) -> int:
    """The bytes of the smallest floating-point numbers that a traced program makes; 8 if it makes none."""
    sizes = [
        variable.aval.dtype.itemsize
        for equation in _equations(program)
        for variable in equation.outvars
        if jnp.issubdtype(getattr(variable.aval, "dtype", jnp.int32), jnp.floating)
    ]
    return min(sizes, default=8)


def reached(program: Any, inputs: list[bool]) -> list[bool]:
    """Which outputs of a traced program can depend on the marked inputs.

    A program within it counts as a whole: all it gives depends on all it is given. So an output that
    is not reached surely does not depend on them.
    """
    marked = {variable for variable, mark in zip(program.invars, inputs, strict=True) if mark}

    def touched(variable: Any) -> bool:
        return not hasattr(variable, "val") and variable in marked  # a literal has a value, and no hash

    for equation in program.eqns:
        if any(touched(variable) for variable in equation.invars):
            marked.update(equation.outvars)
    return [touched(variable) for variable in program.outvars]


def _equations(program: Any) -> Iterator[Any]:
    for equation in program.eqns:
        yield equation
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(value):
                yield from _equations(getattr(value, "jaxpr", value))


def _is_program(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")
