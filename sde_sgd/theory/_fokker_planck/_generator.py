"""The Fokker-Planck equation on cells: a Markov chain that hops between neighbours."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import lax
from jaxtyping import Array, Float

from sde_sgd._platform._shown import Shown
from sde_sgd._platform.reading import _traces
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.theory._fokker_planck._grid import Grid
from sde_sgd.theory._fokker_planck._time import Jumps
from sde_sgd.theory._potential import in_float64, parameter_shape, potential

_NEGLIGIBLE = 40.0


@dataclass(frozen=True, repr=False)
class Generator(Shown):
    r"""Q of dp/dt = Qp with p the probabilities of the cells.

    Between neighbouring centres, h apart along one axis, a chain hops at the rates

        Q(i → i+1) = D_i B(ΔΦ)/h²,   Q(i+1 → i) = D_{i+1} B(−ΔΦ)/h²,   B(u) = u/(e^u − 1),

    with ΔΦ the rise of ∫L'/D from i to i + 1, and none across the walls (Scharfetter & Gummel 1969,
    Chang & Cooper 1970). All rates are ≥ 0 and what leaves a cell enters another. As B(u)/B(−u) =
    e^{−u}, probabilities ∝ e^{−Φ_i}/D_i are in detailed balance: with constant D, exp(−L_i/D).

    Attributes:
        grid: the cells.
        up, down: for each axis Q(i → i+1) and Q(i → i−1), zero where there is a wall.
        lowest: number of the cell with the lowest loss.
        exponents: −ln of the stationary probabilities up to a constant, infinite in cells that are
            walled off as they are never visited; None where there is no detailed balance.
    """

    grid: Grid
    up: tuple[np.ndarray, ...]
    down: tuple[np.ndarray, ...]
    lowest: int
    exponents: np.ndarray | None

    @property
    def leaving(self) -> np.ndarray:
        """Total rate out of each cell, −Q(i → i)."""
        return np.asarray(sum(self.up) + sum(self.down))

    @property
    def rate(self) -> float:
        """λ: the largest rate out of a cell."""
        return float(self.leaving.max())

    def jumps(self) -> Jumps:
        """The chain of jumps at rate λ; call it where float64 is enabled."""
        rate = self.rate

        def probability(rates: np.ndarray) -> Array:
            return jnp.asarray(rates / rate)

        return Jumps(
            rate=jnp.asarray(rate),
            stay=probability(rate - self.leaving),
            up=tuple(map(probability, self.up)),
            down=tuple(map(probability, self.down)),
        )

    def matrix(self) -> scipy.sparse.csr_array:
        """Q as a sparse matrix over the raveled cells: columns add up to zero."""
        return self._assemble(self.up, self.down)

    def _assemble(self, up: Any, down: Any) -> scipy.sparse.csr_array:
        """The matrix with `up` below its diagonal, `down` above it, and the diagonal of Q."""
        number = np.arange(self.leaving.size).reshape(self.grid.shape)
        rows, columns, values = [number.ravel()], [number.ravel()], [-self.leaving.ravel()]
        for axis, rates in enumerate(zip(up, down, strict=True)):
            first, second = (cells.ravel() for cells in _neighbours(number, axis))
            rows += [second, first]
            columns += [first, second]
            values += [_neighbours(rates[0], axis)[0].ravel(), _neighbours(rates[1], axis)[1].ravel()]
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        return scipy.sparse.csr_array(scipy.sparse.coo_array(entries, shape=(number.size, number.size)))

    def stationary(self) -> np.ndarray:
        """The probabilities that Q leaves alone: by detailed balance, or else by a sparse solve."""
        if self.exponents is not None:
            weights = np.exp(np.min(self.exponents) - self.exponents)
        else:
            # the equation of one cell follows from the others; in its place that cell gets weight 1
            matrix = self.matrix().tolil()
            anchor = self.lowest
            matrix[[anchor]] = 0
            matrix[anchor, anchor] = 1
            right = np.zeros(matrix.shape[0])
            right[anchor] = 1.0
            weights = np.maximum(scipy.sparse.linalg.spsolve(matrix.tocsc(), right), 0).reshape(
                self.grid.shape
            )
        return np.asarray(weights / weights.sum())

    def slowest_rate(self) -> float:
        """The smallest rate above 0 at which Q lets deviations from stationarity decay.

        Raises:
            ValueError: where there is no detailed balance, or the rate is lost in rounding.
        """
        if self.exponents is None:
            raise ValueError("relaxation times are known only where the noise is isotropic, or on the line.")
        visited = np.isfinite(self.exponents)
        if len(self.grid.shape) == 1:
            # Q is similar to −AᵀA; AAᵀ has its eigenvalues but for the zero
            first, last = np.flatnonzero(visited)[[0, -1]]
            forth, back = np.sqrt(self.up[0][first:last]), np.sqrt(self.down[0][first + 1 : last + 1])
            slowest = scipy.linalg.eigh_tridiagonal(
                forth**2 + back**2, -forth[1:] * back[:-1], select="i", select_range=(0, 0), eigvals_only=True
            )[0]
        else:
            means = []  # of the rates there and back: Q made symmetric by detailed balance
            for axis, (up, down) in enumerate(zip(self.up, self.down, strict=True)):
                means.append(np.sqrt(_neighbours(up, axis)[0] * _neighbours(down, axis)[1]))
            symmetric = self._assemble(
                [_with_wall(mean, axis, last=True) for axis, mean in enumerate(means)],
                [_with_wall(mean, axis, last=False) for axis, mean in enumerate(means)],
            )
            cells = np.flatnonzero(visited)
            slowest = scipy.sparse.linalg.eigsh(
                -symmetric[cells][:, cells].tocsc(), k=2, sigma=-1e-9 * self.rate, return_eigenvectors=False
            ).max()
        if slowest < 1e-11 * self.rate:
            raise ValueError(
                f"relaxation takes longer than {1e11 / self.rate:.2g}, which float64 cannot tell from "
                f"for ever on these cells. Raise the temperature, or use the Laplace approximation."
            )
        return float(slowest)


def make_generator(
    problem: Problem,
    hyper: Hyperparameters,
    grid: Grid,
    diffusion: float | None,
    start: np.ndarray | None,
    level: float = -np.inf,
) -> Generator:
    """Q for θ of `problem` in the cells of `grid`.

    Args:
        diffusion: D where the noise is isotropic and constant, else None: D(θ) = η'C(θ)/(2B).
        start: probabilities of the cells at t = 0, None for a start near the minima.
        level: L/D up to which cells are kept in any case.

    Raises:
        ValueError: if the loss is not finite, or the noise is zero or correlated between axes.
    """
    losses = potential(problem, grid.points())
    if diffusion is None:
        exponents, visited = None, np.ones(grid.shape, bool)
        D, rises = _of_position(problem, hyper, grid)
    else:
        exponents = _where_visited(losses / diffusion, start, level)
        visited = np.isfinite(exponents)
        D = np.full((*grid.shape, len(grid.shape)), diffusion)
        rises = [np.diff(np.where(visited, exponents, 0.0), axis=axis) for axis in range(len(grid.shape))]
    up, down = [], []
    for axis, (rise, width) in enumerate(zip(rises, grid.widths, strict=True)):
        here, there = _neighbours(D[..., axis] / width**2, axis)
        open_ = np.logical_and(*_neighbours(visited, axis))
        up.append(_with_wall(np.where(open_, here * _bernoulli(rise), 0.0), axis, last=True))
        down.append(_with_wall(np.where(open_, there * _bernoulli(-rise), 0.0), axis, last=False))
    if exponents is None and len(grid.shape) == 1:
        exponents = np.concatenate([[0.0], np.cumsum(rises[0])]) + np.log(D[:, 0])
    return Generator(grid, tuple(up), tuple(down), int(np.nanargmin(losses)), exponents)


def _where_visited(exponents: np.ndarray, start: np.ndarray | None, level: float) -> np.ndarray:
    """L/D, infinite where p(θ, t) ≤ π(θ) max(p₀/π) is below e⁻⁴⁰ of its peak at all times.

    Steep corners of a box that no probability ever visits would else set λ, and with it the cost.
    """
    finite = np.where(np.isfinite(exponents), exponents, np.inf)
    highest = max(finite.min(), level)
    if start is not None:
        inside = start > 0
        highest = max(highest, (finite[inside] + np.log(start[inside] / start.max())).max())
    if not np.isfinite(highest):
        raise ValueError("the loss is not finite where initial is; narrow bounds, or start elsewhere.")
    return np.where(finite <= highest + _NEGLIGIBLE, finite, np.inf)


def _bernoulli(u: np.ndarray) -> np.ndarray:
    """u/(e^u − 1)."""
    small = np.abs(u) < 1e-8
    safe = np.where(small, 1.0, u)
    with np.errstate(over="ignore"):
        return np.where(small, 1 - u / 2, safe / np.expm1(safe))


def _neighbours(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The values in all cells but the last along an axis, and in the cells after them."""
    moved = np.moveaxis(values, axis, 0)
    return np.moveaxis(moved[:-1], 0, axis), np.moveaxis(moved[1:], 0, axis)


def _with_wall(rates: np.ndarray, axis: int, *, last: bool) -> np.ndarray:
    padding = [(0, 0)] * rates.ndim
    padding[axis] = (0, 1) if last else (1, 0)
    return np.pad(rates, padding)


def _of_position(problem: Problem, hyper: Hyperparameters, grid: Grid) -> tuple[np.ndarray, list[np.ndarray]]:
    """D along each axis in every cell, and ∫L'/D dx between centres by Gauss's rule with 3 points."""
    nodes, weights = np.polynomial.legendre.leggauss(3)
    points = grid.points()
    D, _ = _noise_and_slope(problem, hyper, points)
    rises = []
    for axis, width in enumerate(grid.widths):
        first, second = _neighbours(points, axis)
        middle, rise = (first + second) / 2, np.zeros(first.shape[:-1])
        for node, weight in zip(nodes, weights, strict=True):
            at = middle.copy()
            at[..., axis] += node * width / 2
            local, slope = _noise_and_slope(problem, hyper, at)
            rise += weight * width / 2 * slope[..., axis] / local[..., axis]
        rises.append(rise)
    return D, rises


def _noise_and_slope(
    problem: Problem, hyper: Hyperparameters, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The diagonal of D(θ) = η'C(θ)/(2B), and ∇L, at points of shape `(..., d)`."""
    shape = parameter_shape(problem)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        flat = jnp.asarray(points.reshape(-1, *shape))
        C, slope = (np.asarray(found, np.float64) for found in _facts(in_float64(problem), flat))
    dimension = points.shape[-1]
    variances = C[:, range(dimension), range(dimension)]
    if not np.isfinite(slope).all():
        raise ValueError(
            f"the loss of {type(problem).__name__} has no finite slope somewhere in the box; narrow bounds."
        )
    if not np.isfinite(C).all() or not (variances > 0).all():
        worst = points.reshape(-1, dimension)[np.argmin(variances.min(axis=1))]
        raise ValueError(
            f"the gradient noise of {type(problem).__name__} must be finite and > 0 all over the box, "
            f"but its variance is {variances.min():.3g} at {worst.tolist()}; narrow bounds."
        )
    cross = np.abs(C).sum(axis=(1, 2)) - variances.sum(axis=1)
    if (cross > 1e-6 * variances.sum(axis=1)).any():
        raise ValueError(
            f"the gradient noise of {type(problem).__name__} is correlated between the two parameters, and "
            f"positive fluxes are known for diagonal C only. Take its eigenvectors as coordinates."
        )
    D = float(hyper.ratio) / 2 * variances
    return D.reshape(points.shape), slope.reshape(points.shape)


@_traces.jit
def _facts(problem: Problem, points: Float[Array, "n ..."]) -> Any:
    def facts(theta: Array) -> tuple[Array, Array]:
        return problem.gradient_covariance(theta), problem.gradient(theta)

    size = problem.dataset_size
    if size is None:
        return jax.vmap(facts)(points)
    return lax.map(facts, points, batch_size=max(1, 2**20 // size))
