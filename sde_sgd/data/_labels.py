"""Targets: integers are class labels, floats are real values."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Num

from sde_sgd import _checks
from sde_sgd.data import _arrays

_REAL = "To regress on them, give floats: {name}.astype(float)."
_RENUMBER = "np.unique({name}, return_inverse=True)[1] numbers them so."


def kept_targets(
    train: np.ndarray, test: np.ndarray | None, classes: Any
) -> tuple[Num[Array, "n ..."], Num[Array, "m ..."], int | None]:
    """Targets as JAX keeps them, and the number of classes, told or found.

    Integers and truth values of shape (N,) are labels; further integers, such as the tokens of a
    sequence, stay integers of no classes; floats are real values.

    Raises:
        ValueError: if labels are not 0..classes−1, or the parts do not fit each other.
    """
    test = train[:0] if test is None else test
    if test.shape[1:] != train.shape[1:]:
        raise ValueError(
            f"test_targets have shape {test.shape[1:]} per example, targets have {train.shape[1:]}."
        )
    count = classes_of(train) if classes is None else _checks.integer("classes", classes, at_least=2)
    if count is None:
        if _is_discrete(train):
            return *_sequences(train, test), None
        return jnp.asarray(train, dtype=float), jnp.asarray(test, dtype=float), None
    for name, part in (("targets", train), ("test_targets", test)):
        if len(part):
            _check_labels(name, part, count, told=classes is not None)
    return jnp.asarray(train, dtype=jnp.int32), jnp.asarray(test, dtype=jnp.int32), count


def classes_of(targets: np.ndarray) -> int | None:
    """The number of classes that targets are labels of, or None.

    Raises:
        ValueError: if they are integers of shape (N,), but not 0..k−1.
    """
    if not _is_discrete(targets) or targets.ndim != 1:
        return None
    return 2 if targets.dtype == bool else _found(targets)


def _is_discrete(array: np.ndarray) -> bool:
    return array.dtype == bool or _arrays.is_integer(array)


def _sequences(train: np.ndarray, test: np.ndarray) -> tuple[Array, Array]:
    if train.dtype == bool or train.shape[1:] == (1,):
        way_out = (
            "targets[:, 0] has this shape" if train.shape[1:] == (1,) else "targets.argmax(axis=1) has it"
        )
        raise ValueError(
            f"targets must be class labels of shape (N,), got {train.dtype} of shape {train.shape}: "
            f"{way_out}. {_REAL.format(name='targets')}"
        )
    if len(test) and not _arrays.is_integer(test):
        raise ValueError(f"test_targets must be integers as targets are, got {test.dtype}.")
    dtypes = [_arrays.integer_dtype("targets", train), _arrays.integer_dtype("test_targets", test[:0])]
    if len(test):
        dtypes[1] = _arrays.integer_dtype("test_targets", test)
    dtype = np.promote_types(*dtypes)
    return jnp.asarray(train, dtype=dtype), jnp.asarray(test, dtype=dtype)


def _found(labels: np.ndarray) -> int:
    """The number of classes of labels 0..k−1, each of which must occur."""
    present = np.unique(labels)
    low, high = int(present[0]), int(present[-1])
    read = "targets are integers, so they are read as class labels 0..k−1, but they "
    real, renumber = _REAL.format(name="targets"), _RENUMBER.format(name="targets")
    if low == 1 and high == len(present) > 1:
        raise ValueError(f"{read}go from 1 to {high}. Give targets - 1. {real}")
    if low < 0:
        raise ValueError(f"{read}go from {low} to {high}. {renumber} {real}")
    if len(present) != high + 1:
        missing = int(np.argmax(present != np.arange(len(present))))
        raise ValueError(
            f"{read}go from {low} to {high} without {missing}. If that class only happens not to occur, give "
            f"classes={high + 1}; if labels have gaps, {renumber} {real}"
        )
    if high == 0:
        raise ValueError(f"{read}are all 0, which is one class. Give classes= if there are more. {real}")
    return high + 1


def _check_labels(name: str, labels: np.ndarray, classes: int, *, told: bool) -> None:
    if not _is_discrete(labels) or labels.ndim != 1:
        raise ValueError(
            f"{name} must be integer class labels of shape (N,), got {labels.dtype} {labels.shape}. "
            f"{_way_to_labels(name, labels)}"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        hint = (
            f"If they start at 1, give {name} - 1."
            if told and (low, high) == (1, classes)
            else _RENUMBER.format(name=name)
            if told
            else f"The training labels have {classes} classes; give classes={high + 1} if there are more."
        )
        raise ValueError(f"{name} must lie in 0..{classes - 1}, got labels from {low} to {high}. {hint}")


def _way_to_labels(name: str, array: np.ndarray) -> str:
    if array.ndim == 2 and array.shape[1] == 1:
        return f"{name}[:, 0] has this shape."
    if array.ndim == 2:
        return f"Where rows are one-hot vectors, give {name}.argmax(axis=1)."
    if array.ndim == 1 and (array == np.round(array)).all():
        return f"They are whole numbers: give {name}.astype(int), or no classes for real targets."
    return "Leave classes out for real targets."
