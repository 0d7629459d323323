"""The cells of the Fokker-Planck solver: their box, and the law to start from on them."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown, short
from sde_sgd.problems._base import NotKnownError, Problem
from sde_sgd.theory._density import Density1D, Density2D
from sde_sgd.theory._fokker_planck._cells import TooWideError
from sde_sgd.theory._potential import parameter_shape, potential

# A density below e⁻³⁰ of its largest value is left out of boxes found here; e⁻²⁰ is refused in given ones.
_DEPTH, EDGE = 30.0, 20.0
# Standard deviations of a Gaussian start inside a box found here: 1e-15 of it is outside
_TAILS = 8.0


@dataclass(frozen=True, repr=False)
class Grid(Shown):
    """Equal cells of a box on the line or in the plane.

    Attributes:
        low, high: corners of the box, shape `(d,)`.
        shape: cells for each axis.
    """

    low: np.ndarray
    high: np.ndarray
    shape: tuple[int, ...]

    @property
    def widths(self) -> np.ndarray:
        """Side lengths of a cell, shape `(d,)`."""
        result: np.ndarray = (self.high - self.low) / np.asarray(self.shape)
        return result

    @property
    def axes(self) -> tuple[np.ndarray, ...]:
        """Centres of the cells along each axis."""
        return tuple(
            low + width * (np.arange(count) + 0.5)
            for low, width, count in zip(self.low, self.widths, self.shape, strict=True)
        )

    @property
    def volume(self) -> float:
        """Length or area of a cell."""
        return float(np.prod(self.widths))

    def points(self) -> np.ndarray:
        """Centres of all cells, shape `(*shape, d)`."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1)

    def density(self, probabilities: np.ndarray, name: str) -> Density1D | Density2D:
        """A density from the probability of each cell."""
        with np.errstate(divide="ignore"):
            logarithms = np.log(probabilities)
        if len(self.shape) == 1:
            return Density1D(self.axes[0], logarithms, name)
        x, y = self.axes
        return Density2D(x, y, logarithms, name)


def make_grid(
    problem: Problem, diffusion: float | None, initial: Any, std: Any, bounds: Any, cells: int
) -> Grid:
    """The box that is given, or one that no probability leaves, cut into cells.

    Raises:
        ValueError: for a box of the wrong shape, or none where the noise is not isotropic.
    """
    dimension = max((1, *parameter_shape(problem)))
    if bounds is not None:
        _checks.number("bounds", bounds)
        box = np.asarray(bounds, np.float64)
        wanted = "(low, high)" if dimension == 1 else "((low, high), (low, high))"
        if box.shape != ((2,) if dimension == 1 else (2, 2)) or not (box[..., 0] < box[..., 1]).all():
            raise ValueError(f"bounds must be {wanted} with low < high, got {short(bounds)}.")
        low, high = np.atleast_2d(box).T
    elif diffusion is None:
        raise ValueError(
            f"bounds are found only where the noise is isotropic and constant, which that of "
            f"{type(problem).__name__} is not; give bounds that hold all but a negligible probability."
        )
    else:
        low, high = _grow(problem, diffusion, *_start_box(problem, initial, std, dimension))
    return Grid(low, high, (cells,) * dimension)


def start_on(grid: Grid, initial: Any, std: Any) -> np.ndarray:
    """The probability of each cell at t = 0: at least 0, in all 1.

    A Gaussian as wide as a cell or wider is taken at the centres. What is narrower is shared
    between neighbouring centres, which keeps its mean and adds less than h²/4 to its variance.

    Raises:
        ValueError: if the box cuts some of it off, or its cells are too wide for it.
    """
    if isinstance(initial, Density1D | Density2D):
        return _from_density(grid, initial)
    mean, spread = _gaussian(initial, std, len(grid.shape))
    reach = np.sqrt(2 * EDGE)
    inside = (mean - reach * spread >= grid.low) & (mean + reach * spread <= grid.high)
    if not inside.all():
        raise ValueError(
            f"bounds {_show(grid)} cut off part of initial = {mean.tolist()} with std = {spread.tolist()}: "
            f"they must hold {reach:.2g} standard deviations on either side. Widen them."
        )
    rows = [_line(*facts) for facts in zip(grid.axes, grid.widths, mean, spread, strict=True)]
    return rows[0] if len(rows) == 1 else np.multiply.outer(rows[0], rows[1])


def _gaussian(initial: Any, std: Any, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation for each axis."""
    _checks.number("initial", initial)
    _checks.number("std", std, at_least=0)
    mean, spread = np.asarray(initial, np.float64), np.asarray(std, np.float64)
    if mean.size != dimension or mean.ndim > 1:
        raise ValueError(
            f"initial must be a Density{dimension}D or a point of {dimension} number(s) (with std= for a "
            f"Gaussian around it), got shape {mean.shape}."
        )
    if spread.ndim > 1 or spread.size not in (1, dimension):
        raise ValueError(f"std must be one number or one for each axis, got shape {spread.shape}.")
    return mean.reshape(dimension), np.broadcast_to(spread.reshape(-1), (dimension,))


def _line(centres: np.ndarray, width: float, mean: float, std: float) -> np.ndarray:
    """Probabilities of a Gaussian along one axis."""
    if std >= width:
        weights = np.exp(-0.5 * ((centres - mean) / std) ** 2)
        return np.asarray(weights / weights.sum())
    nodes, weights = np.polynomial.hermite_e.hermegauss(32 if std else 1)
    place = np.clip((mean + std * nodes - centres[0]) / width, 0.0, len(centres) - 1.0)
    left = np.minimum(place.astype(int), len(centres) - 2)
    result = np.zeros(len(centres))
    np.add.at(result, left, weights * (left + 1 - place))
    np.add.at(result, left + 1, weights * (place - left))
    return np.asarray(result / result.sum())


def _from_density(grid: Grid, initial: Density1D | Density2D) -> np.ndarray:
    dimension = len(grid.shape)
    if isinstance(initial, Density1D) != (dimension == 1):
        raise ValueError(f"initial must be a Density{dimension}D here, got {type(initial).__name__}.")
    axes = [initial.grid] if isinstance(initial, Density1D) else [initial.x, initial.y]
    marginals = [initial] if isinstance(initial, Density1D) else [initial.marginal(0), initial.marginal(1)]
    outside = sum(
        1 - line.probability(float(low), float(high))
        for line, low, high in zip(marginals, grid.low, grid.high, strict=True)
    )
    if outside > 1e-8:
        raise ValueError(
            f"bounds {_show(grid)} cut off {outside:.2g} of initial, whose own grid spans "
            f"{[(float(axis[0]), float(axis[-1])) for axis in axes]}. Widen them."
        )
    points = grid.points()
    weights = initial.pdf(points[..., 0] if dimension == 1 else points)
    total = float(weights.sum() * grid.volume)
    if abs(total - 1) > 0.01:
        raise TooWideError(
            f"cells {grid.shape} over {_show(grid)} are too wide for initial: its density at their centres "
            f"adds up to {total:.4g} where it should be 1. Ask for more cells."
        )
    return np.asarray(weights / weights.sum())


def _start_box(
    problem: Problem, initial: Any, std: Any, dimension: int
) -> tuple[np.ndarray, np.ndarray, Any]:
    """A box that holds the law at t = 0, and −ln p₀ inside it up to a constant."""
    if isinstance(initial, Density1D | Density2D):
        axes = [initial.grid] if isinstance(initial, Density1D) else [initial.x, initial.y]
        if len(axes) != dimension:
            raise ValueError(f"initial must be a Density{dimension}D here, got {type(initial).__name__}.")

        def rarity(points: np.ndarray) -> np.ndarray:
            with np.errstate(divide="ignore"):
                result: np.ndarray = -np.log(initial.pdf(points[..., 0] if dimension == 1 else points))
                return result

        return np.array([axis[0] for axis in axes]), np.array([axis[-1] for axis in axes]), rarity
    if initial is None:
        lowest, highest = _hull_of_minima(problem, dimension)
        return lowest, highest, lambda points: np.zeros(points.shape[:-1])
    mean, spread = _gaussian(initial, std, dimension)
    scale = np.where(spread > 0, spread, 1.0)

    def squares(points: np.ndarray) -> np.ndarray:
        result: np.ndarray = -scipy.stats.norm.logpdf((points - mean) / scale).sum(axis=-1)
        return result

    return mean - _TAILS * spread, mean + _TAILS * spread, squares


def _grow(
    problem: Problem, diffusion: float, low: np.ndarray, high: np.ndarray, rarity: Any
) -> tuple[np.ndarray, np.ndarray]:
    """A box on whose sides p(θ, t) is negligible at all times.

    With π ∝ exp(−L/D), p(θ, t) ≤ π(θ) · max(p₀/π) by the maximum principle, so that L/D on the
    sides need only exceed the largest L/D + ln p₀ by 30.
    """
    count = 2001 if len(low) == 1 else 129
    inside = _lattice(low, high, count if (low < high).any() else 1)
    rare = rarity(inside)
    excess = float(np.nanmax(potential(problem, inside) / diffusion - (rare - rare.min())))
    if not np.isfinite(excess):
        raise ValueError(f"the loss of {type(problem).__name__} is not finite where initial is; give bounds.")
    lowest, highest = _hull_of_minima(problem, len(low))
    low, high = np.minimum(low, lowest) - 1e-2, np.maximum(high, highest) + 1e-2
    for _ in range(200):
        values = potential(problem, _lattice(low, high, count)) / diffusion
        values = np.where(np.isfinite(values), values, np.inf)
        limit = max(excess, float(values.min())) + _DEPTH
        # the first and the last line across each axis that must be inside
        where = np.nonzero(values < limit)
        first, last = (np.array([end(numbers) for numbers in where]) for end in (np.min, np.max))
        down, up = first == 0, last == count - 1
        if not (down.any() or up.any()):
            spacing = (high - low) / (count - 1)
            return low + (first - 1) * spacing, low + (last + 1) * spacing
        step = 0.1 * (high - low)
        low, high = low - step * down, high + step * up
    raise ValueError("the loss does not grow at infinity, so no box holds all probability; give bounds.")


def _hull_of_minima(problem: Problem, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        known = np.stack([np.atleast_1d(np.asarray(point, np.float64)) for point in problem.minima()])
    except NotKnownError:
        known = np.zeros((1, dimension))
    return known.min(axis=0), known.max(axis=0)


def highest_between_minima(problem: Problem) -> float:
    """The largest L on the lines between any two minima: no pass that leads from one to another is higher."""
    try:
        known = [np.atleast_1d(np.asarray(point, np.float64)) for point in problem.minima()]
    except NotKnownError:
        return -np.inf
    shares = np.linspace(0, 1, 201)[:, None]
    lines = [a + shares * (b - a) for a, b in itertools.combinations(known, 2)]
    return max((float(potential(problem, line).max()) for line in lines), default=-np.inf)


def _lattice(low: np.ndarray, high: np.ndarray, count: int) -> np.ndarray:
    axes = [np.linspace(a, b, count) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _show(grid: Grid) -> str:
    return " × ".join(f"({low:g}, {high:g})" for low, high in zip(grid.low, grid.high, strict=True))
