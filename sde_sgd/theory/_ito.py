"""The stationary law of the SDE in one dimension where the noise depends on the position."""

import numpy as np

from sde_sgd._types import Numbers
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import check_hyper
from sde_sgd.theory._density import Density1D
from sde_sgd.theory._line import Line, check_edges
from sde_sgd.theory._resolution import given_bounds, given_points, resolved
from sde_sgd.theory._setting import Setting, one_setting

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)
_TAIL = 1e-9
_MOST = 1_000_001


def ito_density(
    problem: Problem, hyper: Hyperparameters, *, bounds: Numbers | None = None, points: int | None = None
) -> Density1D:
    r"""P(x) ∝ (1/σ²(x)) exp(−(2B/η') ∫ L'/σ² dx), η' = η/(1 − m): Itô's reading, which is SGD's.

    The stationary law of dx = −L' dt + √(η'σ²(x)/B) dW. Where the noise is larger the density is
    smaller, even on a flat loss. (Stratonovich's reading would have 1/σ in place of 1/σ².) With
    constant σ² it is `gibbs`. It is the SDE's law: SGD's own differs by O(η), see `chain_law`. Where σ²
    jumps so does P, which is then off by what a cell of the grid holds (that is in its `error`) and may be
    refused: give more points, or a σ² that rises within a short distance.

    Args:
        problem: one parameter, any noise: a formula or data.
        hyper: one η, B and m.
        bounds: (low, high); by default grown until less than 1e-9 of the probability is outside.
        points: of the grid; by default 20 001, more for heavy tails, doubled until the error is below
            1e-6 or there are more than a million.

    Returns:
        `Density1D`, whose `error` says how far a probability may be off.

    Raises:
        ValueError: for more parameters, noise that vanishes somewhere, a law that cannot be normalised,
            tails too heavy for a grid, a law too narrow for the points, or bounds that cut off
            probability.

    Source: Gardiner, *Handbook of Stochastic Methods*, chapter 5.
    """
    check_hyper(problem, hyper)
    line = Line(problem, "ito_density")
    setting = one_setting(hyper)
    count = given_points(points)
    fewest = 0
    if bounds is None:
        low, high = ito_bounds(line, setting, tail=_TAIL)
        fewest = int(50 * (high - low) / _core(line, setting, low, high))
        if fewest > 500_001:
            raise ValueError(
                f"the tails are too heavy, or wells too narrow, for an even grid: 1e-9 of the probability "
                f"lies beyond ({low:.3g}, {high:.3g}), and {fewest} points would be needed. Give bounds and "
                f"points, or another η/B; online regression has a closed form in online_regression_law."
            )
    else:
        low, high = given_bounds(bounds)

    def make(size: int) -> Density1D:
        grid = np.linspace(low, high, size)
        exponents = _exponents(line, setting, grid)
        if bounds is not None:
            check_edges(_per_decade(grid, exponents, line), low, high, line.minima())
        # the exponents are integrals themselves
        coarse = Density1D(grid[::2], -_exponents(line, setting, grid[::2]))
        error = np.abs(coarse.cdf(coarse.grid) - Density1D(grid, -exponents).cdf(coarse.grid)).max()
        return Density1D(grid, -exponents, "Itô", error)

    return resolved(make, count, max(20_001, fewest | 1), _MOST)


def ito_bounds(line: Line, setting: Setting, *, tail: float) -> tuple[float, float]:
    """Where the law has no more than `tail` of its probability on either side.

    Raises:
        ValueError: if it cannot be normalised.
    """
    minima = line.minima()
    low = ito_edge(line, setting, minima[0], -1.0, tail=tail)
    return low, ito_edge(line, setting, minima[-1], 1.0, tail=tail)


# beyond this exponent nothing is left of a law in float64
_NO_WEIGHT = 700.0


def ito_edge(line: Line, setting: Setting, start: float, sign: float, *, tail: float) -> float:
    """Beyond which lies no more than `tail` of the probability on one side (`sign`) of a point.

    Raises:
        ValueError: if it cannot be normalised.
    """
    distance = np.concatenate([[0.0], np.geomspace(1e-4, 1e6, 3001)])
    exponents = _exponents(line, setting, start + sign * distance, outwards=True)
    mass = np.exp(-(exponents - exponents.min()))
    cells = 0.5 * (mass[1:] + mass[:-1]) * np.diff(distance)
    beyond = np.cumsum(cells[::-1])[::-1]
    # a power of −1 or more is still gathering probability at the far end
    if beyond[2500] > 1e-3 * beyond[0] and beyond[2500] > 0:
        raise ValueError(
            "the law cannot be normalised: the loss does not grow at infinity, or its growth loses "
            "against that of the noise. Use a smaller η/B, or give bounds."
        )
    inside = beyond < tail * beyond[0]
    if not inside.any():
        raise ValueError(
            f"the tails are too heavy for a grid: more than {tail:g} of the probability lies beyond 1e6 "
            f"from the minimum. Use a smaller η/B, or give bounds."
        )
    return float(start + sign * distance[int(np.argmax(inside))])


def _exponents(line: Line, setting: Setting, grid: np.ndarray, *, outwards: bool = False) -> np.ndarray:
    """−ln p up to a constant: (2B/η')∫L'/σ² + ln σ², by four Gauss points in each cell.

    With `outwards` the noise may vanish where no probability is left, as that of data is lost to rounding far
    out; p is 0 from there on.
    """
    half = np.diff(grid) / 2
    nodes = (grid[:-1] + half)[:, None] + half[:, None] * _NODES
    slope = line.derivatives(nodes.ravel())[1].reshape(nodes.shape)
    variance = line.noise_variance(nodes.ravel()).reshape(nodes.shape)
    ends = line.noise_variance(grid)
    none = ~(np.minimum(variance.min(axis=1), ends[1:]) > 0)
    last = int(none.argmax()) if none.any() else len(half)
    weights = np.where(variance > 0, variance, np.nan)
    integral = np.concatenate([[0.0], np.cumsum(half * ((slope / weights) @ _WEIGHTS))])
    with np.errstate(divide="ignore", invalid="ignore"):
        exponents = 2 * setting.batch / setting.effective_rate * integral + np.log(ends)
    exponents = np.where(np.isfinite(exponents), exponents, np.inf)
    exponents[last + 1 :] = np.inf
    if last < len(half) and not (outwards and exponents[last] > exponents[: last + 1].min() + _NO_WEIGHT):
        at = nodes[last, variance[last].argmin()] if not variance[last].min() > 0 else grid[last + 1]
        raise ValueError(
            f"the noise must not vanish, but does at {at:.4g}: the SDE cannot pass there, and the law "
            f"depends on the side it started from. Give bounds within which it does not vanish."
        )
    return exponents


def _core(line: Line, setting: Setting, low: float, high: float) -> float:
    """A width that holds the middle of the probability: between its quartiles, around one minimum."""
    widths = []
    for start in line.minima():
        distance = np.concatenate([[0.0], np.geomspace(1e-6, 1.0, 601) * (high - low)])
        for sign in (-1.0, 1.0):
            exponents = _exponents(line, setting, start + sign * distance)
            higher = exponents - exponents[0] > 0.5
            widths.append(float(distance[int(np.argmax(higher))]) if higher.any() else high - low)
    return min(width for width in widths if width > 0)


def _per_decade(grid: np.ndarray, exponents: np.ndarray, line: Line) -> np.ndarray:
    """Exponents of p·|x|, so that a heavy tail is judged by the probability in it."""
    distance = np.abs(grid - np.median(line.minima()))
    core = distance[np.argsort(exponents)[: max(1, len(grid) // 100)]].max()
    result: np.ndarray = exponents - np.log(np.maximum(distance / max(core, 1e-300), 1.0))
    return result
