"""The stationary law of SGD to first order in η, in one dimension."""

from typing import Any

import numpy as np

from sde_sgd._types import Numbers
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.theory._density import Density1D
from sde_sgd.theory._gibbs import GRID_EXPONENT, POINTS_1D, gibbs, temperature
from sde_sgd.theory._line import Line, check_edges
from sde_sgd.theory._resolution import given_bounds, given_points, resolved
from sde_sgd.theory._setting import without_momentum


def modified_gibbs(
    problem: Problem, hyper: Hyperparameters, *, bounds: Numbers | None = None, points: int | None = None
) -> Density1D:
    r"""p ∝ exp(−[L − (η/4) L'² + (ηD/2) L'']/D), D = ησ²/(2B): SGD's own law up to O(η²).

    Gibbs with the two terms that a finite step adds at fixed temperature. For Gaussian noise the
    Kolmogorov distance to the chain's exact law (`chain_law`) falls fourfold where η is halved at
    fixed η/B; that of `gibbs` falls twofold. Skewed noise adds a term that η does not remove, see
    `skew_log_odds`.

    The expansion needs ηL'' < 1 wherever there is probability. Where L grows faster than a parabola
    the exponent turns round further out; the density ends there.

    Args:
        problem: one parameter, isotropic constant noise.
        hyper: one η and B, no momentum.
        bounds: (low, high); by default where the density is below e⁻⁴⁰ of its peak, or the turn.
        points: of the grid; by default 20 001, doubled as in `gibbs`.

    Returns:
        `Density1D`, whose `error` is that of the quadrature, without the O(η²).

    Raises:
        NotKnownError: if the noise is not isotropic and constant.
        ValueError: for more parameters or momentum, T = 0, bounds that cut off probability, or η so
            large that the exponent turns round at e⁻²⁰ of the peak or above.

    Source: derived here from the chain's kernel; for the drift −∇(L + (η/4)|∇L|²) see Li, Tai, E 2017
    (arXiv:1511.06251).
    """
    line = Line(problem, "modified_gibbs")
    setting = without_momentum(hyper, "modified_gibbs")
    count = given_points(points)
    diffusion = temperature(problem, hyper) / 2
    if not diffusion > 0:
        raise ValueError("the temperature must be > 0 for a density, got T = 0; with no noise there is none.")

    def exponents_at(x: np.ndarray) -> np.ndarray:
        loss, slope, curvature = line.derivatives(x)
        rate = setting.rate
        return (loss - rate / 4 * slope**2) / diffusion + rate / 2 * curvature

    if bounds is None:
        low, high = _bounds(line, hyper, exponents_at, setting.rate)
    else:
        low, high = given_bounds(bounds)

    def make(size: int) -> Density1D:
        grid = np.linspace(low, high, size)
        exponents = exponents_at(grid)
        if bounds is not None:
            check_edges(exponents, low, high, line.minima())
        return Density1D(grid, -exponents, "O(η) law")

    return resolved(make, count, *POINTS_1D)


def _bounds(line: Line, hyper: Hyperparameters, exponents_at: Any, rate: float) -> tuple[float, float]:
    """Outward from the minima to e⁻⁴⁰, or to where the exponent turns round."""
    plain = gibbs(line.problem, hyper)
    assert isinstance(plain, Density1D)
    minima = line.minima()
    reach = 2 * (plain.grid[-1] - plain.grid[0])
    floor = exponents_at(np.linspace(plain.grid[0], plain.grid[-1], 2001)[500:-500]).min()
    edges = []
    for start, sign in ((minima[0], -1.0), (minima[-1], 1.0)):
        ray = start + sign * np.linspace(0.0, reach, 8001)
        exponents = exponents_at(ray)
        highest = np.maximum.accumulate(np.where(np.isfinite(exponents), exponents, -np.inf))
        turned = (highest - exponents > 1) | ~np.isfinite(exponents)
        end = int(np.argmax(turned)) if turned.any() else len(ray)
        floor = min(floor, exponents[:end].min())
        beyond = exponents[:end] - floor > GRID_EXPONENT
        last = int(np.argmax(beyond)) if beyond.any() else int(np.argmax(exponents[:end]))
        if exponents[last] - floor < GRID_EXPONENT / 2:
            curvature = float(line.derivatives(ray[last : last + 1])[2][0])
            raise ValueError(
                f"learning_rate {rate:g} is too large for the O(η) law: at {ray[last]:.3g}, where the "
                f"density is still e^-{exponents[last] - floor:.1f} of its peak, "
                f"η L'' = {rate * curvature:.2g}. Use a smaller one, or the exact chain_law."
            )
        edges.append(float(ray[last]))
    return edges[0], edges[1]
