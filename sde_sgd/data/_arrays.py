"""What users give as examples becomes arrays of numbers, or is refused with the way out."""

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Num

from sde_sgd import _checks

_STRINGS = (
    "strings; where they are digits give {name}.astype(float), and names of classes number with "
    "np.unique({name}, return_inverse=True)[1]"
)
_KINDS = {
    "c": "complex ones ({dtype}); give their real and imaginary parts side by side",
    **dict.fromkeys("UST", _STRINGS),
    "M": "dates ({dtype}); give the time since a beginning as a number",
    "m": "times ({dtype}); divide them by a unit, such as np.timedelta64(1, 's')",
    "V": "records ({dtype}); give their fields as columns",
}


def array_of(name: str, value: Any) -> np.ndarray:
    """`value` (an array of any library, a list, a table) as a NumPy array of finite real numbers.

    Raises:
        ValueError: if it has no rows of one shape, or holds anything else.
    """
    _checks.check_unmasked(name, value)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} {_why_not(value, error)}") from error
    if array.ndim == 0:
        hint = f" Give {name}.toarray()." if hasattr(value, "toarray") else ""
        raise ValueError(
            f"{name} must be an array, a list or a table with one row for each example, got "
            f"{type(value).__name__}{_shape_of(value)}.{hint}"
        )
    if array.dtype.kind == "O":
        array = _of_objects(name, array)
    _check_real(name, array)
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    _check_finite(name, array)
    return array


def check_pair(inputs_name: str, targets_name: str, inputs: np.ndarray, targets: np.ndarray) -> None:
    """Refuse inputs and targets of different numbers of examples."""
    if len(inputs) != len(targets):
        hint = ""
        if inputs.ndim > 1 and inputs.shape[-1] == len(targets):
            hint = f" Examples are rows: give {inputs_name}.T if they are columns."
        raise ValueError(
            f"{inputs_name} and {targets_name} must have the same number of rows, got shapes "
            f"{inputs.shape} and {targets.shape}.{hint}"
        )


def kept_inputs(
    train: np.ndarray, test: np.ndarray | None
) -> tuple[Num[Array, "n ..."], Num[Array, "m ..."]]:
    """Inputs as JAX keeps them: floats and truth values as floats, integers as integers.

    Raises:
        ValueError: if integers are too large, or one part holds integers and the other floats.
    """
    test = train[:0] if test is None else test
    if test.shape[1:] != train.shape[1:]:
        raise ValueError(
            f"test_inputs have shape {test.shape[1:]} per example, inputs have {train.shape[1:]}."
        )
    if not len(test):
        test = test.astype(train.dtype)
    if is_integer(train) != is_integer(test):
        raise ValueError(
            f"inputs and test_inputs must both be integers or both be floats, got {train.dtype} and "
            f"{test.dtype}. Integers, such as token ids, stay integers; give both in one type."
        )
    dtype: Any = float
    if is_integer(train):
        dtypes = [integer_dtype("inputs", train), integer_dtype("test_inputs", test)]
        dtype = np.promote_types(*dtypes)
    return jnp.asarray(train, dtype=dtype), jnp.asarray(test, dtype=dtype)


def is_integer(array: np.ndarray) -> bool:
    """Whether it holds integers of any width, signed or not; truth values are none."""
    return array.dtype.kind in "iu"


def integer_dtype(name: str, array: np.ndarray) -> np.dtype:
    """int32 where the numbers fit; int64 where they do not and JAX has it.

    Unsigned ones become signed: their differences would wrap around.
    """
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for dtype in (np.int32, np.int64):
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            if dtype == np.int32 or jnp.zeros((), int).dtype == dtype:
                return np.dtype(dtype)
            break
    raise ValueError(
        f"{name} must hold integers within ±2³¹ (int32), got {low if -low > high else high}. Number the ids "
        f"with np.unique({name}, return_inverse=True)[1], or set jax_enable_x64, which keeps 64 bits; what "
        f"are measurements and not ids, give as floats: {name}.astype(float)."
    )


def _check_real(name: str, array: np.ndarray) -> None:
    if array.dtype == bool or is_integer(array) or jnp.issubdtype(array.dtype, jnp.floating):
        return
    if array.dtype.kind == "f":
        return
    told = _KINDS.get(array.dtype.kind, "dtype {dtype}").format(dtype=array.dtype, name=name)
    raise ValueError(f"{name} must hold real numbers, got {told}.")


def _check_finite(name: str, array: np.ndarray) -> None:
    """Refuse what is NaN or infinite, as given or in the floats that JAX keeps."""
    if array.dtype == bool or is_integer(array) or not array.size:
        return
    good = np.isfinite(array)
    if not good.all():
        rows = np.flatnonzero(~good.reshape(len(good), -1).all(axis=1))
        raise ValueError(
            f"{name} must be finite; it holds NaN or infinity in {len(rows)} of {len(array)} rows, first in "
            f"row {rows[0]}. Leave those rows out of inputs and targets, or fill the gaps."
        )
    dtype = jnp.result_type(float)
    largest = max(abs(float(array.min())), abs(float(array.max())))
    if largest > float(np.finfo(dtype).max):
        raise ValueError(
            f"{name} must be finite in {dtype}, got {largest:g}, which is infinite there; scale them down."
        )


def _of_objects(name: str, array: np.ndarray) -> np.ndarray:
    """Objects that are all numbers as such, as columns of different types of a table give them."""
    for place, entry in enumerate(array.flat):
        if isinstance(entry, numbers.Number) and not isinstance(entry, numbers.Real):
            raise ValueError(f"{name} must hold real numbers, got {_short(entry)}, a {type(entry).__name__}.")
        if not isinstance(entry, numbers.Real | np.bool_):
            where = tuple(int(index) for index in np.unravel_index(place, array.shape))
            raise ValueError(
                f"{name} must hold real numbers, got {_short(entry)}, a {type(entry).__name__}, at {where}. "
                f"Leave such columns or rows out, or give them numbers; rows of different lengths must be "
                f"padded or cut to one."
            )
    if all(isinstance(entry, numbers.Integral) for entry in array.flat):
        try:
            return array.astype(np.int64)
        except OverflowError as error:
            raise ValueError(
                f"{name} must hold integers within ±2⁶³, got larger ones. Give them as floats: "
                f"{name}.astype(float)."
            ) from error
    return array.astype(np.float64)


def _why_not(value: Any, error: Exception) -> str:
    """Why NumPy makes no array of a value."""
    if isinstance(error, jax.errors.TracerArrayConversionError):
        return "must be numbers that are known, not traced ones. Build the Dataset outside of jit and vmap."
    if isinstance(value, list | tuple):
        shapes = [_shape_of(row).strip() or "no shape" for row in value]
        for place, shape in enumerate(shapes):
            if shape != shapes[0]:
                return (
                    f"must have rows of one shape, but row 0 has {shapes[0]} and row {place} has {shape}. "
                    f"Pad or cut them to one length."
                )
    return f"must be an array of numbers with one row for each example, got {type(value).__name__}: {error}"


def _shape_of(value: Any) -> str:
    try:
        return f" shape {np.shape(value)}"
    except (TypeError, ValueError, RuntimeError):
        return ""


def _short(entry: Any) -> str:
    text = repr(entry)
    return text if len(text) <= 40 else f"{text[:37]}..."
