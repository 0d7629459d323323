"""The Boltzmann-Gibbs law that SGD's SDE settles in where its noise is isotropic."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._shown import short
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import NotKnownError, Problem
from sde_sgd.processes._base import check_hyper
from sde_sgd.theory._density import Density1D, Density2D
from sde_sgd.theory._potential import potential
from sde_sgd.theory._resolution import given_bounds, given_points, resolved
from sde_sgd.theory._setting import one_setting

# exp(−40) of the peak is below what float64 can add to an integral of order one.
GRID_EXPONENT = 40.0
# points for each axis to begin with, and where their doubling ends
POINTS_1D = (20_001, 640_001)
_POINTS_2D = (801, 3201)

Exponents = Callable[[np.ndarray], np.ndarray]


def temperature(problem: Problem, hyper: Hyperparameters) -> float:
    """T = ησ²/((1 − m)B) of a problem whose noise is isotropic and constant.

    Raises:
        NotKnownError: if it is not.
        ValueError: if η or m differ from chain to chain (each chain then has its own T).
    """
    check_hyper(problem, hyper)
    one_setting(hyper)
    return float(hyper.temperature(problem.noise_variance()))


def gibbs(
    problem: Problem, hyper: Hyperparameters, *, bounds: Numbers | None = None, points: int | None = None
) -> Density1D | Density2D:
    r"""P(θ) = exp(−2L(θ)/T) / Z with T = ησ²/((1 − m)B), by quadrature in one or two dimensions.

    The stationary law of dθ = −∇L dt + √T dW. SGD itself is off by O(η). The factor 2 is the
    classic mistake: exp(−L/T) belongs to noise of twice the variance.

    Args:
        problem: with isotropic, constant noise and one or two parameters.
        hyper: one learning rate and momentum.
        bounds: (low, high), or two such pairs in the plane. By default grown from the minima until
            the density at the edge is below e⁻⁴⁰ of the peak.
        points: grid points for each axis; by default 20 001 on the line and 801 in the plane, doubled
            until the error is below 1e-6 or there are 640 001 and 3201.

    Returns:
        `Density1D` or `Density2D`, whose `error` says how far a probability may be off.

    Raises:
        NotKnownError: if the noise is not isotropic and constant.
        ValueError: for other dimensions, T = 0, bounds that cut off probability, or a law that is too
            narrow for the points.

    >>> import sde_sgd as ss
    >>> well = ss.problems.DoubleWell(noise_variance=1.0)
    >>> law = gibbs(well, ss.Hyperparameters(learning_rate=0.1))
    >>> print(f"{law.expectation(well.loss):.4f}")
    0.0283

    Source: Jastrzębski et al. 2017 (arXiv:1711.04623), eq. 7 in the form with σ².
    """
    scale = temperature(problem, hyper) / 2
    if not scale > 0:
        raise ValueError(
            f"the temperature must be > 0 for a density, got T = {2 * scale:g}; with no noise all "
            f"probability sits at the minima."
        )
    start = _traces.parameter_shapes(problem.init)
    shape = getattr(start, "shape", None)
    if shape == () or shape == (1,):
        return _on_line(problem, scale, bounds, points)
    if shape == (2,):
        return _in_plane(problem, scale, bounds, points)
    raise ValueError(
        f"quadrature works in one or two dimensions; the parameters of {type(problem).__name__} have "
        f"shape {shape}. Use laplace_probabilities, or compare moments."
    )


def _exponents(problem: Problem, scale: float) -> Exponents:
    """L/scale as a function of points of shape `(..., d)`; infinite where it is not finite."""

    def evaluate(points: np.ndarray) -> np.ndarray:
        values = potential(problem, points) / scale
        return np.where(np.isfinite(values), values, np.inf)

    return evaluate


def _centre(problem: Problem, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """A box around the known minima, or around the origin."""
    try:
        known = np.stack([np.atleast_1d(np.asarray(point, float)) for point in problem.minima()])
    except NotKnownError:
        known = np.zeros((1, dimension))
    return known.min(axis=0), known.max(axis=0)


def _on_line(problem: Problem, scale: float, bounds: Any, points: Any) -> Density1D:
    count = given_points(points)
    in_space = _exponents(problem, scale)

    def exponents_at(x: np.ndarray) -> np.ndarray:
        return in_space(x[..., None])

    if bounds is None:
        low, high = (float(edge[0]) for edge in _centre(problem, 1))
        low, high = _grow_line(exponents_at, low, high)
    else:
        low, high = given_bounds(bounds)

    def make(size: int) -> Density1D:
        grid = np.linspace(low, high, size)
        exponents = exponents_at(grid)
        edge = min(exponents[0], exponents[-1]) - exponents.min()
        # bounds that were found need no test; points that miss a narrow well would fail it
        if bounds is not None and edge < GRID_EXPONENT / 2:
            raise ValueError(
                f"bounds ({low:g}, {high:g}) cut off probability: the density at the edge is "
                f"e^-{edge:.1f} of its peak. Widen them, or check that the loss grows at infinity."
            )
        _check_minima(problem, exponents_at, exponents.min(), np.asarray([low]), np.asarray([high]))
        return Density1D(grid, -exponents, "Gibbs")

    return resolved(make, count, *POINTS_1D)


def _check_minima(
    problem: Problem, exponents_at: Exponents, lowest: float, low: np.ndarray, high: np.ndarray
) -> None:
    """Refuse bounds that leave out a known minimum where there is probability.

    In a cold law the density may be small at the edge and large again beyond it.
    """
    try:
        points = [np.ravel(np.asarray(point, np.float64)) for point in problem.minima()]
    except NotKnownError:
        return
    for point in points:
        if ((point >= low) & (point <= high)).all():
            continue
        height = float(np.ravel(exponents_at(point if low.size == 1 else point[None]))[0] - lowest)
        if height < GRID_EXPONENT / 2:
            raise ValueError(
                f"bounds cut off probability: there is a minimum at {point}, outside of them, where the "
                f"density is e^{-height:+.1f} of its peak inside. Widen them."
            )


def _grow_line(exponents_at: Exponents, low: float, high: float) -> tuple[float, float]:
    """Step outward from the minima until the density is negligible, doubling the step."""
    inner = np.linspace(low - 1e-3, high + 1e-3, 2001)
    floor = exponents_at(inner).min()
    edges = []
    for start, sign in ((low, -1.0), (high, 1.0)):
        reach = 1e-3
        while reach < 1e6:
            ray = start + sign * reach * np.linspace(0.0, 1.0, 257)
            exponents = exponents_at(ray)
            floor = min(floor, exponents.min())
            if exponents[-1] - floor > GRID_EXPONENT:
                first = np.argmax(exponents - floor > GRID_EXPONENT)
                beyond = exponents[first:] - floor
                edges.append(float(ray[first] if beyond.min() > GRID_EXPONENT else ray[-1]))
                break
            reach *= 2
        else:
            raise ValueError(
                "the loss does not grow at infinity, so exp(-2L/T) cannot be normalised; give bounds."
            )
    return edges[0], edges[1]


def _in_plane(problem: Problem, scale: float, bounds: Any, points: Any) -> Density2D:
    count = given_points(points, at_least=51)
    exponents_at = _exponents(problem, scale)
    if bounds is None:
        low, high = _grow_plane(exponents_at, *_centre(problem, 2))
    else:
        _checks.number("bounds", bounds)
        box = np.asarray(bounds, dtype=float)
        if box.shape != (2, 2) or not (box[:, 0] < box[:, 1]).all():
            raise ValueError(f"bounds must be ((low, high), (low, high)), got {short(bounds)}.")
        low, high = box[:, 0], box[:, 1]

    def make(size: int) -> Density2D:
        x, y = (np.linspace(a, b, size) for a, b in zip(low, high, strict=True))
        exponents = exponents_at(np.stack(np.meshgrid(x, y, indexing="ij"), -1))
        edge = _edge(exponents) - exponents.min()
        if bounds is not None and edge < GRID_EXPONENT / 2:
            raise ValueError(
                f"bounds x ({low[0]:g}, {high[0]:g}), y ({low[1]:g}, {high[1]:g}) cut off probability: "
                f"the density at the edge is e^-{edge:.1f} of its peak. Widen them."
            )
        _check_minima(problem, exponents_at, exponents.min(), low, high)
        return Density2D(x, y, -exponents, "Gibbs")

    return resolved(make, count, *_POINTS_2D)


def _edge(exponents: np.ndarray) -> float:
    sides = (exponents[0], exponents[-1], exponents[:, 0], exponents[:, -1])
    return float(min(side.min() for side in sides))


def _grow_plane(exponents_at: Exponents, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Push each side of a box outward until the density on it is negligible."""
    low, high = low - 1e-2, high + 1e-2
    for _ in range(200):
        x, y = (np.linspace(a, b, 129) for a, b in zip(low, high, strict=True))
        exponents = exponents_at(np.stack(np.meshgrid(x, y, indexing="ij"), -1))
        limit = exponents.min() + GRID_EXPONENT
        step = 0.15 * (high - low)
        grow_low = np.array([exponents[0].min() < limit, exponents[:, 0].min() < limit])
        grow_high = np.array([exponents[-1].min() < limit, exponents[:, -1].min() < limit])
        if not (grow_low.any() or grow_high.any()):
            return low, high
        low, high = low - step * grow_low, high + step * grow_high
    raise ValueError("the loss does not grow at infinity, so exp(-2L/T) cannot be normalised; give bounds.")
