"""Training labels made wrong on purpose."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int32, Key

from sde_sgd import _checks
from sde_sgd.data._dataset import Dataset
from sde_sgd.random import check_key

_TO = (
    "to must be 'any' (every class alike), 'other' (every class but the old one), a class for each class "
    "such as {3: 5, 5: 3}, or a matrix of odds, row for row those of one old class"
)


def with_label_noise(
    dataset: Dataset,
    fraction: float | Sequence[float] | np.ndarray | Array,
    *,
    key: Key[Array, ""],
    to: str
    | Mapping[int | np.integer, int | np.integer]
    | Sequence[Sequence[float]]
    | np.ndarray
    | Array = "any",
) -> Dataset:
    """Draw new labels for a fraction of the training examples; test labels stay clean.

        with_label_noise(digits, 0.25, key=key)                         # a quarter random
        with_label_noise(digits, 0.25, key=key, to="other")             # a quarter wrong
        with_label_noise(digits, 0.25, key=key, to={7: 1, 3: 8, 8: 3})  # of sevens a quarter are ones, …
        with_label_noise(digits, 1.0, key=key, to=transition)           # P(new | old) = transition[old, new]

    Exactly round(fraction · N) examples are chosen, of each class about the same fraction; or, with a
    fraction for each class, exactly round(fractionₖ · Nₖ) of its Nₖ examples.

    Args:
        dataset: a data set with k classes.
        fraction: in [0, 1]; or k of them, one for each class.
        key: draws which labels and what they become.
        to: what the label of a chosen example becomes. "any": one of the k classes with the same odds
            (some keep theirs by chance); "other": one of the other k − 1 with the same odds; a mapping
            old class → new class, in which classes that are not named keep their label; or a matrix of
            shape (k, k) whose row c has the odds of the new classes where the old one is c.

    Raises:
        ValueError: if the data set has no classes, or a fraction, class or matrix is out of range.

    Source: asymmetric noise and transition matrices as in Patrini, Rozza, Menon, Nock, Qu 2017,
    *Making deep neural networks robust to label noise: a loss correction approach*.
    """
    if not isinstance(dataset, Dataset):
        raise ValueError(f"dataset must be a sde_sgd.data.Dataset, got {type(dataset).__name__}.")
    check_key(key)
    classes = dataset.classes
    if classes is None:
        raise ValueError(
            f"dataset {dataset.name!r} has real targets, not class labels to redraw. Integer targets are "
            f"labels: y.astype(int)."
        )
    fractions = _fractions(fraction, classes)
    odds, told = _odds(to, classes)
    which, what = jax.random.split(key)
    chosen = _chosen(which, np.asarray(dataset.targets), fractions)
    labels = _drawn(what, dataset.targets[chosen], odds, classes)
    share = f"{100 * fractions:g} %" if fractions.ndim == 0 else f"{100 * fractions.mean():.3g} % on average"
    return Dataset(
        dataset.inputs,
        dataset.targets.at[chosen].set(labels),
        dataset.test_inputs,
        dataset.test_targets,
        classes=classes,
        name=f"{dataset.name}, {share} {told} labels",
    )


def _fractions(fraction: Any, classes: int) -> np.ndarray:
    """One number, or one for each class."""
    _checks.number("fraction", fraction, at_least=0)
    fractions = np.asarray(fraction, dtype=float)
    if fractions.ndim and fractions.shape != (classes,):
        raise ValueError(
            f"fraction must be one number, or {classes} of them, one for each class, got an array of shape "
            f"{fractions.shape}. For several noise levels make a data set with each."
        )
    if (fractions > 1).any():
        raise ValueError(f"fraction must be <= 1, got {fractions.max():g}.")
    return fractions


def _odds(to: Any, classes: int) -> tuple[Float64[np.ndarray, "old new"] | str, str]:
    """The matrix P(new | old), or "any" or "other"; and what to call such labels."""
    if isinstance(to, str):
        if to not in ("any", "other"):
            raise ValueError(f"{_TO}; got {to!r}.")
        return to, "random" if to == "any" else "other"
    if isinstance(to, Mapping):
        odds = np.eye(classes)
        for old, new in to.items():
            for name, label in (("a class", old), (f"to[{old!r}]", new)):
                if isinstance(label, bool) or not isinstance(label, int | np.integer):
                    raise ValueError(f"{_TO}; got {label!r} as {name}.")
                if not 0 <= label < classes:
                    raise ValueError(f"to must name classes in 0..{classes - 1}, got {label} as {name}.")
            odds[old] = np.eye(classes)[new]
        if (odds == np.eye(classes)).all():
            raise ValueError(f"{_TO}; got {dict(to)}, which maps no class to another.")
        return odds, "mapped"
    matrix = _checks.real("to", to)
    if matrix.shape == (classes,):
        raise ValueError(f"{_TO}; got shape {matrix.shape}. dict(enumerate(...)) makes a mapping of a list.")
    if matrix.shape != (classes, classes):
        raise ValueError(
            f"to must be a matrix of shape {(classes, classes)}, a row and a column for each class, got "
            f"shape {matrix.shape}."
        )
    _checks.number("to", matrix, at_least=0)
    sums = matrix.sum(axis=1)
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > 1e-5:
        raise ValueError(
            f"to must have rows that sum to 1, got {sums[worst]:g} in row {worst}: row c has the odds of the "
            f"new labels where the old one is c. Divide by to.sum(axis=1, keepdims=True), or transpose it."
        )
    return matrix / sums[:, None], "redrawn"


def _chosen(key: Key[Array, ""], labels: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Which examples are given new labels."""
    order = np.asarray(jax.random.permutation(key, len(labels)))
    if fractions.ndim == 0:
        return order[: round(float(fractions) * len(labels))]
    parts = []
    for label, fraction in enumerate(fractions):
        of_class = order[labels[order] == label]
        parts.append(of_class[: round(float(fraction) * len(of_class))])
    return np.concatenate(parts)


def _drawn(
    key: Key[Array, ""], old: Int32[Array, " chosen"], odds: np.ndarray | str, classes: int
) -> Int32[Array, " chosen"]:
    """A new label for each old one."""
    if isinstance(odds, str):
        if odds == "any":
            return jax.random.randint(key, old.shape, 0, classes, dtype=jnp.int32)
        return (old + jax.random.randint(key, old.shape, 1, classes, dtype=jnp.int32)) % classes
    # The label at which the sum of the odds first exceeds a uniform number below 1. The sum is made
    # 1 from the last possible label on, so that rounding never leads beyond it.
    sums = np.cumsum(odds, axis=1)
    last = classes - 1 - np.argmax(odds[:, ::-1] > 0, axis=1)
    sums[np.arange(classes) >= last[:, None]] = 1.0
    uniform = np.asarray(jax.random.uniform(key, old.shape, jnp.float32), dtype=np.float64)
    new = np.empty(len(uniform), np.int32)
    for label in range(classes):
        of_class = np.flatnonzero(np.asarray(old) == label)
        new[of_class] = np.searchsorted(sums[label], uniform[of_class], side="right")
    return jnp.asarray(new)
