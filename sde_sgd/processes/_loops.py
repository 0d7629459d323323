"""Loops over steps. On a GPU one of unknown length asks the host after every step whether to go on."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TypeVar

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int

Carry = TypeVar("Carry")
Body = Callable[[Int[Array, ""], Carry], Carry]

_KNOWN: ContextVar[int] = ContextVar("steps of a loop whose length is compiled in", default=0)


@contextlib.contextmanager
def of_known_length(steps: int) -> Iterator[None]:
    """Loops that are traced within this block do so many steps at a time, and what is left one by one."""
    token = _KNOWN.set(steps)
    try:
        yield
    finally:
        _KNOWN.reset(token)


def over_steps(begin: Int[Array, ""], end: Int[Array, ""], body: Body[Carry], carry: Carry) -> Carry:
    """`body(step, carry)` for every step from `begin` to `end`, neither of which is compiled in."""
    size = _KNOWN.get()
    if size:
        first, full = begin, jnp.maximum(end - begin, 0) // size
        begin = first + full * size

        def some(number: Int[Array, ""], carry: Carry) -> Carry:
            start = first + number * size
            several: Carry = lax.fori_loop(0, size, lambda place, carry: body(start + place, carry), carry)
            return several

        carry = lax.fori_loop(0, full, some, carry)
    result: Carry = lax.fori_loop(begin, end, body, carry)
    return result


def alone(body: Body[Carry], step: Int[Array, ""], carry: Carry) -> Carry:
    """`body(step, carry)`, made once where several things are made of it.

    On a CPU XLA makes a step again for each of its uses, with all its random numbers; a loop of one turn,
    whose length is not known, it leaves alone.
    """
    if _KNOWN.get():
        return body(step, carry)
    result: Carry = lax.fori_loop(step, step + 1, body, carry)
    return result
