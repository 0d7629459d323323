"""The exact stationary law of SGD in one dimension, at any η, for any law of the noise."""

from typing import Any

import numpy as np

from sde_sgd import _checks
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.processes._base import check_hyper
from sde_sgd.theory._density import Density1D
from sde_sgd.theory._ito import ito_bounds
from sde_sgd.theory._kernel import gaussian_kernel, hat_kernel
from sde_sgd.theory._line import Line
from sde_sgd.theory._markov import stationary_vector
from sde_sgd.theory._modified import given_bounds
from sde_sgd.theory._setting import Setting, without_momentum

_MOST, _MOST_OTHER = 4001, 3001
_FINE = 20_001
# grid points for each standard deviation of a step
_GAUSSIAN, _OTHER = 1.5, 15.0
# probability that may be missing
_LOST = 1e-6


def chain_law(
    problem: AnalyticProblem | Any,
    hyper: Hyperparameters | Any,
    *,
    bounds: Any = None,
    points: int | Any | None = None,
) -> Density1D:
    r"""The stationary law of x ← x − ηL'(x) − η σ(x) ζ̄, exact at finite η: p = ∫ K(·|y) p(y) dy.

    ζ̄ is the mean of the noise of B examples. For Gaussian noise the integral is a trapezoidal sum
    (Nyström), whose error is below 1e-15 with 1.5 points for each standard deviation of a step;
    p between the points is K applied once more. For "exponential" and "rademacher" noise every jump
    is shared between neighbouring points at a distance h. That adds h²/6 to the variance s² of a step,
    for which the noise is scaled down; its third cumulant is then too small by a relative (h/2s)²,
    .1 % at the default 15 points for each s.

    Args:
        problem: analytic, one parameter, any noise and noise law.
        hyper: one η and B, no momentum.
        bounds: (low, high); by default grown until less than 1e-9 of the probability is outside, or to
            where a step overshoots the other side. Less than 1e-6 must be outside; the law is then that
            of chains which have not escaped.
        points: of the grid; by default as many as needed, at most 4001
            (3001 where the noise is not Gaussian).

    Returns:
        `Density1D`.

    Raises:
        ValueError: for more parameters, data, momentum, no noise, bounds that cut off probability, an
            unstable η, or steps too small for so many points (then `modified_gibbs` is the law to use).
    """
    check_hyper(problem, hyper)
    if not isinstance(problem, AnalyticProblem):
        raise ValueError(
            f"problem must be analytic for its chain law, got {type(problem).__name__}: the noise of data "
            f"has a law of its own."
        )
    line = Line(problem, "chain_law")
    setting = without_momentum(hyper, "chain_law")
    if bounds is not None:
        low, high = given_bounds(bounds)
        outside = [point for point in line.minima() if not low < point < high]
        if outside:
            raise ValueError(
                f"bounds ({low:g}, {high:g}) cut off probability: there is a minimum at {outside[0]:g}. "
                f"Widen them."
            )
    else:
        low, high = _grown(line, setting)
    grid, law, lost = _solve(line, setting, low, high, points)
    if not lost < _LOST:
        raise ValueError(
            f"bounds ({low:.4g}, {high:.4g}) cut off probability: {lost:.1e} of the chain's is at the edge "
            f"or beyond. Widen them; if that does not help, the chain escapes: use a smaller learning rate."
        )
    if _is_gaussian(line):
        grid, law = _between(line, setting, grid, law)
    with np.errstate(divide="ignore"):
        return Density1D(grid, np.log(law), "SGD, exact")


def _grown(line: Line, setting: Setting) -> tuple[float, float]:
    """Bounds widened on a coarse grid until next to nothing is at the edge, or steps overshoot."""
    low, high = ito_bounds(line, setting, tail=1e-12)
    for _ in range(40):
        lost = _solve(line, setting, low, high, None, coarse=True)[2]
        margin = 0.025 * (high - low)
        if lost < 1e-3 * _LOST or not _maps_into(line, setting, low - margin, high + margin):
            break
        low, high = low - margin, high + margin
    return low, high


def _solve(
    line: Line, setting: Setting, low: float, high: float, points: Any, *, coarse: bool = False
) -> tuple[np.ndarray, np.ndarray, float]:
    """Grid and law on [low, high] with jumps beyond it ending at the edge; and what lies there."""
    problem = line.problem
    assert isinstance(problem, AnalyticProblem)
    gaussian = _is_gaussian(line)
    rough = np.linspace(low, high, 401)
    step = setting.rate * np.sqrt(line.noise_variance(rough) / setting.batch)
    if not step.min() > 0:
        raise ValueError(
            f"the noise must not vanish for a density, but does at {rough[step.argmin()]:.4g}; without noise "
            f"the chain sits at a minimum."
        )
    per_step = _GAUSSIAN if gaussian else (3.0 if coarse else _OTHER)
    span = (high - low) / step.min()
    wanted, least = int(span * per_step) + 2, int(span * (1.3 if gaussian else 3.0)) + 2
    most = _MOST if gaussian else _MOST_OTHER
    count = min(wanted, most) if points is None else _checks.integer("points", points, at_least=11)
    if count < least:
        raise ValueError(
            f"points must be >= {least} on ({low:.4g}, {high:.4g}) for steps of standard deviation "
            f"{step.min():.2g}, and is {count} (at most {most} by default). Give more points, whose number "
            f"squared fills the memory, or use modified_gibbs, whose error is O(η²)."
        )
    grid = np.linspace(low, high, max(count, 101 if coarse else 201))
    width = grid[1] - grid[0]
    mean, scale = _moves(line, setting, grid)
    if gaussian:
        kernel = gaussian_kernel(grid, mean, scale / np.sqrt(setting.batch), width)
    else:
        kernel = hat_kernel(grid, mean, scale, width, problem.noise_law, setting.batch)
    missing = np.maximum(1 - kernel.sum(axis=1), 0.0)
    # what leaves the grid waits at the nearer edge
    np.add.at(kernel, (np.arange(len(grid)), np.where(mean > (low + high) / 2, -1, 0)), missing)
    law = stationary_vector(kernel)
    outer = max(1, len(grid) // 100)
    lost = float(law @ missing + law[:outer].sum() + law[-outer:].sum())
    return grid, law / width, lost


def _is_gaussian(line: Line) -> bool:
    return bool(getattr(line.problem, "noise_law", None) == "gaussian")


def _between(
    line: Line, setting: Setting, grid: np.ndarray, law: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The law between the points of a grid: one more step of the chain."""
    mean, scale = _moves(line, setting, grid)
    weights = law * (grid[1] - grid[0])
    fine = np.linspace(grid[0], grid[-1], _FINE)
    parts = np.array_split(fine, 1 + fine.size * grid.size // 4_000_000)
    spread = scale / np.sqrt(setting.batch)
    return fine, np.concatenate([gaussian_kernel(part, mean, spread, 1.0).T @ weights for part in parts])


def _maps_into(line: Line, setting: Setting, low: float, high: float) -> bool:
    """Whether a step without noise from either end stays inside."""
    ends = _moves(line, setting, np.asarray([low, high]))[0]
    return bool((ends > low).all() and (ends < high).all())


def _moves(line: Line, setting: Setting, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x − ηL'(x) and ησ(x)."""
    slope = line.derivatives(x)[1]
    return x - setting.rate * slope, setting.rate * np.sqrt(line.noise_variance(x))
