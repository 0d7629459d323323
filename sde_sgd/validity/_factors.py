"""What a step of finite length, the order of the examples and skewed noise do on a quadratic."""

import numpy as np

from sde_sgd._types import Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.theory._linear._covariance import discrete_covariance


def step_size_factor(curvature: np.ndarray, hyper: Hyperparameters) -> np.ndarray:
    """Variance of SGD over that of its SDE on a quadratic: 2(1 + m)/(2(1 + m) − ηλ); ∞ where unstable."""
    twice = 2 * (1 + float(hyper.momentum))
    room = twice - float(hyper.learning_rate) * np.maximum(curvature, 0.0)
    return np.where(room > 0, twice / np.where(room > 0, room, 1.0), np.inf)


def sampling_factor(
    curvature: np.ndarray, hyper: Hyperparameters, sampling: Sampling, dataset_size: int | None
) -> np.ndarray:
    """Variance under `sampling` over that with replacement, on a quadratic of these curvatures."""
    if sampling == "replacement" or dataset_size is None:
        return np.ones_like(curvature)
    stable = 1.9 * (1 + float(hyper.momentum)) / float(hyper.learning_rate)

    def one(value: float) -> float:
        h, c = np.array([[min(max(value, 1e-6 * stable), stable)]]), np.eye(1)
        drawn, independent = (
            discrete_covariance(
                h, c, hyper, sampling=how, dataset_size=dataset_size, average=how == "shuffle"
            )
            for how in (sampling, "replacement")
        )
        return float(drawn[0, 0] / independent[0, 0])

    return np.array([one(float(value)) for value in curvature])


def skewness_factor(
    curvature: np.ndarray,
    hyper: Hyperparameters,
    sampling: Sampling = "replacement",
    dataset_size: int | None = None,
) -> np.ndarray:
    r"""Skewness of θ over that of one example's gradient, on a quadratic, in size; exact at any η and m.

    θ = −η Σ_l u_l ξ_l with u_l = (r₁^{l+1} − r₂^{l+1})/(r₁ − r₂), r the roots of r² − (1 + m − ηλ)r + m,
    so that the factor is Σ u³/(Σ u²)^{3/2}/√B. It tends to (2√2/3)(ηλ/((1 − m)B))^{1/2} for small η.
    Subsets of B of N examples are less skewed, by (N − 2B)/(N − 2) · ((N − 1)/(N − B))^{1/2}.
    """
    m = float(hyper.momentum)
    # where SGD is unstable there is no law; just before, the two signs of a swing cancel
    steep = np.clip(float(hyper.learning_rate) * np.asarray(curvature, np.float64), 0.0, 1.999 * (1 + m))
    middle = (1 + m - steep) / 2
    root = np.sqrt((middle**2 - m).astype(complex))
    root = np.where(np.abs(root) < 1e-4, 1e-4, root)  # at a double root the sums below are 0/0
    first, second = middle + root, middle - root
    apart = 2 * root

    def summed(power: int) -> np.ndarray:
        """Σ_l u_l^power, by the binomial sum of geometric series."""
        total = np.zeros_like(root)
        for one, weight in enumerate({2: (1, -2, 1), 3: (1, -3, 3, -1)}[power]):
            base = first ** (power - one) * second**one
            total += weight * base / np.where(base == 1, np.nan, 1 - base)
        return np.asarray((total / apart**power).real)

    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.abs(summed(3)) / summed(2) ** 1.5
    factor = np.where(steep > 0, np.nan_to_num(factor), 0.0) / hyper.batch_size**0.5
    if sampling != "subset" or dataset_size is None or dataset_size <= max(2, hyper.batch_size):
        return np.asarray(factor)
    n, b = dataset_size, hyper.batch_size
    return np.asarray(factor * abs(n - 2 * b) / (n - 2) * ((n - 1) / (n - b)) ** 0.5)
