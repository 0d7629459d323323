"""Normalised densities on a grid in one and two dimensions, in float64 on the host."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float, Key

from sde_sgd import _checks
from sde_sgd._platform import _svg
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown, short
from sde_sgd._types import Numbers
from sde_sgd.random import check_key
from sde_sgd.theory._region import edges_on_line, is_indicator, region_probability


class Density1D(Shown):
    """A probability density on the line, known on a fine grid.

    Args:
        grid: increasing, evenly spaced points, shape `(n,)`.
        log_weights: logarithm of the density up to a constant, shape `(n,)`.
        name: what to call it in tables and figures.
        error: of its probabilities, where more than the grid is approximate.

    Attributes:
        grid, name: as given.
        error: how far P(X ≤ x) may be off, for any x: by how much it changes if every other point is
            left out, or `error` if that is more. Halving the spacing takes it down about 16-fold.
    """

    def __init__(
        self, grid: np.ndarray, log_weights: np.ndarray, name: str = "density", error: float | int = 0.0
    ):
        weights = np.exp(log_weights - log_weights.max())
        total = scipy.integrate.simpson(weights, x=grid)
        self.grid = np.asarray(grid, dtype=np.float64)
        self.name = name
        self._values = weights / total
        rising = scipy.integrate.cumulative_simpson(self._values, x=self.grid, initial=0.0)
        self._rising = np.maximum.accumulate(np.clip(rising / rising[-1], 0.0, 1.0))
        self._smooth = scipy.interpolate.CubicHermiteSpline(self.grid, self._rising, self._values)
        self.error = max(float(error), _halved(self._values, self.grid, rising))

    def __repr__(self) -> str:
        ends = f"{self.grid[0]:.4g} to {self.grid[-1]:.4g}, {len(self.grid)} points"
        moments = f"mean {_told_mean(self)}, variance {self.variance:.4g}"
        return f"Density1D({self.name!r} on {ends}: {moments}; error {self.error:.1g})"

    def _panel(self) -> Panel:
        some = np.linspace(self.grid[0], self.grid[-1], 160)
        rows = {"mean": _told_mean(self), "variance": f"{self.variance:.4g}", "error": f"{self.error:.1g}"}
        picture = _svg.curves(
            some, {self.name: _svg.Curve(self.pdf(some))}, "θ", "density", logarithmic=False
        )
        return Panel("Density1D", self.name, rows, pictures=(picture,))

    def pdf(self, x: Numbers) -> np.ndarray:
        """p(x); zero outside the grid."""
        return np.asarray(np.interp(np.asarray(x, np.float64), self.grid, self._values, left=0.0, right=0.0))

    def cdf(self, x: Numbers) -> np.ndarray:
        """P(X ≤ x)."""
        inside = np.clip(np.asarray(x, np.float64), self.grid[0], self.grid[-1])
        return np.asarray(np.clip(self._smooth(inside), 0.0, 1.0))

    def expectation(self, function: Callable[[Array], Array]) -> float:
        """E f(X) for a smooth function of one point, by Simpson's rule.

        A function whose values are 0 and 1 on the grid is taken for an indicator: a probability, between
        edges that are found by bisection. Any other function with a jump is off by as much as a cell holds.
        """
        values = np.asarray(jax.vmap(function)(jnp.asarray(self.grid, dtype=float)), np.float64)
        if values.shape != self.grid.shape:
            raise ValueError(
                f"function must return one number per point, got shape {values.shape[1:]} per point."
            )
        if is_indicator(values):
            ends = np.concatenate([self.grid[:1], edges_on_line(self.grid, function), self.grid[-1:]])
            # every second interval is inside, from the first one or the second one on
            inside = np.diff(self.cdf(ends))[0 if values[0] else 1 :: 2]
            return float(inside.sum())
        return float(scipy.integrate.simpson(values * self._values, x=self.grid))

    def probability(self, low: float | int, high: float | int) -> float:
        """P(low < X < high).

        Raises:
            ValueError: if an end is not a number, or high lies below low.
        """
        ends = [float(_end(name, end)) for name, end in (("low", low), ("high", high))]
        if ends[1] < ends[0]:
            raise ValueError(f"high must be >= low, got low = {ends[0]:g} and high = {ends[1]:g}; swap them.")
        return float(self.cdf(ends[1]) - self.cdf(ends[0]))

    def sample(self, count: int, *, key: Key[Array, ""]) -> Float[Array, " count"]:
        """`count` independent draws, by inverting the cdf."""
        check_key(key)
        size = _checks.integer("count", count, at_least=1)
        rising, first = np.unique(self._rising, return_index=True)
        uniform = np.asarray(jax.random.uniform(key, (size,)), np.float64)
        return jnp.asarray(np.interp(uniform, rising, self.grid[first]), dtype=float)

    @property
    def mean(self) -> float:
        """E X."""
        return float(scipy.integrate.simpson(self.grid * self._values, x=self.grid))

    @property
    def variance(self) -> float:
        """E X² − (E X)²."""
        second = scipy.integrate.simpson(self.grid**2 * self._values, x=self.grid)
        return float(second - self.mean**2)


class Density2D(Shown):
    """A probability density in the plane, known on a rectangular grid.

    Args:
        x, y: increasing, evenly spaced points, shapes `(n,)` and `(m,)`.
        log_weights: logarithm of the density up to a constant, shape `(n, m)`.
        name: what to call it in tables and figures.

    Attributes:
        x, y, name: as given.
        values: p at the points, shape `(n, m)`.
        error: how far the distribution function of either coordinate may be off, as in `Density1D`.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, log_weights: np.ndarray, name: str = "density"):
        weights = np.exp(log_weights - log_weights.max())
        total = scipy.integrate.simpson(scipy.integrate.simpson(weights, x=y, axis=1), x=x)
        self.x, self.y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        self.name = name
        self.values = weights / total
        self.error = max(self._halved(0), self._halved(1))

    def __repr__(self) -> str:
        box = " x ".join(f"[{axis[0]:.4g}, {axis[-1]:.4g}]" for axis in (self.x, self.y))
        means = ", ".join(_told_mean(self.marginal(axis)) for axis in (0, 1))
        size = f"{len(self.x)} x {len(self.y)} points"
        return f"Density2D({self.name!r} on {box}, {size}: mean [{means}]; error {self.error:.1g})"

    def _panel(self) -> Panel:
        parts = [slice(None, None, max(1, len(axis) // 30)) for axis in (self.x, self.y)]
        ticks = [
            [f"{value:.3g}" for value in axis[part]]
            for axis, part in zip((self.x, self.y), parts, strict=True)
        ]
        picture = _svg.heat_map(self.values[parts[0], parts[1]].T, ticks[1], ticks[0], ("y", "x"), "density")
        return Panel("Density2D", self.name, {"error": f"{self.error:.1g}"}, pictures=(picture,))

    def pdf(self, points: Numbers) -> np.ndarray:
        """p at points of shape `(..., 2)`, bilinear between grid points, zero outside."""
        at = np.asarray(points, np.float64)
        column = (at[..., 0] - self.x[0]) / (self.x[1] - self.x[0])
        row = (at[..., 1] - self.y[0]) / (self.y[1] - self.y[0])
        inside = (column >= 0) & (column <= len(self.x) - 1) & (row >= 0) & (row <= len(self.y) - 1)
        i = np.clip(np.nan_to_num(column).astype(int), 0, len(self.x) - 2)
        j = np.clip(np.nan_to_num(row).astype(int), 0, len(self.y) - 2)
        u, v = column - i, row - j
        mix = (
            (1 - u) * (1 - v) * self.values[i, j]
            + u * (1 - v) * self.values[i + 1, j]
            + (1 - u) * v * self.values[i, j + 1]
            + u * v * self.values[i + 1, j + 1]
        )
        return np.where(inside, mix, 0.0)

    def expectation(self, function: Callable[[Array], Array]) -> float:
        """E f(θ) for a smooth function of one point of shape `(2,)`, by Simpson's rule.

        A function whose values are 0 and 1 on the grid is taken for an indicator, as by `probability`. Any
        other function with a jump is off by as much as a line of cells holds.
        """
        points = jnp.asarray(np.stack(np.meshgrid(self.x, self.y, indexing="ij"), axis=-1), float)
        values = np.asarray(jax.jit(jax.vmap(jax.vmap(function)))(points), np.float64)
        if values.shape != self.values.shape:
            raise ValueError(
                f"function must return one number per point, got shape {values.shape[2:]} per point."
            )
        if is_indicator(values):
            return region_probability(self.x, self.y, self.values, function)
        return self._integral(values * self.values)

    def probability(self, inside: Callable[[Array], Array]) -> float:
        """P(θ in a region), for a function of one point that says whether it is inside.

        To 1e-6 where the edge of the region is smooth and the density spans several cells: cells that it
        crosses are cut up. A part of the region that lies between the points of the grid is not seen.
        """
        return region_probability(self.x, self.y, self.values, inside)

    def marginal(self, axis: int) -> Density1D:
        """The density of coordinate 0 or 1 alone."""
        _checks.choice("axis", str(axis), ("0", "1"))
        grid, other = (self.x, self.y) if axis == 0 else (self.y, self.x)
        weights = scipy.integrate.simpson(self.values, x=other, axis=1 - axis)
        with np.errstate(divide="ignore"):
            return Density1D(grid, np.log(np.maximum(weights, 0.0)), f"{self.name}, coordinate {axis}")

    def sample(self, count: int, *, key: Key[Array, ""]) -> Float[Array, "count 2"]:
        """`count` draws: a grid cell by its probability, a uniform point in it."""
        check_key(key)
        size = _checks.integer("count", count, at_least=1)
        v = self.values
        cells = (v[1:, 1:] + v[:-1, 1:] + v[1:, :-1] + v[:-1, :-1]).ravel()
        which, where = jax.random.split(key)
        rising = np.cumsum(cells) / cells.sum()
        uniform = np.asarray(jax.random.uniform(which, (size,)), np.float64)
        cell = np.minimum(np.searchsorted(rising, uniform, side="right"), len(cells) - 1)
        i, j = np.divmod(cell, len(self.y) - 1)
        offset = np.asarray(jax.random.uniform(where, (size, 2)), np.float64)
        x = self.x[i] + offset[:, 0] * (self.x[1] - self.x[0])
        y = self.y[j] + offset[:, 1] * (self.y[1] - self.y[0])
        return jnp.asarray(np.stack([x, y], axis=1), dtype=float)

    def _integral(self, values: np.ndarray) -> float:
        return float(scipy.integrate.simpson(scipy.integrate.simpson(values, x=self.y, axis=1), x=self.x))

    def _halved(self, axis: int) -> float:
        """The change of the distribution function of one coordinate by leaving out every other point."""
        grid, other, values = (self.x, self.y, self.values) if axis == 0 else (self.y, self.x, self.values.T)
        rising = scipy.integrate.cumulative_simpson(
            scipy.integrate.simpson(values, x=other, axis=1), x=grid, initial=0.0
        )
        return _halved(scipy.integrate.simpson(values[:, ::2], x=other[::2], axis=1), grid, rising)


def _end(name: str, value: Any) -> np.ndarray:
    """One number, infinite perhaps."""
    end = _checks.real(name, value)
    if end.ndim or np.isnan(end):
        raise ValueError(f"{name} must be one number, got {short(value)}.")
    return end


def _halved(values: np.ndarray, grid: np.ndarray, rising: np.ndarray) -> float:
    """How much the integral from the left end changes by leaving out every other point."""
    coarse = scipy.integrate.cumulative_simpson(values[::2], x=grid[::2], initial=0.0)
    return float(np.abs(coarse - rising[::2]).max())


def _told_mean(density: Density1D) -> str:
    """The mean in words; 0 where only the rounding of the sums over the grid is left of it."""
    rounding = 1e-14 * np.abs(density.grid).max()
    return f"{0.0 if abs(density.mean) < rounding else density.mean:.4g}"
