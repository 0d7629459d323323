"""Is a sample from this law? Distances with their null scale, a p-value and an effect size."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from sde_sgd.statistics._kolmogorov_smirnov import ks_one, ks_two
from sde_sgd.statistics._moments import variance_error
from sde_sgd.statistics._pooled import pool
from sde_sgd.statistics._samples import sample_values
from sde_sgd.statistics._wasserstein import w1_one, w1_two
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


def _against_density(x: np.ndarray, density: Density1D, level: float, dropped: int) -> Comparison:
    n = len(x)
    distance, error, p = ks_one(x, density.cdf)
    cdf = density.cdf(density.grid)
    spread = np.sqrt(density.variance)
    return Comparison(
        n=n,
        n_reference=None,
        ks=distance,
        ks_error=error,
        ks_p=p,
        ks_null=float(stats.kstwo.isf(0.01, n)),
        w1=w1_one(x, density.grid, cdf)[0],
        w1_null=float(np.trapezoid(np.sqrt(2 * cdf * (1 - cdf) / (np.pi * n)), density.grid)),
        effect=float((x.mean() - density.mean) / spread),
        effect_error=float(x.std(ddof=1) / spread / np.sqrt(n)),
        variance_ratio=float(x.var(ddof=1) / density.variance),
        variance_ratio_error=variance_error(x) / density.variance,
        level=level,
        dropped=dropped,
    )


def _against_sample(x: np.ndarray, y: np.ndarray, level: float, dropped: int) -> Comparison:
    n, m = len(x), len(y)
    distance, error, p = ks_two(x, y)
    pooled, size = pool(x, y), 1 / (1 / n + 1 / m)
    rising = pooled.rising[:-1]
    null = np.sum(np.sqrt(2 * rising * (1 - rising) / (np.pi * size)) * np.diff(pooled.points))
    spread = y.std(ddof=1)
    ratio = x.var(ddof=1) / y.var(ddof=1)
    relative = np.hypot(variance_error(x) / x.var(ddof=1), variance_error(y) / y.var(ddof=1))
    return Comparison(
        n=n,
        n_reference=m,
        ks=distance,
        ks_error=error,
        ks_p=p,
        ks_null=float(stats.kstwobign.isf(0.01) / np.sqrt(size)),
        w1=w1_two(pooled)[0],
        w1_null=float(null),
        effect=float((x.mean() - y.mean()) / spread),
        effect_error=float(np.hypot(x.std(ddof=1) / np.sqrt(n), spread / np.sqrt(m)) / spread),
        variance_ratio=float(ratio),
        variance_ratio_error=float(ratio * relative),
        level=level,
        dropped=dropped,
    )
