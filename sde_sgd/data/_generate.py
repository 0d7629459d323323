"""What generated data sets share: example i depends on the key and on i alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, Shaped, UInt32

from sde_sgd import _checks
from sde_sgd.random import Words

_BLOCK = 4096


def subkey(key: Key[Array, ""], purpose: int) -> Key[Array, ""]:
    """A key for one purpose, apart from the small numbers that `split` and `permutation` spend."""
    return jax.random.fold_in(key, 0x6461_0000 + purpose)


def words(key: Key[Array, ""], purpose: int) -> Words:
    """The key words for one purpose, whatever the key's implementation."""
    return jax.random.bits(subkey(key, purpose), (2,), jnp.uint32)


def by_block(
    make: Callable[[UInt32[Array, " block"]], tuple[Array, ...]], size: int
) -> tuple[Shaped[np.ndarray, "size ..."], ...]:
    """Examples 0..size−1 from `make(numbers)`, which computes them by their numbers.

    Every call has the same shape: with another one the compiler may round differently, and then
    example i would depend on `size`.
    """
    parts = []
    for start in range(0, max(size, 1), _BLOCK):
        numbers = jnp.arange(start, start + _BLOCK, dtype=jnp.uint32)
        kept = min(_BLOCK, size - start)
        parts.append(tuple(np.asarray(array)[:kept] for array in make(numbers)))
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def scalar(
    name: str,
    value: Any,
    *,
    at_least: float = 0.0,
    at_most: float | None = None,
    below: float | None = None,
    hint: str = "",
) -> float:
    """Return `value` as one `float` in the range, or refuse it."""
    _checks.number(name, value, at_least=at_least, below=below, hint=hint)
    if np.ndim(value) != 0:
        raise ValueError(f"{name} must be one number, got shape {np.shape(value)}. {hint}".rstrip())
    result = float(value)
    if at_most is not None and result > at_most:
        raise ValueError(f"{name} must be in [{at_least:g}, {at_most:g}], got {result:g}. {hint}".rstrip())
    return result
