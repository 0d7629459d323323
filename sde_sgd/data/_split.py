"""One's own examples shuffled, cut into two parts and scaled."""

from typing import Literal

import jax
import numpy as np
from jaxtyping import Array, Key

from sde_sgd import _checks
from sde_sgd._types import Numbers, SupportsArray
from sde_sgd.data import _arrays, _labels
from sde_sgd.data._dataset import Dataset
from sde_sgd.random import check_key


def split(
    inputs: Numbers | SupportsArray,
    targets: Numbers | SupportsArray,
    train_size: int,
    *,
    key: Key[Array, ""],
    classes: int | None = None,
    name: str = "data",
    standardise: Literal["features", "global", "none"] | None = None,
) -> Dataset:
    """Shuffle examples, cut them into training and test set, and scale by the training set's statistics.

        data = split(frame[["a", "b"]], frame["label"], 400, key=jax.random.key(0))

    Args:
        inputs, targets: all examples, as for `Dataset`.
        train_size: N; the rest is the test set.
        key: shuffles.
        classes, name: as in `Dataset`; labels may be found in all examples.
        standardise: "features" (each to mean 0 and variance 1; constant ones to 0), "global"
            (one mean and one scale for all, as suits pixels) or "none", which leaves integers, such
            as token ids, what they are. None: "features", but integers must be decided upon.

    Raises:
        ValueError: if an argument is out of range, or the examples are none, as in `Dataset`.
    """
    check_key(key)
    x, y = _arrays.array_of("inputs", inputs), _arrays.array_of("targets", targets)
    _arrays.check_pair("inputs", "targets", x, y)
    total = len(x)
    if standardise is None and _arrays.is_integer(x):
        raise ValueError(
            "standardise must be given where inputs are integers: 'none' keeps ids, such as tokens, "
            "'features' or 'global' makes numbers with mean 0 and variance 1 of them."
        )
    how = _checks.choice("standardise", standardise or "features", ("features", "global", "none"))
    size = _checks.integer("train_size", train_size, at_least=1)
    if size > total:
        raise ValueError(f"train_size must be <= the {total} examples of {name!r}, got {size}.")
    if classes is None:
        classes = _labels.classes_of(y)
    order = np.asarray(jax.random.permutation(key, total))
    x, y = x[order], y[order]
    if how != "none":
        x = x.astype(np.float64)
        axis = 0 if how == "features" else None
        mean, spread = x[:size].mean(axis=axis), x[:size].std(axis=axis)
        # the spread of a constant is not 0 but the rounding of its mean
        x = (x - mean) / np.where(spread > 1e-12 * np.abs(mean), spread, 1.0)
    return Dataset(x[:size], y[:size], x[size:], y[size:], classes=classes, name=name)
