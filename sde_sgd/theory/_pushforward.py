"""The law of a function of two parameters, from their density in the plane."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_sgd._platform._shown import Shown, short
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers, Observable
from sde_sgd.theory._density import Density1D, Density2D

# cells with less than this share of the largest probability are left out
_LEAST = 1e-12
# levels at which the distribution function is found, evenly spaced and by probability
_EVEN, _SPREAD = 1001, 2001
# so many cells are cut up together
_BLOCK = 2**18
# more probability than this at a single value has no density
_FLAT = 1e-6


@dataclass(frozen=True, repr=False)
class Pushforward(Shown):
    """The law of f(θ), known by its distribution function at many points.

    Attributes:
        grid: rising points, shape `(n,)`.
        rising: P(f(θ) ≤ x) there, from 0 to 1.
        mean, variance: of f(θ).
        error: how far P(f(θ) ≤ x) may be off: by how much it changes if every other point of the plane is
            left out.
        name: what to call it in tables and figures.
    """

    grid: np.ndarray
    rising: np.ndarray
    mean: float
    variance: float
    error: float
    name: str

    def __repr__(self) -> str:
        ends = f"{self.grid[0]:.4g} to {self.grid[-1]:.4g}, {len(self.grid)} points"
        moments = f"mean {self.mean:.4g}, variance {self.variance:.4g}"
        return f"Pushforward({self.name!r} on {ends}: {moments}; error {self.error:.1g})"

    def cdf(self, x: Numbers) -> np.ndarray:
        """P(f(θ) ≤ x)."""
        return np.asarray(np.interp(np.asarray(x, np.float64), self.grid, self.rising, 0.0, 1.0))

    def ppf(self, level: Numbers) -> np.ndarray:
        """The inverse of `cdf`."""
        rising, first = np.unique(self.rising, return_index=True)
        return np.asarray(np.interp(np.asarray(level, np.float64), rising, self.grid[first]))

    def pdf(self, x: Numbers) -> np.ndarray:
        """The slope of `cdf` over a four-hundredth of the middle 99.99 % of the probability."""
        low, high = self.ppf([5e-5, 1 - 5e-5])
        half = (high - low) / 800
        at = np.asarray(x, np.float64)
        return np.asarray((self.cdf(at + half) - self.cdf(at - half)) / (2 * half))


def pushforward(law: Density2D, observable: Observable) -> Density1D | Pushforward:
    r"""The law of f(θ) on the line, for θ of a density in the plane.

    Of a coordinate it is the marginal. Otherwise every cell is cut into two triangles, on which f is taken
    for linear: the probability below a level is then a quadratic in it. Off by O(h²) in the width of the
    cells, as far as `error` says.

    Args:
        law: the density in the plane.
        observable: f, smooth, of one point of shape `(2,)`.

    Raises:
        ValueError: if f does not return one finite number for a point, or takes one value with a probability
            of its own.
    """
    if not isinstance(law, Density2D):
        raise ValueError(f"law must be a Density2D, as theory.gibbs gives it in the plane, got {short(law)}.")
    if not callable(observable):
        raise ValueError(f"observable must be a function of a point of shape (2,), got {short(observable)}.")
    values = _values(law, observable)
    x, y = np.meshgrid(law.x, law.y, indexing="ij")
    for axis, coordinate in enumerate((x, y)):
        if np.allclose(values, coordinate, rtol=0, atol=1e-6 * np.abs(coordinate).max()):
            return law.marginal(axis)
    weight = law.values / law.values.sum()
    seen = weight > _LEAST * weight.max()
    if not np.isfinite(values[seen]).all():
        raise ValueError(
            f"observable must be finite wherever {law.name} has probability, got "
            f"{int((~np.isfinite(values[seen])).sum())} values on its grid that are not."
        )
    values = np.where(seen, values, np.where(np.isfinite(values), values, 0.0))
    mean = float((values * weight).sum())
    levels = _levels(values[seen], weight[seen])
    rising = _rising(values, law.values, levels)
    coarse = _rising(values[::2, ::2], law.values[::2, ::2], levels)
    return Pushforward(
        levels,
        rising,
        mean,
        float((weight * (values - mean) ** 2).sum()),
        max(float(np.abs(rising - coarse).max()), law.error),
        f"{law.name}, an observable",
    )


@_traces.jit
def _on_grid(observable: Callable[[Any], Any], points: Any) -> Any:
    return jax.vmap(jax.vmap(observable))(points)


def _values(law: Density2D, observable: Callable[[Any], Any]) -> np.ndarray:
    points = jnp.asarray(np.stack(np.meshgrid(law.x, law.y, indexing="ij"), axis=-1), float)
    try:
        found: Any = _on_grid(observable, points)
    except Exception as error:
        raise ValueError(f"observable failed on a point of shape (2,): {error}") from error
    leaves = jax.tree.leaves(found)
    if len(leaves) != 1 or leaves[0].shape != law.values.shape:
        shapes = [leaf.shape[2:] for leaf in leaves]
        raise ValueError(f"observable must return one number for each point, got shapes {shapes}.")
    return np.asarray(leaves[0], np.float64)


def _levels(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """From the lowest value to the highest: some evenly spaced, more where there is more probability."""
    low, high = float(values.min()), float(values.max())
    reach = (high - low) * 1e-9 or 1e-9 * max(abs(low), 1.0)
    order = np.argsort(values)
    rising = np.cumsum(weight[order]) / weight.sum()
    tails = np.sin(np.linspace(0, np.pi / 2, _SPREAD)) ** 2
    spread = values[order][np.searchsorted(rising, tails).clip(0, len(values) - 1)]
    return np.unique(np.concatenate([np.linspace(low - reach, high + reach, _EVEN), spread]))


def _rising(values: np.ndarray, density: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """P(f ≤ level) at every level."""
    found, flat, total = np.zeros(len(levels) + 1), 0.0, 0.0
    rows = max(1, _BLOCK // values.shape[1])
    largest = density.max()
    for begin in range(0, len(values) - 1, rows):
        part = slice(begin, begin + rows + 1)
        f, p = (_corners(array[part]) for array in (values, density))
        f, p = f[:, p.max(axis=0) > _LEAST * largest], p[:, p.max(axis=0) > _LEAST * largest]
        for corners in ([0, 1, 2], [3, 2, 1]):
            mass = p[corners].mean(axis=0)
            ends = np.sort(f[corners], axis=0)
            same = ends[2] - ends[0] <= 1e-12 * np.abs(ends).max(initial=1e-300)
            flat, total = flat + float(mass[same].sum()), total + float(mass.sum())
            _add(found, ends, mass, levels)
    if flat > _FLAT * total:
        raise ValueError(
            f"observable must not stand still on a region: it takes single values with probability "
            f"{flat / total:.3g}, so that it has no density. Compare how often it takes them with "
            f"law.probability(...) or law.expectation(...)."
        )
    rising = np.cumsum(found)[:-1] / total
    return np.maximum.accumulate(np.clip(rising, 0.0, 1.0))


def _corners(array: np.ndarray) -> np.ndarray:
    corners = np.stack([array[:-1, :-1], array[1:, :-1], array[:-1, 1:], array[1:, 1:]])
    return corners.reshape(4, -1)


def _add(found: np.ndarray, ends: np.ndarray, mass: np.ndarray, levels: np.ndarray) -> None:
    """What each triangle with values a ≤ b ≤ c at its corners has between every level and the one before."""
    place = np.searchsorted(levels, ends[0])
    before = np.zeros_like(mass)
    while mass.size:
        inside = place < len(levels)
        at = levels[np.minimum(place, len(levels) - 1)]
        below = np.where(inside, _below(at, ends), 1.0)
        found += np.bincount(place, mass * (below - before), minlength=len(found))
        going = below < 1.0
        ends, mass, place, before = ends[:, going], mass[going], place[going] + 1, below[going]


def _below(level: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The part of a triangle where a linear function is below a level."""
    a, b, c = ends
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        rising = (level - a) ** 2 / ((b - a) * (c - a))
        falling = 1 - (c - level) ** 2 / ((c - a) * (c - b))
    return np.where(level >= c, 1.0, np.where(level <= a, 0.0, np.where(level < b, rising, falling)))
