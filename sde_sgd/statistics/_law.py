"""A fully specified law on the line, known by its distribution function, and its atoms if it has any."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from sde_sgd._platform._shown import short
from sde_sgd.statistics._hypothesis_test import sequential_p
from sde_sgd.statistics._pooled import DRAWS, Cells, Statistic, chunks, stream
from sde_sgd.theory._density import Density1D, Density2D
from sde_sgd.theory._pushforward import Pushforward, pushforward

# A value with more probability than this of its own is an atom
_ATOM = 1e-9
_FAR = 1e-12


@dataclass(frozen=True)
class Law:
    """A fully specified law on the line.

    Attributes:
        distribution: its distribution function.
        source: what it was taken from.
    """

    distribution: Callable[[Any], Any]
    source: Any = None

    def cdf(self, x: Any) -> np.ndarray:
        """P(X ≤ x), checked."""
        try:
            rising = np.asarray(self.distribution(x), np.float64)
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise ValueError(
                f"reference must be a distribution function of any array of numbers; {short(self.source)} "
                f"failed on one of shape {np.shape(x)}: {error}"
            ) from error
        if rising.shape != np.shape(x) or not ((rising >= 0) & (rising <= 1)).all():
            raise ValueError(
                "reference must be a distribution function with values in [0, 1] for every x, got "
                f"shape {rising.shape} for x of shape {np.shape(x)}, from {np.min(rising, initial=np.inf):g} "
                f"to {np.max(rising, initial=-np.inf):g}."
            )
        return rising

    def grid(self, x: np.ndarray) -> np.ndarray:
        """Fine points that hold the law and the sorted sample `x`."""
        if isinstance(self.source, Density1D | Pushforward):
            return self.source.grid
        quantile = self.quantile
        if quantile is not None:
            # evenly spaced in probability, and tails that are far out for a heavy-tailed law
            tails = np.geomspace(1e-9, 1e-3, 2001)
            inner = np.linspace(1e-3, 1 - 1e-3, 8001)
            points = np.asarray(quantile(np.concatenate([tails, inner, 1 - tails])), np.float64)
            even = np.linspace(x[0], x[-1], 2001)
            return np.unique(np.concatenate([points[np.isfinite(points)], even]))
        low, high, reach = x[0], x[-1], max(x[-1] - x[0], 1e-6 * max(abs(x[0]), 1.0))
        for _ in range(60):
            outside = self.cdf(np.array([low, high]))
            if outside[0] < 1e-9 and outside[1] > 1 - 1e-9:
                return np.linspace(low, high, 20_001)
            low = low - reach if outside[0] >= 1e-9 else low
            high = high + reach if outside[1] <= 1 - 1e-9 else high
            reach *= 2
        raise ValueError(
            "reference must reach 0 and 1 at some finite x; this distribution function does not."
        )

    @property
    def quantile(self) -> Callable[[Any], Any] | None:
        """The inverse of the distribution function, where the law knows it."""
        for name in ("ppf", "icdf"):
            found = getattr(self.source, name, None)
            if callable(found):
                result: Callable[[Any], Any] | None = found
                return result
        return None

    def moments(self, x: np.ndarray) -> tuple[float, float]:
        """Mean and variance; not finite where the law has none."""
        if isinstance(self.source, Density1D | Pushforward):
            return self.source.mean, self.source.variance
        second = next((name for name in ("var", "variance") if hasattr(self.source, name)), None)
        if second is not None and hasattr(self.source, "mean"):
            return float(self.source.mean()), float(getattr(self.source, second)())
        grid = self.grid(x)
        mass, middle = np.diff(self.cdf(grid)), (grid[1:] + grid[:-1]) / 2
        mean = float(mass @ middle)
        return mean, float(mass @ (middle - mean) ** 2)

    def jump(self, x: np.ndarray) -> np.ndarray:
        """P(X = x)."""
        known = getattr(self.source, "pmf", None)
        if callable(known):
            return np.asarray(known(x), np.float64)
        result: np.ndarray = np.maximum(self.cdf(x) - self.cdf(np.nextafter(x, -np.inf)), 0.0)
        return result

    def atoms(self, x: np.ndarray) -> "Atoms | None":
        """The law as probabilities of cells, if the sample `x` meets values with probability of their own."""
        if isinstance(self.source, Density1D | Pushforward) or isinstance(
            getattr(self.source, "dist", self.source), scipy.stats.rv_continuous
        ):
            return None
        points = np.unique(x)
        at_sample = self.jump(points)
        discrete = isinstance(getattr(self.source, "dist", self.source), scipy.stats.rv_discrete)
        if not discrete and not (at_sample > _ATOM).any():
            return None
        quantile = self.quantile
        if quantile is None:
            raise ValueError(
                f"reference must say where its atoms are: it jumps by {at_sample.max():.3g} at "
                f"{points[at_sample.argmax()]:g}, and a distribution function alone does not tell where "
                f"else. Give a frozen scipy.stats distribution such as stats.binom(10, 0.1), or "
                f"stats.rv_discrete(values=(values, probabilities))."
            )
        far = np.geomspace(_FAR, 1e-3, 201)
        levels = np.concatenate([far, np.linspace(1e-3, 1 - 1e-3, 1999), 1 - far])
        ends = np.unique(np.asarray(quantile(levels), np.float64))
        ends = ends[np.isfinite(ends)]
        rising = self.cdf(ends)
        only_atoms = self.jump(ends).sum() > 1 - 1e-6
        impossible = bool(only_atoms and (at_sample == 0).any())
        return Atoms(ends, rising, impossible)


@dataclass(frozen=True)
class Atoms:
    """A law with atoms: cells that end at its values, which a sample fills by multinomial counts.

    Attributes:
        ends: the values, shape `(k,)`; the last cell has no end.
        rising: F there.
        impossible: whether the sample has values that the law has not.
    """

    ends: np.ndarray
    rising: np.ndarray
    impossible: bool

    @property
    def cells(self) -> Cells:
        """Cells that hold probabilities in place of counts; what lies beyond the last value is one more."""
        probability = np.diff(self.rising, prepend=0.0, append=1.0).clip(0.0)
        points = np.append(self.ends, self.ends[-1])
        return Cells(points, probability / probability.sum(), np.zeros(len(points), int), float("nan"))

    def counts(self, x: np.ndarray) -> np.ndarray:
        """How many values of a sample are in each cell."""
        return np.bincount(np.searchsorted(self.ends, x), minlength=len(self.ends) + 1)

    def gap(self, counts: np.ndarray) -> np.ndarray:
        """F_n − F at the end of all cells but the last."""
        rising = np.cumsum(counts, axis=-1)
        return np.asarray((rising / rising[..., -1:])[..., :-1] - self.cells.rising)

    def error(self, x: np.ndarray, slope: np.ndarray) -> float:
        """Delta-method standard error of a functional Φ of F_n, from ∂Φ/∂F_n at each value."""
        influence = np.append(np.cumsum(slope[::-1])[::-1], 0.0)
        return float(influence[np.searchsorted(self.ends, x)].std() / np.sqrt(len(x)))

    def null_gaps(
        self, n: int, draws: int, rng: np.random.Generator, at_once: int | None = None
    ) -> Iterator[np.ndarray]:
        """Gaps of samples of the law, some at a time, shape `(·, k)`."""
        probability = self.cells.counts
        for size in chunks(draws, len(probability), at_once):
            yield self.gap(rng.multinomial(n, probability, size=size))

    def sequential_p(self, x: np.ndarray, statistic: Statistic) -> float:
        """p of a statistic by samples of the law, as many as it takes, up to 9999.

        The random numbers are a function of the sample, so that no key is needed.
        """
        if self.impossible:
            return 0.0
        cells, rng = self.cells, stream(x, len(x))
        observed = float(statistic(self.gap(self.counts(x)), cells))
        null = (statistic(gap, cells) for gap in self.null_gaps(len(x), DRAWS, rng, at_once=500))
        return sequential_p(observed, null)


def as_law(reference: Any, observable: Callable[[Any], Any] | None = None) -> Law | None:
    """The law behind a density, a `scipy.stats` distribution or a distribution function, or None.

    Of a density in the plane it is the law of the observable.
    """
    if isinstance(reference, Density2D):
        if observable is None:
            raise ValueError(
                f"reference must be a law on the line, got {reference!r}; give a scalar observable= of both "
                f"coordinates, such as lambda theta: theta[0]."
            )
        reference = pushforward(reference, observable)
    if isinstance(reference, scipy.stats.gaussian_kde):
        reference = _smoothed(reference)
    if hasattr(reference, "cdf"):
        if not callable(reference.cdf):
            raise ValueError(f"reference must have a cdf that is a function, got {short(reference.cdf)}.")
        return Law(reference.cdf, reference)
    return Law(reference, reference) if callable(reference) else None


def check_rises(law: Law, x: np.ndarray) -> np.ndarray:
    """Return a sorted sample, or refuse a law that is no distribution function there, such as a density."""
    rising = law.cdf(x)
    falls = np.diff(rising) < -1e-6
    if falls.any():
        at = int(falls.argmax())
        raise ValueError(
            f"reference must be a distribution function, which rises; {short(law.source)} falls from "
            f"{rising[at]:.4g} at {x[at]:.4g} to {rising[at + 1]:.4g} at {x[at + 1]:.4g}. "
            f"If it is a density, give its cdf, or theory.Density1D(grid, log_weights)."
        )
    return x


@dataclass(frozen=True)
class _Smoothed:
    """The distribution function of a kernel estimate: a mixture of normal laws."""

    centres: np.ndarray
    weights: np.ndarray
    width: float

    def cdf(self, x: Any) -> np.ndarray:
        at = np.asarray(x, np.float64)
        parts = np.array_split(at.ravel(), 1 + at.size * len(self.centres) // 4_000_000)
        found = [
            scipy.special.ndtr((part[:, None] - self.centres) / self.width) @ self.weights for part in parts
        ]
        result: np.ndarray = np.clip(np.concatenate(found), 0.0, 1.0).reshape(at.shape)
        return result

    def mean(self) -> float:
        return float(self.weights @ self.centres)

    def var(self) -> float:
        return float(self.weights @ (self.centres - self.mean()) ** 2) + self.width**2


def _smoothed(kernel: Any) -> _Smoothed:
    """The law of a `scipy.stats.gaussian_kde`, which is a function itself: its density."""
    if kernel.d != 1:
        raise ValueError(f"reference must be a law on the line, got a gaussian_kde in {kernel.d} dimensions.")
    return _Smoothed(kernel.dataset[0], kernel.weights, float(kernel.covariance[0, 0]) ** 0.5)
