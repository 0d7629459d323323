"""First passage of a chain on the line that hops to neighbours only, from sums of positive numbers."""

import numpy as np
import scipy

_ITERATIONS = 200


def passage_moments(up: np.ndarray, down: np.ndarray, start: int) -> tuple[float, float]:
    r"""Mean and variance of the time from a cell to beyond the last one.

        h_i = (1 + d_i h_{i−1})/u_i,
        v_i = 1/(u_i(u_i + d_i)) + (d_i/u_i) v_{i−1} + d_i/(u_i + d_i) (h_{i−1} + h_i)²

    of the time from cell i to i + 1. These are the tridiagonal equations solved without a subtraction, so
    that the relative error is that of rounding, however high the barrier.

    Args:
        up: u_i, rates of i → i + 1; from the last cell the chain is gone.
        down: d_i, rates of i → i − 1, d₀ = 0.
        start: the first cell.
    """
    mean = variance = step = spread = 0.0
    for cell, (u, d) in enumerate(zip(up.tolist(), down.tolist(), strict=True)):
        before, step = step, (1 + d * step) / u
        spread = 1 / (u * (u + d)) + d / u * spread + d / (u + d) * (before + step) ** 2
        if cell >= start:
            mean, variance = mean + step, variance + spread
    return mean, variance


def slowest_rate(up: np.ndarray, down: np.ndarray) -> float:
    """The smallest rate λ at which the chain is lost.

    By inverse iteration: −Q is a product of two bidiagonal matrices, and their inverses have no negative
    entries, so that no subtraction occurs here either.
    """
    law, rate = np.ones(len(up)) / len(up), 0.0
    for _ in range(_ITERATIONS):
        before, law = rate, _occupied(up, down, law)
        rate = float(1 / law.sum())
        law *= rate
        if abs(rate - before) <= 1e-13 * rate:
            break
    return rate


def _occupied(up: np.ndarray, down: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(−Q)⁻¹ p: the mean time spent in each cell from a law p, shape `(cells,)`.

    The flow u_i t_i − d_{i+1} t_{i+1} between neighbours is what has started below.
    """
    flow = np.cumsum(start)
    size = len(up)
    bands = np.zeros((2, size))
    bands[0, 1:], bands[1] = -down[1:], up
    found: np.ndarray = scipy.linalg.solve_banded((0, 1), bands, flow)
    return found
