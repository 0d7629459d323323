"""A data set: training and test examples, and what they came from."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from sde_sgd import _checks
from sde_sgd._shown import Shown
from sde_sgd.random import check_key


class Dataset(Shown, eqx.Module):
    """Training and test examples.

    Args:
        inputs: training inputs, shape `(N, ...)`.
        targets: training targets: integer class labels `(N,)`, or real values `(N,)` or `(N, k)`.
        test_inputs, test_targets: the same for the test set; both may have no rows.
        classes: number of classes, or None for real targets.
        name: what to call it in tables and figures.

    Raises:
        ValueError: if there are no training examples, or shapes, labels or numbers do not fit.
    """

    inputs: Float[Array, "n ..."]
    targets: Num[Array, "n ..."]
    test_inputs: Float[Array, "m ..."]
    test_targets: Num[Array, "m ..."]
    classes: int | None = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        inputs: Any,
        targets: Any,
        test_inputs: Any = None,
        test_targets: Any = None,
        *,
        classes: int | None = None,
        name: str = "data",
    ):
        if (test_inputs is None) != (test_targets is None):
            raise ValueError("test_inputs and test_targets must be given together.")
        self.inputs, self.targets = _examples("inputs", "targets", inputs, targets, classes)
        if self.inputs.shape[0] == 0:
            raise ValueError("inputs must hold at least one training example, got N = 0.")
        if test_inputs is None:
            self.test_inputs, self.test_targets = self.inputs[:0], self.targets[:0]
        else:
            self.test_inputs, self.test_targets = _examples(
                "test_inputs", "test_targets", test_inputs, test_targets, classes
            )
            if self.test_inputs.shape[1:] != self.inputs.shape[1:]:
                raise ValueError(
                    f"test_inputs have shape {self.test_inputs.shape[1:]} per example, "
                    f"inputs have {self.inputs.shape[1:]}."
                )
        self.classes = classes
        self.name = name

    @property
    def size(self) -> int:
        """N, the number of training examples."""
        return self.inputs.shape[0]


def _examples(
    inputs_name: str, targets_name: str, inputs: Any, targets: Any, classes: int | None
) -> tuple[Array, Array]:
    x = np.asarray(inputs)
    y = np.asarray(targets)
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y):
        raise ValueError(
            f"{inputs_name} and {targets_name} must have the same number of rows, "
            f"got shapes {x.shape} and {y.shape}."
        )
    _finite(inputs_name, x)
    if classes is None:
        _finite(targets_name, y)
        return jnp.asarray(x, dtype=float), jnp.asarray(y, dtype=float)
    _checks.integer("classes", classes, at_least=2)
    if not np.issubdtype(y.dtype, np.integer) or y.ndim != 1:
        raise ValueError(
            f"{targets_name} must be integer class labels of shape (N,), got {y.dtype} {y.shape}."
        )
    if len(y) and (y.min() < 0 or y.max() >= classes):
        raise ValueError(
            f"{targets_name} must lie in 0..{classes - 1}, got labels from {y.min()} to {y.max()}."
        )
    return jnp.asarray(x, dtype=float), jnp.asarray(y, dtype=jnp.int32)


def _finite(name: str, array: np.ndarray) -> None:
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}.")
    if np.issubdtype(array.dtype, np.complexfloating):
        raise ValueError(
            f"{name} must hold real numbers, got complex ones ({array.dtype}); give their real and imaginary "
            f"parts side by side."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; it holds NaN or infinity.")
    dtype = jnp.zeros((), float).dtype
    largest = max(abs(float(array.min())), abs(float(array.max()))) if array.size else 0.0
    if largest > float(np.finfo(dtype).max):
        raise ValueError(
            f"{name} must be finite in {dtype}, got {largest:g}, which is infinite there; scale them down."
        )


def with_label_noise(dataset: Dataset, fraction: float, *, key: Key[Array, ""]) -> Dataset:
    """Redraw a fraction of the training labels uniformly at random (some keep theirs by chance).

    Exactly round(fraction · N) labels are redrawn. Test labels stay clean.

    Args:
        dataset: a data set with classes.
        fraction: in [0, 1].
        key: draws which labels and what they become.

    Raises:
        ValueError: if the data set has no classes or the fraction is out of range.
    """
    check_key(key)
    _checks.number("fraction", fraction, at_least=0)
    if fraction > 1:
        raise ValueError(f"fraction must be <= 1, got {fraction:g}.")
    if dataset.classes is None:
        raise ValueError(f"dataset {dataset.name!r} has real targets, not class labels to redraw.")
    which, what = jax.random.split(key)
    count = round(fraction * dataset.size)
    chosen = jax.random.permutation(which, dataset.size)[:count]
    labels = jax.random.randint(what, (count,), 0, dataset.classes, dtype=jnp.int32)
    return Dataset(
        dataset.inputs,
        dataset.targets.at[chosen].set(labels),
        dataset.test_inputs,
        dataset.test_targets,
        classes=dataset.classes,
        name=f"{dataset.name}, {100 * fraction:g} % random labels",
    )


def split(
    inputs: np.ndarray,
    targets: np.ndarray,
    train_size: int,
    *,
    key: Key[Array, ""],
    classes: int | None,
    name: str,
    standardise: str = "features",
) -> Dataset:
    """Shuffle, cut into training and test set, and scale by the training set's statistics.

    Args:
        inputs, targets: all examples.
        train_size: N; the rest is the test set.
        key: shuffles.
        classes, name: as in `Dataset`.
        standardise: "features" (each to mean 0 and variance 1; constant ones to 0), "global"
            (one mean and one scale for all, as suits pixels) or "none".
    """
    total = len(inputs)
    _checks.choice("standardise", standardise, ("features", "global", "none"))
    size = _checks.integer("train_size", train_size, at_least=1)
    if size > total:
        raise ValueError(f"train_size must be <= the {total} examples of {name!r}, got {size}.")
    order = np.asarray(jax.random.permutation(key, total))
    x, y = np.asarray(inputs, dtype=np.float64)[order], targets[order]
    if standardise != "none":
        axis = 0 if standardise == "features" else None
        mean, spread = x[:size].mean(axis=axis), x[:size].std(axis=axis)
        # the spread of a constant is not 0 but the rounding of its mean
        x = (x - mean) / np.where(spread > 1e-12 * np.abs(mean), spread, 1.0)
    return Dataset(x[:size], y[:size], x[size:], y[size:], classes=classes, name=name)
