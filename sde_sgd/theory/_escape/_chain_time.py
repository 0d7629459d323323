"""The mean time in which SGD itself passes a barrier, at a finite learning rate."""

import numpy as np
import scipy

from sde_sgd._types import Scalar
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.theory._chain._kernel import gaussian_kernel, hat_kernel
from sde_sgd.theory._escape._absorption import mean_absorption_times
from sde_sgd.theory._escape._mean_time import PassageTime
from sde_sgd.theory._escape._way import Way, find_way
from sde_sgd.theory._ito import ito_edge
from sde_sgd.theory._setting import without_momentum

_TAIL = 1e-13
# Gauss's rule in panels of so many standard deviations of a step
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_PANEL = 4.0
# points of an even grid for each standard deviation
_EVEN = 10.6
_FINER, _MOST = 2**0.5, 2501
# the relative error that is good enough, and the one that is refused
_GAUSSIAN_ERRORS, _OTHER_ERRORS = (1e-5, 1e-3), (1e-3, 2e-2)
# a normal number further out than this has a chance of 1e-19
_FAR = 9.0


def chain_passage_time(
    problem: AnalyticProblem, hyper: Hyperparameters, *, target: Scalar, start: Scalar | None = None
) -> PassageTime:
    r"""The mean number of steps of x ← x − ηL'(x) − ησ(x) ζ̄ from a until it is beyond b, exact at finite η:

        T(x) = 1 + ∫_{−∞}^b K(y|x) T(y) dy

    and mirrored where b < a; ζ̄ is the mean of the noise of B examples. With Gaussian noise the integral is
    taken by Gauss's rule on panels of a few standard deviations of a step (Nyström), and the chance to
    leave in one is known in closed form. With signs ("rademacher") jumps are shared between neighbouring
    points as in `chain_law`. T is found without a subtraction, however long it takes. It is what a
    simulation of SGD is to be compared with; as η → 0 at fixed η/B the time ηT goes to
    `mean_passage_time`, with an error ∝ η where b lies well beyond the top (∝ √η where it lies on the way
    up: between two steps the SDE may go there and back).

    Args:
        problem: analytic, one parameter, Gaussian or two-point noise.
        hyper: one η and B, no momentum.
        target: b, beyond the top of the barrier.
        start: a, below it; by default as in `mean_passage_time`.

    Returns:
        `PassageTime` with `time` = η `steps`, whose `error` is the relative change on a grid finer by √2.

    Raises:
        ValueError: as in `mean_passage_time`, for data, momentum, other noise, an η that is unstable at a, or
            steps so small that 2501 points do not hold them.

    Source: derived here; for the reduction see Grassmann, Taksar, Heyman 1985, Oper. Res. 33, 1107.
    """
    way = find_way(problem, hyper, start, target, "chain_passage_time")
    without_momentum(hyper, "chain_passage_time")
    _refuse_unfit(way)
    gaussian = problem.noise_law == "gaussian"
    wanted, refused = _GAUSSIAN_ERRORS if gaussian else _OTHER_ERRORS
    solve = _by_panels if gaussian else _by_even_points
    density, steps, error = 1.0, float("inf"), float("inf")
    while not error <= wanted:
        found = solve(way, density)
        if found is None:
            break
        steps, error = found, abs(steps / found - 1)
        density *= _FINER
    if not error <= refused:
        raise ValueError(
            f"learning_rate must be such that {_MOST} points hold the passage of the chain from "
            f"{way.start:g} to {way.target:g}, got {way.setting.rate:g}: its steps are too small, or so "
            f"large that they overshoot. Use mean_passage_time for small ones, whose error is O(η), and "
            f"escape.by_renewal else."
        )
    return PassageTime(steps * way.setting.rate, steps, way.start, way.target, error)


def _refuse_unfit(way: Way) -> None:
    """Refuse noise that is not known here, none, and a chain that does not stay near its start."""
    problem = way.line.problem
    if not isinstance(problem, AnalyticProblem):
        raise ValueError(
            f"problem must be analytic for the passage of its chain, got {type(problem).__name__}: the noise "
            f"of data has a law of its own. Run an ensemble, or use mean_passage_time."
        )
    if problem.noise_law not in ("gaussian", "rademacher"):
        raise ValueError(
            f"noise_law must be 'gaussian' or 'rademacher' for the passage of the chain, got "
            f"{problem.noise_law!r}. Run an ensemble of SGD, or use mean_passage_time."
        )
    curvature = float(way.line.derivatives(np.asarray([way.start]))[2][0])
    if not way.setting.rate * curvature < 2:
        raise ValueError(
            f"learning_rate must be < {2 / curvature:.3g} at start = {way.start:g}, where L'' = "
            f"{curvature:.3g}, got {way.setting.rate:g}: SGD is unstable there and leaves at once."
        )
    way.diffusion(np.linspace(way.start, way.target, 33))


def _lower_end(way: Way) -> float:
    """In u = ±x, beyond which the chain is hardly ever: the SDE's end, and what steps add to its spread."""
    far = ito_edge(way.line, way.setting, way.start, -way.sign, tail=_TAIL)
    curvature = float(way.line.derivatives(np.asarray([way.start]))[2][0])
    wider = float(1 - min(way.setting.rate * curvature / 2, 0.9)) ** -0.5
    return float(way.sign * way.start - wider * abs(way.start - far))


def _moves(way: Way, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a step without noise ends, and ησ, in u = ±x."""
    x = way.sign * u
    slope = way.sign * way.line.derivatives(x)[1]
    return u - way.setting.rate * slope, way.setting.rate * np.sqrt(way.line.noise_variance(x))


def _by_panels(way: Way, density: float) -> float | None:
    """T at the start, for Gaussian noise; None where that takes too many points."""
    low, end = _lower_end(way), way.sign * way.target
    looks = np.linspace(low, end, 4001)
    mean, scale = _moves(way, looks)
    spread = scale / way.setting.batch**0.5
    # as a function of where it comes from the kernel varies over a step's spread by that of the mean
    length = spread.min() / max(1.0, float(np.abs(np.gradient(mean, looks)).max())) * _PANEL / density
    panels = int(np.ceil((end - low) / length))
    if panels * len(_NODES) > _MOST:
        return None
    edges = np.linspace(low, end, panels + 1)
    half = (edges[1] - edges[0]) / 2
    grid = (edges[:-1, None] + half * (1 + _NODES)).ravel()
    mean, scale = _moves(way, np.append(grid, way.sign * way.start))
    spread = scale / way.setting.batch**0.5
    kernel = gaussian_kernel(grid, mean, spread, 1.0) * np.tile(half * _WEIGHTS, panels)
    below = (low - mean) / spread
    kernel[:, 0] += np.where(below > -_FAR, scipy.special.ndtr(below), 0.0)
    leaving = scipy.special.ndtr((mean - end) / spread)
    with np.errstate(invalid="ignore"):  # steps beyond all panels: no number, and refused
        kernel *= ((1 - leaving) / kernel.sum(axis=1))[:, None]
    return _from_start(kernel, leaving)


def _by_even_points(way: Way, density: float) -> float | None:
    """The same for means of signs, on an even grid with b between two points of it."""
    low, end = _lower_end(way), way.sign * way.target
    looks = np.linspace(low, end, 4001)
    mean, scale = _moves(way, looks)
    wished = scale.min() / way.setting.batch**0.5 / (_EVEN * density)
    inside = int(np.ceil((end - low) / wished))
    width = (end - low) / inside
    beyond = int(np.ceil(max(float((mean + scale).max()) - end, 0.0) / width)) + 2
    below = int(np.ceil(max(low - float((mean - scale).min()), 0.0) / width)) + 2
    if inside + beyond + below > _MOST:
        return None
    grid = low + width * (np.arange(-below, inside + beyond) + 0.5)
    points = np.append(grid[below : below + inside], way.sign * way.start)
    mean, scale = _moves(way, points)
    kernel = hat_kernel(grid, mean, scale, width, "rademacher", way.setting.batch)
    kernel[:, below] += kernel[:, :below].sum(axis=1)
    leaving = kernel[:, below + inside :].sum(axis=1)
    return _from_start(kernel[:, below : below + inside].copy(), leaving)


def _from_start(kernel: np.ndarray, leaving: np.ndarray) -> float:
    """T at the start, whose row is the last, from T at the points."""
    first = kernel[-1].copy()
    return float(1 + first @ mean_absorption_times(kernel[:-1].copy(), leaving[:-1]))
