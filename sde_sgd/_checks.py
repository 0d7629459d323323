"""Validation helpers: every refusal names the argument, its value and the way out."""

import math
import operator
from collections.abc import Collection
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

_T = TypeVar("_T", bound=str)


def is_concrete(value: Any) -> bool:
    """Whether `value` can be looked at now (it is not a tracer inside `jit` or `vmap`)."""
    return not isinstance(value, jax.core.Tracer)


def number(
    name: str,
    value: Any,
    *,
    above: float | int | None = None,
    at_least: float | int | None = None,
    below: float | int | None = None,
    hint: str = "",
    kept: bool = False,
) -> None:
    """Refuse anything but finite real numbers (an array of any shape) inside the range.

    With `kept` they must lie inside as JAX keeps them too: in float32 1e-50 is 0, 1 − 1e-8 is 1 and
    1e300 infinite. Numbers that only floats below the normal range could hold are 0 on most devices.

    Raises `ValueError` with the name, the first value that is out of range and the range.
    Tracers pass: they were checked where they were concrete.
    """
    if not is_concrete(value):
        return
    array = real(name, value)
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got an array of shape {array.shape}.")
    limits = ((">", above, np.greater), (">=", at_least, np.greater_equal), ("<", below, np.less))
    bounds = [(sign, limit, holds) for sign, limit, holds in limits if limit is not None]
    wanted = " and ".join(["finite", *(f"{sign} {limit:g}" for sign, limit, _ in bounds)])

    def refuse(numbers: np.ndarray, told: str, hint: str) -> None:
        good = np.isfinite(numbers)
        for _, limit, holds in bounds:
            good &= holds(numbers, limit)
        if not good.all():
            place = int(np.argmin(good.ravel()))
            where = "" if array.ndim == 0 else f" (entry {place})"
            got = told.format(given=float(array.flat[place]), kept=float(numbers.flat[place]))
            raise ValueError(f"{name} must be {wanted}, got {got}{where}. {hint}".rstrip())

    refuse(array, "{given:g}", hint)
    if kept:
        numbers = as_kept(array)
        way_out = "Choose another value, or set jax_enable_x64, which keeps float64."
        refuse(numbers, f"{{given!r}}, which is {{kept:g}} in {numbers.dtype}", way_out)


def as_kept(array: np.ndarray) -> np.ndarray:
    """Float64 numbers as JAX keeps them: rounded to its floats, and 0 below their normal range."""
    dtype = jnp.zeros((), float).dtype
    with np.errstate(over="ignore", under="ignore"):
        numbers = np.asarray(array, dtype)
    return np.where(np.abs(numbers) < np.finfo(dtype).tiny, np.zeros((), dtype), numbers)


def real(name: str, value: Any) -> np.ndarray:
    """Return `value` as a float64 array, or refuse what is no real number."""
    try:
        plain = np.asarray(value)
        if np.issubdtype(plain.dtype, np.complexfloating):
            raise ValueError(
                f"{name} must be a real number, got complex ones ({plain.dtype}); take their .real part."
            )
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        if "got complex" in str(error):
            raise
        raise ValueError(f"{name} must be a real number or an array of them, got {value!r}.") from error


def array(name: str, value: Any, **bounds: Any) -> jax.Array:
    """Return `value` as JAX keeps it, or refuse it where it lies outside the bounds as given or as kept."""
    number(name, value, **bounds, kept=True)
    return jnp.asarray(value, dtype=float)


def scalar(name: str, value: Any, **bounds: Any) -> Any:
    """Return `value` as one Python number inside the bounds, or refuse it."""
    number(name, value, **bounds)
    if np.ndim(value):
        raise ValueError(f"{name} must be one number, got an array of shape {np.shape(value)}.")
    return np.asarray(value).item()


def integer(name: str, value: Any, *, at_least: int = 0, hint: str = "") -> int:
    """Return `value` as an `int`, or refuse it with its name and the range."""
    try:
        result = operator.index(value)
    except TypeError:
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            result = int(value)
        else:
            raise ValueError(
                f"{name} must be an integer >= {at_least}, got {value!r}. {hint}".rstrip()
            ) from None
    if isinstance(value, bool) or result < at_least:
        raise ValueError(f"{name} must be an integer >= {at_least}, got {value!r}. {hint}".rstrip())
    return result


def choice(name: str, value: _T, options: Collection[str]) -> _T:
    """Return `value` if it is one of `options`, or refuse it and list them."""
    if value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {listed}, got {value!r}.")
    return value


def floating(name: str, tree: Any) -> Any:
    """Return `tree` with array leaves, or refuse leaves that are not real floating-point numbers."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = jnp.asarray(leaf)
        if not jnp.issubdtype(array.dtype, jnp.floating):
            where = jax.tree_util.keystr(path)
            raise ValueError(
                f"{name}{where} has dtype {array.dtype}; parameters must be floating point. "
                f"Convert them, for instance with jnp.asarray(..., dtype=float)."
            )
    return jax.tree.map(jnp.asarray, tree)


def square_matrix(name: str, value: Any) -> np.ndarray:
    """Return `value` as a symmetric positive semi-definite float64 matrix, or refuse it."""
    matrix = real(name, value)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise ValueError(f"{name} must be a square matrix, got shape {matrix.shape}.")
    number(name, matrix, kept=True)
    scale = max(float(np.abs(matrix).max()), np.finfo(float).tiny)
    asymmetry = float(np.abs(matrix - matrix.T).max())
    if asymmetry > 1e-5 * scale:
        raise ValueError(
            f"{name} must be symmetric, but differs from its transpose by {asymmetry:g}; "
            f"pass ({name} + {name}.T) / 2 if that is rounding."
        )
    lowest = float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[0])
    if lowest < -1e-5 * scale:
        raise ValueError(f"{name} must be positive semi-definite, its lowest eigenvalue is {lowest:g}.")
    return (matrix + matrix.T) / 2
