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
) -> None:
    """Refuse anything but finite real numbers (an array of any shape) inside the range.

    Raises `ValueError` with the name, the first value that is out of range and the range.
    Tracers pass: they were checked where they were concrete.
    """
    if not is_concrete(value):
        return
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a real number or an array of them, got {value!r}.") from error
    bounds = []
    good = np.isfinite(array)
    if above is not None:
        bounds.append(f"> {above:g}")
        good &= array > above
    if at_least is not None:
        bounds.append(f">= {at_least:g}")
        good &= array >= at_least
    if below is not None:
        bounds.append(f"< {below:g}")
        good &= array < below
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got an array of shape {array.shape}.")
    if not good.all():
        worst = array[~good].flat[0]
        where = "" if array.ndim == 0 else f" (entry {int(np.argmin(good.ravel()))})"
        wanted = " and ".join(["finite", *bounds])
        raise ValueError(f"{name} must be {wanted}, got {worst:g}{where}. {hint}".rstrip())


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
    matrix = np.asarray(value, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise ValueError(f"{name} must be a square matrix, got shape {matrix.shape}.")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} must be finite, got {matrix}.")
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
