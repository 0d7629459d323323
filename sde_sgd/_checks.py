"""Validation helpers: every refusal names the argument, its value and the way out."""

import errno
import operator
import os
import reprlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

_T = TypeVar("_T", bound=str)
# kinds of dtypes that NumPy would turn into floats all the same: bools, strings, times
_NO_NUMBERS = "bSUmM"


class _Short(reprlib.Repr):
    """`repr` in one line of bounded length."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 5
        self.maxlevel, self.maxstring, self.maxother = 3, 80, 80

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, np.ndarray | jax.Array) and not isinstance(x, Tracer):
            if x.size > 4:
                return f"an array of shape {x.shape} and dtype {x.dtype}"
            return " ".join(repr(x).split())
        return " ".join(super().repr1(x, level).split())


_SHORT = _Short()


def short(value: Any) -> str:
    """What was given, in one line for a message, whatever it is: arrays by shape and dtype."""
    text = _SHORT.repr(value)
    return text if len(text) <= 200 else f"{text[:160]}… ({type(value).__name__})"


def path(name: str, value: Any) -> Path:
    """Return `value` as a path, `~` as the home folder, or refuse it with the argument's name."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError(
            f"{name} must be a path, of a file or folder (text or pathlib.Path), got {short(value)}."
        )
    try:
        found = Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name} must be a path, got {text!r}: {error}") from error
    try:
        found.lstat()  # of which the system may say that it could neither exist nor be looked for
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError(
                f"{name} must be a path, got {short(text)} of {len(text)} characters, which is too long for "
                f"the system. Give where the file is, not what is in it."
            ) from error
    return found


def shape(value: Any) -> tuple[int, ...]:
    """The shape of what may be a number, an array or a sequence."""
    return np.shape(value)


def is_concrete(value: Any) -> bool:
    """Whether `value` can be looked at now (it is, or holds, no tracer inside `jit` or `vmap`)."""
    if isinstance(value, int | float | str | np.ndarray):
        return True
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value))


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
    dtype = jnp.result_type(float)
    with np.errstate(over="ignore", under="ignore"):
        numbers = np.asarray(array, dtype)
    return np.where(np.abs(numbers) < np.finfo(dtype).tiny, np.zeros((), dtype), numbers)


def check_unmasked(name: str, value: Any) -> None:
    """Refuse an array, or a list of some, in which entries are masked: NumPy would drop the mask."""
    for part in value if isinstance(value, list | tuple) else (value,):
        if isinstance(part, np.ma.MaskedArray) and np.ma.getmaskarray(part).any():
            raise ValueError(f"{name} must not hold masked entries; fill them, or leave their rows out.")


def real(name: str, value: Any) -> np.ndarray:
    """Return `value` as a float64 array, or refuse what is no real number."""
    check_unmasked(name, value)
    try:
        plain = np.asarray(value)
        if value is None or plain.dtype.kind in _NO_NUMBERS:
            raise TypeError
        if np.issubdtype(plain.dtype, np.complexfloating):
            raise ValueError(
                f"{name} must be a real number, got complex ones ({plain.dtype}); take their .real part."
            )
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        if "got complex" in str(error):
            raise
        raise ValueError(f"{name} must be a real number or an array of them, got {short(value)}.") from error


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


def integer(name: str, value: Any, *, at_least: int = 0, at_most: int | None = None, hint: str = "") -> int:
    """Return `value` as an `int`, or refuse it with its name and the range."""
    if not is_concrete(value):
        hint = f"Inside jit or vmap it must be a Python integer: it sets shapes. {hint}"
    result = _as_integer(value)
    if result is None or result < at_least or (at_most is not None and result > at_most):
        beyond = at_most is not None and result is not None and result > at_most
        most = f" and <= {at_most}" if beyond else ""
        raise ValueError(
            f"{name} must be an integer >= {at_least}{most}, got {short(value)}. {hint}".rstrip()
        )
    return result


def _as_integer(value: Any) -> int | None:
    """An integer of any library, or a float that is one; bools are not."""
    if isinstance(value, bool | np.bool_) or str(getattr(value, "dtype", "")) == "bool":
        return None
    try:
        return operator.index(value)
    except TypeError:
        if not is_concrete(value) or isinstance(value, str | bytes):
            return None
    try:
        plain = np.asarray(value)
        real = float(plain) if plain.ndim == 0 and plain.dtype.kind == "f" else 0.5
    except (TypeError, ValueError):
        return None
    return int(real) if real.is_integer() else None


def flag(name: str, value: Any, *, none: bool = False) -> Any:
    """Return `value` if it is True or False (or None where that means something), or refuse it."""
    if not (isinstance(value, bool | np.bool_) or (none and value is None)):
        raise ValueError(
            f"{name} must be True{',' if none else ' or'} False{' or None' if none else ''}, "
            f"got {short(value)}."
        )
    return None if value is None else bool(value)


def choice(name: str, value: _T, options: Collection[str]) -> _T:
    """Return `value` if it is one of `options`, or refuse it and list them."""
    if not isinstance(value, str) or value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {listed}, got {short(value)}.")
    return value


def check_floating(name: str, tree: Any) -> None:
    """Refuse leaves that are not real floating-point numbers; no array is made of them."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        check_unmasked(f"{name}{jax.tree_util.keystr(path)}", leaf)
        dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
        if not jnp.issubdtype(dtype, jnp.floating):
            where = jax.tree_util.keystr(path)
            raise ValueError(
                f"{name}{where} has dtype {dtype}; parameters must be floating point. "
                f"Convert them, for instance with jnp.asarray(..., dtype=float)."
            )


def floating(name: str, tree: Any) -> Any:
    """Return `tree` with array leaves, or refuse leaves that are not real floating-point numbers."""
    check_floating(name, tree)
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
    result: np.ndarray = (matrix + matrix.T) / 2
    return result
