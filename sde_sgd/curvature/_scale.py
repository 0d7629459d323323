"""Sums of squares that neither over- nor underflow."""

import jax.numpy as jnp
from jaxtyping import Array, Float

# 2^±120 and its inverse are normal numbers in float32, with room for what is measured in such units
_MOST = 120


def power_of_two(values: Float[Array, "..."]) -> Float[Array, ""]:
    """A power of two next to the largest absolute value, to divide by without rounding; 1 if all are zero.

    NaN where a value is not finite.
    """
    largest = jnp.max(jnp.abs(values), initial=0.0)
    exponent = jnp.clip(jnp.frexp(largest)[1], -_MOST, _MOST)
    unit = jnp.ldexp(jnp.ones((), values.dtype), exponent)
    return jnp.where(jnp.isfinite(largest), unit, jnp.nan)


def norm(values: Float[Array, "..."], axis: int | None = None) -> Float[Array, "..."]:
    """√Σx², the squares being taken in units of the largest |x|."""
    unit = power_of_two(values)
    result: Float[Array, ...] = unit * jnp.linalg.norm(values / unit, axis=axis)
    return result


def spread(values: Float[Array, "samples ..."]) -> Float[Array, "..."]:
    """The standard deviation of independent values along the first axis."""
    unit = power_of_two(values)
    return unit * jnp.std(values / unit, axis=0, ddof=1)
