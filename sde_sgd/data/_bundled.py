"""The real data sets that come with scikit-learn: nothing is downloaded."""

from typing import Literal

import jax
import numpy as np
from jaxtyping import Array, Key

from sde_sgd._platform._packages import need
from sde_sgd.data._dataset import Dataset
from sde_sgd.data._split import split


def digits(train_size: int = 1280, *, key: Key[Array, ""] | None = None) -> Dataset:
    """Handwritten digits: 1797 images of 8 × 8 pixels in 10 classes, flattened to 64 inputs.

    Pixels share one mean and one scale (training mean 0, variance 1). The split is shuffled by
    `key`; without one it is always the same.

    Source: UCI Optical Recognition of Handwritten Digits, as bundled with scikit-learn.

    Raises:
        ImportError: without scikit-learn.
    """
    return _bundled("digits", "load_digits", train_size, key, "global")


def wine(train_size: int = 128, *, key: Key[Array, ""] | None = None) -> Dataset:
    """Wine: 178 samples of 13 chemical measurements, 3 classes; features standardised.

    Source: UCI Wine, as bundled with scikit-learn.

    Raises:
        ImportError: without scikit-learn.
    """
    return _bundled("wine", "load_wine", train_size, key, "features")


def breast_cancer(train_size: int = 400, *, key: Key[Array, ""] | None = None) -> Dataset:
    """Breast cancer Wisconsin: 569 samples of 30 features, 2 classes; features standardised.

    Source: UCI Breast Cancer Wisconsin (Diagnostic), as bundled with scikit-learn.

    Raises:
        ImportError: without scikit-learn.
    """
    return _bundled("breast cancer", "load_breast_cancer", train_size, key, "features")


def _bundled(
    name: str,
    loader: str,
    train_size: int,
    key: Key[Array, ""] | None,
    standardise: Literal["features", "global", "none"],
) -> Dataset:
    way_out = "read a file of your own into data.Dataset"
    need("scikit-learn", f"the data set {name!r}", module="sklearn", instead=way_out)
    from sklearn import datasets

    inputs, targets = getattr(datasets, loader)(return_X_y=True)
    targets = np.asarray(targets, dtype=np.int32)
    return split(
        inputs,
        targets,
        train_size,
        key=jax.random.key(0) if key is None else key,
        classes=int(targets.max()) + 1,
        name=name,
        standardise=standardise,
    )
