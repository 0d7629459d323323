"""Small p-values of the one-sample Cramér-von Mises statistic."""

import numpy as np
import scipy

from sde_sgd.statistics._pooled import stream

# values at most, draws at most, and numbers drawn in all
_MOST, _DRAWS, _ALL = 100, 20_000, 500_000
_GRID = np.linspace(0.0, 1.0, 2001)


def tail(value: float, u: np.ndarray) -> float:
    """P(W² ≥ value) for n values, where it is small.

    Up to 100 values by importance sampling: they are drawn from densities ∝ exp(±θ cos πu), the likeliest way
    to a large W². The random numbers are a function of `u`, so that no key is needed. For more the limit
    n → ∞, which is above the p-value in the tail, by a relative 4 W⁴/n or so.

    Args:
        value: W².
        u: the distribution function at the sample, shape `(n,)`.
    """
    return limit_tail(value) if len(u) > _MOST else _sampled(value, u)


def limit_tail(value: float) -> float:
    r"""P(Σ_j χ²_j/(jπ)² > z), the limit of W², by Smirnov's formula.

        (1/π) Σ_k (−1)^{k+1} ∫ (2/s) √(−s/sin s) e^{−zs²/2} ds  over [(2k − 1)π, 2kπ]

    Source: Smirnov 1936; as in Durbin 1973, *Distribution theory for tests based on the sample distribution
    function*.
    """
    nodes, weights = np.polynomial.legendre.leggauss(200)
    angle, total = (nodes + 1) * np.pi / 2, 0.0
    for k in range(1, 9):
        # cosines take out the roots at both ends
        s = np.pi * (2 * k - 0.5 - 0.5 * np.cos(angle))
        slope = np.pi / 2 * np.sin(angle) * np.pi / 2
        inside = 2 / s * np.sqrt(-s / np.sin(s)) * np.exp(-value * s * s / 2) * slope
        total += (-1) ** (k + 1) * float(weights @ inside) / np.pi
    return max(total, 0.0)


def _sampled(value: float, u: np.ndarray) -> float:
    n = len(u)

    def shifted(theta: float) -> tuple[np.ndarray, np.ndarray]:
        """The density and the distribution function on the grid."""
        density = np.exp(theta * np.cos(np.pi * _GRID))
        rising = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
        return density / rising[-1] * (len(_GRID) - 1), rising / rising[-1]

    def excess(theta: float) -> float:
        rising = shifted(theta)[1]
        mean = n * np.trapezoid((rising - _GRID) ** 2, _GRID) + np.trapezoid(rising * (1 - rising), _GRID)
        return float(mean - value)

    theta = scipy.optimize.brentq(excess, 0.0, 200.0) if excess(200.0) > 0 else 200.0
    density, rising = shifted(theta)
    rng = stream(u, n)
    draws = np.interp(rng.random((min(_DRAWS, _ALL // n), n)), rising, _GRID)
    logs = [np.log(np.interp(values, _GRID, density)).sum(axis=1) for values in (draws, 1 - draws)]
    mixed = np.logaddexp(*logs) - np.log(2)
    values = np.sort(draws, axis=1)
    middle = (2 * np.arange(1, n + 1) - 1) / (2 * n)
    found = 1 / (12 * n) + ((values - middle) ** 2).sum(axis=1)
    # half of the draws are mirrored in law; W² does not know
    return float(np.mean(np.where(found >= value - 1e-12, np.exp(-mixed), 0.0)))
