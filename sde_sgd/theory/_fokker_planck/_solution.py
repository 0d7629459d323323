"""The Fokker-Planck equation of SGD's SDE: how the law of θ gets to equilibrium."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown, described
from sde_sgd._types import Numbers
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import NotKnownError, Problem
from sde_sgd.processes._base import check_hyper
from sde_sgd.theory._density import Density1D, Density2D
from sde_sgd.theory._fokker_planck._cells import TooWideError, enough_cells
from sde_sgd.theory._fokker_planck._generator import Generator, make_generator
from sde_sgd.theory._fokker_planck._grid import EDGE, Grid, highest_between_minima, make_grid, start_on
from sde_sgd.theory._fokker_planck._time import evolve
from sde_sgd.theory._gibbs import temperature
from sde_sgd.theory._potential import parameter_shape

# Cells for each axis to begin with and at most where none are asked for, in one and two dimensions
_CELLS, _MOST = (600, 160), (60_000, 640)
# and those that may be asked for
_GIVEN = (1_000_000, 2000)
# jumps times cells that are not too many
_WORK = 5e9

_Laws = tuple[Generator, np.ndarray, np.ndarray]


@dataclass(frozen=True, repr=False)
class FokkerPlanck(Shown):
    """The law of θ at several times.

    Attributes:
        times: SDE times t = ηk/(1 − m), shape `(times,)`.
        steps: the same in steps k of SGD, real numbers.
        probabilities: of every cell at every time, shape `(times, *cells)`.
        densities: a `Density1D` or `Density2D` for each time; `statistics.compare` takes the first.
        mass: Σ of the probabilities, shape `(times,)`: 1 up to rounding.
        stationary: the law that is left alone: with isotropic noise exp(−2L/T) at the centres.
        generator: the cells and the rates between them; `generator.matrix()` is Q for scipy.
        error: how far the distribution function of a coordinate may be off at any of the times, judged
            by a solution on fewer cells.
    """

    times: np.ndarray
    steps: np.ndarray
    probabilities: np.ndarray
    densities: tuple[Density1D | Density2D, ...]
    generator: Generator
    start: np.ndarray
    reflecting: bool
    error: float

    def __repr__(self) -> str:
        cells = " x ".join(map(str, self.generator.grid.shape))
        fields = {"times": self.times, "steps": self.steps, "mass": self.mass, "error": self.error}
        return described(self, {"cells": cells, **fields})

    @property
    def mass(self) -> np.ndarray:
        """Σ of the probabilities at each time."""
        result: np.ndarray = self.probabilities.reshape(len(self.times), -1).sum(axis=1)
        return result

    @property
    def stationary(self) -> Density1D | Density2D:
        """What is reached in the end."""
        return self.generator.grid.density(self.generator.stationary(), "stationary")

    def at(self, time: Numbers) -> Density1D | Density2D:
        """The law at any SDE time ≥ 0, from the last known one before it."""
        when = float(_checks.scalar("time", time, at_least=0))
        earlier = int(np.searchsorted(self.times, when, side="right"))
        known = (
            (0.0, self.start) if earlier == 0 else (self.times[earlier - 1], self.probabilities[earlier - 1])
        )
        after = _solve(self.generator, known[1], np.asarray([when - known[0]]))
        _refuse_unheld(self.generator, after, np.asarray([when]), self.reflecting)
        return self.generator.grid.density(after[0], _name(when))


def fokker_planck(
    problem: Problem,
    hyper: Hyperparameters,
    *,
    initial: Numbers | Density1D | Density2D,
    times: Numbers,
    std: Numbers = 0.0,
    bounds: Numbers | None = None,
    cells: int | None = None,
    reflecting: bool = False,
) -> FokkerPlanck:
    r"""How the law of dθ = −∇L dt + √(2D) dW, D = η'C/(2B), changes from t = 0 on, in one or two dimensions:

        ∂p/∂t = ∇·(p ∇L) + Σ_i ∂²(D_ii p)/∂θ_i²          (Itô; D = T/2 where C = σ²I)

    Finite volumes with exponentially fitted fluxes make it a Markov chain on cells. At all times p ≥ 0,
    and mass is kept up to rounding; with isotropic noise exp(−2L/T) at the centres is the fixed point.

    The only error is O(h²) in the width h of the cells; there is none in time. On a double well with
    D = .1 the largest error of the distribution function is 7e-6 with 600 cells and four times that with
    half as many; in total variation it is near .1 (h/s)², s the width of the narrowest well. While the
    law runs down a slope, the fluxes diffuse by (L'h/D)²/12 too much: at small η the cells must be
    narrower than D/|L'| = ησ²/(2B|L'|). So the law is found on fewer cells too, and on more where both
    differ.

    Args:
        problem: with one or two parameters and noise that is not correlated between them.
        hyper: one learning rate and momentum.
        initial: θ at t = 0: a point, or a `Density1D` or `Density2D`.
        times: SDE times t = ηk/(1 − m) ≥ 0, increasing; `hyper.time(steps)` converts.
        std: standard deviation of a Gaussian around the point `initial`, or one for each axis.
        bounds: (low, high), or two such pairs in the plane. By default a box that holds all but
            e⁻³⁰ of the probability at all times, for noise that is isotropic and constant.
        cells: for each axis; by default 600 on the line and 160 in the plane, and more until the
            `error` is below 2e-3, variances being right to .5 % or so, or it would take some ten seconds. The
            time it takes grows as their third power on the line and their fourth in the plane.
        reflecting: keep what reaches the edge inside, instead of refusing it.

    Returns:
        `FokkerPlanck`.

    Raises:
        ValueError: for other dimensions, no noise, a box that cuts off probability, cells too wide
            for the law (an `error` above .02), times that do not increase.

    Source: Scharfetter & Gummel 1969, IEEE Trans. Electron Devices 16, 64; Chang & Cooper 1970,
    J. Comput. Phys. 6, 1.
    """
    if initial is None:
        raise ValueError("initial must be a point or a density: the law of θ at t = 0, got None.")
    _checks.number("times", times, at_least=0)
    moments = np.atleast_1d(np.asarray(times, np.float64))
    if moments.ndim != 1 or (np.diff(moments) <= 0).any():
        raise ValueError(f"times must increase, got {np.asarray(times).tolist()}.")

    def solve(count: int, checked: bool) -> _Laws:
        generator, start = _prepare(problem, hyper, initial, std, bounds, count)
        if checked and not reflecting:
            _refuse_cut(generator)
        probabilities = _solve(generator, start, moments)
        if checked:
            _refuse_unheld(generator, probabilities, moments, reflecting)
        return generator, start, probabilities

    def distance(coarse: _Laws, fine: _Laws) -> float:
        grids = coarse[0].grid, fine[0].grid
        # at t = 0 the law is as narrow as the cells can make it
        later = [_distance(*grids, one, other) for one, other in zip(coarse[2], fine[2], strict=True)]
        result: float = max([0.0, *np.asarray(later)[moments > 0]])
        return result

    def most(count: int, found: _Laws | None) -> int:
        if found is None:
            return _MOST[dimension - 1]
        # the rate grows as the square of the cells along an axis
        work = max(found[0].rate * moments[-1] * count**dimension, 1.0)
        return min(_MOST[dimension - 1], int(count * (_WORK / work) ** (1 / (dimension + 2))))

    dimension, given = _dimension(problem, hyper, cells)
    (generator, start, probabilities), error = enough_cells(
        solve, distance, most, first=_CELLS[dimension - 1], given=given
    )
    return FokkerPlanck(
        times=moments,
        steps=moments / float(hyper.effective_learning_rate),
        probabilities=probabilities,
        densities=tuple(
            generator.grid.density(law, _name(time)) for law, time in zip(probabilities, moments, strict=True)
        ),
        generator=generator,
        start=start,
        reflecting=reflecting,
        error=error,
    )


def relaxation_time(
    problem: Problem, hyper: Hyperparameters, *, bounds: Numbers | None = None, cells: int | None = None
) -> float:
    """The SDE time in which the slowest deviation from stationarity falls by e: 1/λ₁ of Fokker-Planck.

    In a deep double well 1/λ₁ = 1/(k₀ + k₁), with k₀ and k₁ the rates of escape from either well.
    The error is O(h²) in the width of the cells.

    Args:
        problem: with isotropic noise, or one parameter.
        hyper: one learning rate and momentum.
        bounds: as in `fokker_planck`.
        cells: as in `fokker_planck`; by default so many that half of them give the same to .2 %.

    Raises:
        ValueError: as in `fokker_planck`, if half the cells give a time that differs by more than 2 %, or
            if the rate is too small for float64.
    """

    def solve(count: int, checked: bool) -> float:
        generator, _ = _prepare(problem, hyper, None, 0.0, bounds, count)
        if checked:
            _refuse_cut(generator)
        return 1 / generator.slowest_rate()

    dimension, given = _dimension(problem, hyper, cells)
    found, _ = enough_cells(
        solve,
        lambda coarse, fine: abs(coarse / fine - 1),
        lambda _count, _found: _MOST[dimension - 1],
        first=_CELLS[dimension - 1],
        given=given,
    )
    return found


def _dimension(problem: Any, hyper: Any, cells: Any) -> tuple[int, int | None]:
    """The dimension of θ, and the cells for each axis if they are given."""
    check_hyper(problem, hyper)
    dimension = max((1, *parameter_shape(problem)))
    most = _GIVEN[min(dimension, 2) - 1]
    hint = "More would fill the memory; narrow bounds instead."
    return dimension, None if cells is None else _checks.integer(
        "cells", cells, at_least=8, at_most=most, hint=hint
    )


def _prepare(
    problem: Any, hyper: Any, initial: Any, std: Any, bounds: Any, cells: int
) -> tuple[Generator, Any]:
    """Q, and the probabilities of the cells at t = 0 unless `initial` is None."""
    try:
        diffusion: float | None = temperature(problem, hyper) / 2
    except NotKnownError:
        diffusion = None
    if diffusion == 0:
        raise ValueError(
            "the temperature must be > 0 for a density, got T = 0; without noise every point follows "
            "gradient flow, which Langevin(noise='none') runs."
        )
    grid = make_grid(problem, diffusion, initial, std, bounds, cells)
    start = None if initial is None else start_on(grid, initial, std)
    level = -np.inf
    if initial is None and diffusion is not None:
        # a well that is hardly ever visited, and the way out of it, may be the slowest of all
        level = highest_between_minima(problem) / diffusion
    generator = make_generator(problem, hyper, grid, diffusion, start, level)
    if generator.exponents is not None:
        _refuse_coarse(generator, generator.stationary(), "the stationary law")
        if start is not None:
            start = np.where(np.isfinite(generator.exponents), start, 0.0)
            start /= start.sum()
    return generator, start


def _solve(generator: Generator, start: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Probabilities at increasing times ≥ 0, the first of which may be 0."""
    laws, law, now = [], start, 0.0
    with jax.enable_x64(True):
        jumps = generator.jumps()
        for time in times:
            if time > now:
                law = np.asarray(evolve(jumps, jnp.asarray(law), jnp.asarray(time - now)))
            laws.append(law)
            now = time
    return np.stack(laws)


def _distance(coarse: Grid, fine: Grid, one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference between the distribution functions of a coordinate on two grids."""
    largest = 0.0
    for axis in range(other.ndim):
        rest = tuple(number for number in range(other.ndim) if number != axis)
        edges, sums = zip(
            *(
                (
                    np.linspace(grid.low[axis], grid.high[axis], grid.shape[axis] + 1),
                    np.concatenate([[0.0], np.cumsum(law.sum(axis=rest))]),
                )
                for grid, law in ((coarse, one), (fine, other))
            ),
            strict=True,
        )
        between = scipy.interpolate.PchipInterpolator(edges[0], sums[0])(edges[1])
        largest = max(largest, float(np.abs(between - sums[1]).max()))
    return largest


def _refuse_unheld(generator: Generator, laws: np.ndarray, times: np.ndarray, reflecting: bool) -> None:
    """Laws that are narrower than some cells, or have reached the edge of the box."""
    for time, law in zip(times, laws, strict=True):
        if time > 0:
            _refuse_coarse(generator, law, f"the law at t = {time:g}")
        edge = float(_edge(law).max())
        if not reflecting and edge > np.exp(-EDGE) * law.max():
            raise ValueError(
                f"probability has reached the edge of the box by t = {time:g}: the density there is "
                f"{edge / law.max():.1g} of its peak. Widen bounds, or keep it in by reflecting=True."
            )


def _refuse_cut(generator: Generator) -> None:
    if generator.exponents is None:
        return
    low, high = generator.grid.low.tolist(), generator.grid.high.tolist()
    edge = float(_edge(generator.exponents).min() - generator.exponents.min())
    if edge < EDGE:
        raise ValueError(
            f"bounds from {low} to {high} cut off probability: the stationary density at the edge is "
            f"e^-{edge:.1f} of its peak. Widen them, or keep all inside by reflecting=True."
        )


def _refuse_coarse(generator: Generator, law: np.ndarray, name: str) -> None:
    """A law on less than about four cells for each axis is not resolved."""
    occupied = float(1 / np.sum(law**2)) ** (1 / law.ndim)
    if occupied < 4:
        raise TooWideError(
            f"cells = {generator.grid.shape[0]} of widths {generator.grid.widths.tolist()} are too wide: "
            f"{name} occupies about {occupied:.1f} of them along an axis. Ask for more, or narrow bounds."
        )


def _edge(values: np.ndarray) -> np.ndarray:
    """The values of the outermost cells on all sides."""
    sides = [np.moveaxis(values, axis, 0)[[0, -1]] for axis in range(values.ndim)]
    return np.concatenate([side.ravel() for side in sides])


def _name(time: float) -> str:
    return f"Fokker-Planck, t = {time:g}"
