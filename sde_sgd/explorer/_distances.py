"""How far apart two laws are: Kolmogorov-Smirnov and Wasserstein-1, with their standard errors."""

from dataclasses import dataclass

import numpy as np

from sde_sgd._platform._shown import Shown
from sde_sgd.statistics._pooled import pool
from sde_sgd.statistics._wasserstein import w1_one, w1_two
from sde_sgd.theory._density import Density1D

Law = Density1D | np.ndarray


@dataclass(frozen=True, repr=False)
class Distance(Shown):
    """Between two laws, of which each may be known by a sample.

    Attributes:
        ks: sup |F − G|, with standard error `ks_error` (of F − G where it is largest; around same laws D
            itself is as large as that by chance). 0 where both laws are known.
        w1: ∫ |F − G| dx, in units of θ, with standard error `w1_error`.
    """

    ks: float
    ks_error: float
    w1: float
    w1_error: float


def distance(first: Law, other: Law) -> Distance:
    """The distance of two laws.

    Args:
        first, other: sorted independent values, shape `(n,)`, or densities.
    """
    if isinstance(first, Density1D):
        return _of_laws(first, other) if isinstance(other, Density1D) else distance(other, first)
    return _to_law(first, other) if isinstance(other, Density1D) else _of_samples(first, other)


def _of_laws(first: Density1D, other: Density1D) -> Distance:
    low, high = min(first.grid[0], other.grid[0]), max(first.grid[-1], other.grid[-1])
    grid = np.linspace(low, high, 4001)
    gap = np.abs(first.cdf(grid) - other.cdf(grid))
    return Distance(float(gap.max()), 0.0, float(np.trapezoid(gap, grid)), 0.0)


def _to_law(x: np.ndarray, law: Density1D) -> Distance:
    n, cdf = len(x), law.cdf(x)
    # the sample's F jumps at each value: the law is met from below and from above
    gaps = np.maximum(np.arange(1, n + 1) / n - cdf, cdf - np.arange(n) / n)
    at = int(gaps.argmax())
    w1, w1_error = w1_one(x, law.grid, law.cdf(law.grid))
    return Distance(float(gaps[at]), _error(float(cdf[at]), n), w1, w1_error)


def _of_samples(x: np.ndarray, y: np.ndarray) -> Distance:
    pooled = pool(x, y)
    at = int(np.abs(pooled.gap).argmax())
    w1, w1_error = w1_two(pooled)
    error = _error(float(pooled.rising[at]), pooled.size)
    return Distance(float(np.abs(pooled.gap[at])), error, w1, w1_error)


def _error(at: float, size: float) -> float:
    return float(np.sqrt(max(at * (1 - at), 1 / size) / size))
