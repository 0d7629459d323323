"""Is a sample from this law? Distances with their null scale, a p-value and an effect size."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from sde_sgd.theory._density import Density1D


@dataclass(frozen=True)
class Comparison:
    """A one-dimensional sample against a density or another sample.

    Attributes:
        n: independent values in the sample; `n_reference` in the other one, None for a density.
        ks: Kolmogorov-Smirnov distance sup |F − G|, with standard error `ks_error` (that of
            F − G at the point where it is largest) and p-value `ks_p` under "same law".
        ks_null: the distance that same laws exceed once in a hundred.
        w1: Wasserstein-1 distance ∫ |F − G| dx, and `w1_null`, its mean for same laws.
        effect: (mean − reference mean) / reference standard deviation, ± `effect_error`.
        variance_ratio: sample variance over reference variance, ± `variance_ratio_error`.
        level: the false-alarm rate behind `verdict`.
        dropped: values left out because their chain diverged.
    """

    n: int
    n_reference: int | None
    ks: float
    ks_error: float
    ks_p: float
    ks_null: float
    w1: float
    w1_null: float
    effect: float
    effect_error: float
    variance_ratio: float
    variance_ratio_error: float
    level: float
    dropped: int

    @property
    def same(self) -> bool:
        """Whether the Kolmogorov-Smirnov test finds no difference at `level`.

        With few samples this says little: a distance below `ks_null` goes unseen.
        """
        return self.ks_p >= self.level

    @property
    def verdict(self) -> str:
        """In words."""
        if self.same:
            return f"not distinguishable (a distance of {self.ks_null:.2g} would be)"
        return f"different (p = {self.ks_p:.1g})"

    def __str__(self) -> str:
        sizes = f"n = {self.n}" + (f" and {self.n_reference}" if self.n_reference else "")
        lost = f", {self.dropped} diverged and left out" if self.dropped else ""
        return (
            f"{self.verdict}; {sizes}{lost}\n"
            f"  KS distance     {self.ks:.5f} ± {self.ks_error:.5f}   p = {self.ks_p:.3g}\n"
            f"  Wasserstein-1   {self.w1:.5f}   ({self.w1_null:.5f} expected for the same law)\n"
            f"  mean shift      {self.effect:+.4f} ± {self.effect_error:.4f} standard deviations\n"
            f"  variance ratio  {self.variance_ratio:.4f} ± {self.variance_ratio_error:.4f}"
        )


def compare(
    sample: Any,
    reference: Any,
    *,
    observable: Callable[[Any], Any] | None = None,
    level: float = 0.01,
) -> Comparison:
    """Compare a sample of independent values with a density or with another sample.

    Args:
        sample: a `Result` (the ends of its chains; diverged ones are left out and counted) or an
            array of shape `(n,)`.
        reference: a `Density1D` such as `theory.gibbs` gives, a `Result` or an array.
        observable: scalar function of one chain's parameters, applied to every `Result`; needed
            where θ is not one number.
        level: false-alarm rate of the verdict.

    Returns:
        `Comparison`. Print it.

    Raises:
        ValueError: for fewer than 8 values, values that are not finite, or θ of more than one
            number without an observable.

    Power: against a normal law, a variance 5 % too large is found at level .01 in all of 200
    trials with n = 10⁵, and hardly ever with n = 10³.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level!r}.")
    x, dropped = sample_values("sample", sample, observable)
    if isinstance(reference, Density1D):
        return _against_density(x, reference, level, dropped)
    y, dropped_too = sample_values("reference", reference, observable)
    return _against_sample(x, y, level, dropped + dropped_too)


def sample_values(name: str, sample: Any, observable: Callable[[Any], Any] | None) -> tuple[np.ndarray, int]:
    """The sorted values of a `Result` or an array, one for each chain, and how many were dropped."""
    dropped, values = 0, sample
    if hasattr(sample, "samples") and hasattr(sample, "diverged"):
        dropped, values = sample.diverged, sample.samples()
        if observable is not None:
            values = jax.vmap(observable)(jax.tree.map(jnp.asarray, values))
    leaves = jax.tree.leaves(values)
    if len(leaves) != 1:
        raise ValueError(f"{name} has {len(leaves)} arrays; give a scalar observable=....")
    array = np.asarray(leaves[0], dtype=np.float64)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{name} must hold one number per chain, got shape {array.shape}; "
            f"give observable=lambda theta: theta[0] or the like."
        )
    if len(array) < 8:
        raise ValueError(f"{name} must hold at least 8 values, got {len(array)}; run more chains.")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} holds {int((~np.isfinite(array)).sum())} values that are not finite; leave "
            f"diverged chains out first (Result.samples() does)."
        )
    return np.sort(array), dropped


def _against_density(x: np.ndarray, density: Density1D, level: float, dropped: int) -> Comparison:
    n = len(x)
    test = stats.ks_1samp(x, density.cdf, method="auto")
    at = float(density.cdf(test.statistic_location))
    grid = np.union1d(density.grid, [x[0], x[-1]])
    cdf = density.cdf(grid)
    empirical = np.searchsorted(x, grid, side="right") / n
    spread = np.sqrt(density.variance)
    return Comparison(
        n=n,
        n_reference=None,
        ks=float(test.statistic),
        ks_error=float(np.sqrt(max(at * (1 - at), 1 / n) / n)),
        ks_p=float(test.pvalue),
        ks_null=float(stats.kstwo.isf(0.01, n)),
        w1=float(np.trapezoid(np.abs(empirical - cdf), grid)),
        w1_null=float(np.trapezoid(np.sqrt(2 * cdf * (1 - cdf) / (np.pi * n)), grid)),
        effect=float((x.mean() - density.mean) / spread),
        effect_error=float(x.std(ddof=1) / spread / np.sqrt(n)),
        variance_ratio=float(x.var(ddof=1) / density.variance),
        variance_ratio_error=_variance_error(x) / density.variance,
        level=level,
        dropped=dropped,
    )


def _against_sample(x: np.ndarray, y: np.ndarray, level: float, dropped: int) -> Comparison:
    n, m = len(x), len(y)
    test = stats.ks_2samp(x, y, method="asymp" if n + m > 2000 else "auto")
    both = np.sort(np.concatenate([x, y]))
    at = np.searchsorted(both, test.statistic_location, side="right") / (n + m)
    rising = np.arange(1, n + m) / (n + m)
    size = 1 / (1 / n + 1 / m)
    null = np.sum(np.sqrt(2 * rising * (1 - rising) / (np.pi * size)) * np.diff(both))
    spread = y.std(ddof=1)
    ratio = x.var(ddof=1) / y.var(ddof=1)
    relative = np.hypot(_variance_error(x) / x.var(ddof=1), _variance_error(y) / y.var(ddof=1))
    return Comparison(
        n=n,
        n_reference=m,
        ks=float(test.statistic),
        ks_error=float(np.sqrt(max(at * (1 - at), 1 / size) / size)),
        ks_p=float(test.pvalue),
        ks_null=float(stats.kstwobign.isf(0.01) / np.sqrt(size)),
        w1=float(stats.wasserstein_distance(x, y)),
        w1_null=float(null),
        effect=float((x.mean() - y.mean()) / spread),
        effect_error=float(np.hypot(x.std(ddof=1) / np.sqrt(n), spread / np.sqrt(m)) / spread),
        variance_ratio=float(ratio),
        variance_ratio_error=float(ratio * relative),
        level=level,
        dropped=dropped,
    )


def _variance_error(x: np.ndarray) -> float:
    """Standard error of the sample variance, from the fourth moment."""
    centred = x - x.mean()
    return float(np.sqrt(max((centred**4).mean() - centred.var() ** 2, 0.0) / len(x)))
