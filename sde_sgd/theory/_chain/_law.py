"""The exact stationary law of SGD in one dimension, at any η, for any law of the noise."""

from typing import Any

import numpy as np

from sde_sgd import _checks
from sde_sgd._types import Numbers
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.processes._base import check_hyper
from sde_sgd.theory._chain._kernel import gaussian_kernel, hat_kernel
from sde_sgd.theory._chain._markov import stationary_vector
from sde_sgd.theory._density import Density1D
from sde_sgd.theory._ito import ito_bounds
from sde_sgd.theory._line import Line
from sde_sgd.theory._resolution import given_bounds
from sde_sgd.theory._setting import Setting, without_momentum

# the most that may be asked for: 3 GB
_GIVEN = 20_000
# grid points to begin with for each standard deviation of a step, the fewest, and the most in all
_GAUSSIAN, _OTHER = (1.5, 1.3, 4001), (10.6, 3.0, 3001)
# by how much grids grow until their laws agree
_FINER = 2**0.5
# the distance of two laws that is good enough, and the one that is refused
_GAUSSIAN_ERRORS, _OTHER_ERRORS = (1e-8, 1e-5), (3e-4, 1e-3)
_SHOWN = 20_001
# keeps moments up to the third and takes out what differs between odd and even points: Simpson's rule
# would weigh them 4:2
_SMOOTH = np.array([-1, 4, 10, 4, -1]) / 16
# probability that may be missing
_LOST = 1e-6


def chain_law(
    problem: AnalyticProblem,
    hyper: Hyperparameters,
    *,
    bounds: Numbers | None = None,
    points: int | None = None,
) -> Density1D:
    r"""The stationary law of x ← x − ηL'(x) − η σ(x) ζ̄, exact at finite η: p = ∫ K(·|y) p(y) dy.

    ζ̄ is the mean of the noise of B examples. For Gaussian noise the integral is a trapezoidal sum
    (Nyström); p between the points is K applied once more. As a function of x, K varies on the scale of
    a step's standard deviation s, as a function of y on that of s/|1 − ηL''(y)|. With n points on the
    smaller of both its error falls as exp(−2π²n²), and with 1.5 to 2 only rounding is left. For
    "exponential" and "rademacher" noise every jump is shared between neighbouring points at a distance
    h. That adds h²/6 to the variance s² of a step, for which the noise is scaled down; its third
    cumulant is then too small by a relative (h/2s)², .1 % at 15 points for each s. (Signs in batches of
    one that halve distances or more, ηL'' ≥ ½, have a law without a density: its distribution function
    is what is found, and slowly.)

    The law is found on two grids, of which one is finer by √2, and on still finer ones until no
    probability differs by more than 1e-8 (3e-4 where the noise is not Gaussian), or by no more than 1e-5
    (1e-3) and finer grids do not help. Its `error` is how much the last two differ, or by how much a
    probability changes if every other point of its grid is left out, where that is more: 2e-3 of a law
    that is rough at every scale, as that of few signs.

    Args:
        problem: analytic, one parameter, any noise and noise law.
        hyper: one η and B, no momentum.
        bounds: (low, high); by default grown until less than 1e-9 of the probability is outside, or to
            where a step overshoots the other side. Less than 1e-6 must be outside; the law is then that
            of chains which have not escaped.
        points: of the grid; by default as many as needed, at most 4001
            (3001 where the noise is not Gaussian).

    Returns:
        `Density1D`, whose `error` says how far a probability may be off.

    Raises:
        ValueError: for more parameters, data, momentum, no noise, bounds that cut off probability, an
            unstable η, or steps so small, or an η|L''| so large, that the law still changes by 1e-5
            (1e-3) with so many points (for small steps `modified_gibbs` is the law to use).
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
    return _between_bounds(line, setting, low, high, points)


def law_inside(line: Line, setting: Setting, low: float, high: float, shown: int) -> Density1D:
    """The law on [low, high], or on as much of it as steps without noise map into itself.

    Args:
        line, setting: as `chain_law` reads its arguments.
        low, high: where some other law, such as `gibbs`, has all its probability.
        shown: at how many points it is known for Gaussian noise: fewer cost less.

    Raises:
        ValueError: as `chain_law`.
    """
    middle, width = (low + high) / 2, high - low
    for share in np.linspace(1.0, 0.3, 29):
        low, high = middle - share * width / 2, middle + share * width / 2
        if _maps_into(line, setting, low, high):
            break
    return _between_bounds(line, setting, low, high, None, shown)


def _between_bounds(
    line: Line, setting: Setting, low: float, high: float, points: Any, shown: int | None = None
) -> Density1D:
    grid, law, error = _refined(line, setting, low, high, points)
    if _is_gaussian(line):
        fine = np.linspace(grid[0], grid[-1], shown or max(_SHOWN, 10 * len(grid) + 1))
        grid, law = fine, _between(line, setting, grid, law, fine)
    else:
        law = np.maximum(np.convolve(law, _SMOOTH, mode="same"), 0.0)
    with np.errstate(divide="ignore"):
        return Density1D(grid, np.log(law), "SGD, exact", error)


def _refined(
    line: Line, setting: Setting, low: float, high: float, points: Any
) -> tuple[np.ndarray, np.ndarray, float]:
    """Grid, law, and its distance to that on a coarser grid.

    Raises:
        ValueError: if probability is cut off, or the law is not resolved.
    """
    gaussian = _is_gaussian(line)
    per_step, fewest, most = _GAUSSIAN if gaussian else _OTHER
    wanted, refused = _GAUSSIAN_ERRORS if gaussian else _OTHER_ERRORS
    step = _steps(line, setting, np.linspace(low, high, 401)).min()
    span = (high - low) / step
    hint = "More would fill the memory; modified_gibbs is the law to use for steps so small."
    given = (
        None if points is None else _checks.integer("points", points, at_least=11, at_most=_GIVEN, hint=hint)
    )
    least = int(span * fewest) + 2
    if (given or most) < least:
        raise ValueError(
            f"points must be >= {least} on ({low:.4g}, {high:.4g}) for steps of standard deviation "
            f"{step:.2g}, and is {given or most} (at most {most} by default). Give more points, whose number "
            f"squared fills the memory, or use modified_gibbs, whose error is O(η²)."
        )
    count = max(201, int(span * per_step) + 2)
    count = int((given or min(count * _FINER, most)) / _FINER)
    coarse = _solve(line, setting, low, high, count)
    size = int(count * _FINER) + 1
    if gaussian:
        size = max(size, int(span * per_step * _steepest(line, setting, *coarse[:2])) + 2)
    size = given or min(size, most)
    error = np.inf
    while True:
        fine = _solve(line, setting, low, high, size)
        before, error = error, _distance(line, setting, coarse, fine)
        if not fine[2] < _LOST:
            raise ValueError(
                f"bounds ({low:.4g}, {high:.4g}) cut off probability: {fine[2]:.1e} of the chain's is at the "
                f"edge or beyond. {_escape(line, setting)}"
            )
        # what does not get better with more points is the rounding of a chain that hardly ever crosses
        if error <= wanted or given or size == most or (error <= refused and error > before / 2):
            break
        coarse, size = fine, min(most, int(size * _FINER) + 1)
    if not error <= refused:
        raise ValueError(
            f"points must be more than {size} on ({low:.4g}, {high:.4g}): with {len(coarse[0])} the law is "
            f"another by {error:.1g} of the probability. Give more points, whose number squared fills the "
            f"memory; where |1 − ηL''| is large, here up to {_steepest(line, setting, *fine[:2]):.2g}, a "
            f"smaller learning rate needs fewer.{_rough(line, setting)}"
        )
    return fine[0], fine[1], error


def _steps(line: Line, setting: Setting, x: np.ndarray) -> np.ndarray:
    """Standard deviations of a step."""
    found = setting.rate * np.sqrt(line.noise_variance(x) / setting.batch)
    if not found.min() > 0:
        raise ValueError(
            f"the noise must not vanish for a density, but does at {x[found.argmin()]:.4g}; without noise "
            f"the chain sits at a minimum."
        )
    return found


def _steepest(line: Line, setting: Setting, grid: np.ndarray, law: np.ndarray) -> float:
    """The largest |1 − ηL''| where there is probability."""
    x = np.linspace(grid[0], grid[-1], _SHOWN)
    visited = np.interp(x, grid, law) > 1e-10 * law.max()
    return float(np.abs(1 - setting.rate * line.derivatives(x)[2][visited]).max())


def _distance(line: Line, setting: Setting, coarse: Any, fine: Any) -> float:
    """The largest difference in any probability, or of the distribution function where jumps are shared."""
    x, law = fine[:2]
    if _is_gaussian(line):
        return float(np.abs(_between(line, setting, coarse[0], coarse[1], x) - law).sum() * (x[1] - x[0]) / 2)
    sums = [np.cumsum(found[1]) * (found[0][1] - found[0][0]) for found in (coarse, fine)]
    # all that is shared with a point has come half a spacing after it
    middles = [found[0] + (found[0][1] - found[0][0]) / 2 for found in (coarse, fine)]
    return float(np.abs(np.interp(middles[1], middles[0], sums[0]) - sums[1]).max())


def _grown(line: Line, setting: Setting) -> tuple[float, float]:
    """Bounds widened on a coarse grid until next to nothing is at the edge, or steps overshoot."""
    low, high = ito_bounds(line, setting, tail=1e-12)
    per_step, _, most = (1.5, 1.3, 4001) if _is_gaussian(line) else (3.0, 3.0, 3001)
    for _ in range(40):
        step = _steps(line, setting, np.linspace(low, high, 401)).min()
        count = min(max(101, int((high - low) / step * per_step) + 2), most)
        lost = _solve(line, setting, low, high, count)[2]
        margin = 0.025 * (high - low)
        if lost < 1e-3 * _LOST or not _maps_into(line, setting, low - margin, high + margin):
            break
        low, high = low - margin, high + margin
    return low, high


def _solve(
    line: Line, setting: Setting, low: float, high: float, count: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Grid and law on [low, high] with jumps beyond it ending at the edge; and what lies there."""
    problem = line.problem
    assert isinstance(problem, AnalyticProblem)
    gaussian = _is_gaussian(line)
    grid = np.linspace(low, high, count)
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
    # what leaves the grid and comes back at once is not at the edge
    inside = slice(outer, len(grid) - outer)
    lost = float(law[inside] @ missing[inside] + law[:outer].sum() + law[-outer:].sum())
    return grid, law / width, lost


def _escape(line: Line, setting: Setting) -> str:
    """What to do where the chain does not stay on the grid."""
    steepest = setting.rate * float(line.derivatives(line.minima())[2].min())
    if steepest >= 2:
        return (
            f"At all its minima ηL'' is {steepest:.3g} or more, where SGD is unstable from 2 on: use a "
            f"learning rate below {2 * setting.rate / steepest:.3g}."
        )
    return "Widen them; if that does not help, the chain escapes: use a smaller learning rate."


def _rough(line: Line, setting: Setting) -> str:
    """Why the law of a chain that makes jumps of a few sizes is found slowly."""
    if getattr(line.problem, "noise_law", None) != "rademacher" or setting.batch > 8:
        return ""
    return (
        f" A batch of {setting.batch} signs has {setting.batch + 1} means, so that the law is rough at every "
        f"scale: a larger batch_size smooths it; of this one run an ensemble, and compare its moments."
    )


def _is_gaussian(line: Line) -> bool:
    return bool(getattr(line.problem, "noise_law", None) == "gaussian")


def _between(line: Line, setting: Setting, grid: np.ndarray, law: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The law at any points, from that on a grid: one more step of the chain."""
    mean, scale = _moves(line, setting, grid)
    weights = law * (grid[1] - grid[0])
    parts = np.array_split(at, 1 + at.size * grid.size // 4_000_000)
    spread = scale / np.sqrt(setting.batch)
    return np.concatenate([gaussian_kernel(part, mean, spread, 1.0).T @ weights for part in parts])


def _maps_into(line: Line, setting: Setting, low: float, high: float) -> bool:
    """Whether a step without noise from either end stays inside."""
    ends = _moves(line, setting, np.asarray([low, high]))[0]
    return bool((ends > low).all() and (ends < high).all())


def _moves(line: Line, setting: Setting, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x − ηL'(x) and ησ(x)."""
    slope = line.derivatives(x)[1]
    return x - setting.rate * slope, setting.rate * np.sqrt(line.noise_variance(x))
