"""The Cramér-von Mises test: the squared gap between two distribution functions, summed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from sde_sgd.statistics._hypothesis_test import HypothesisTest, left_out
from sde_sgd.statistics._pooled import pool
from sde_sgd.statistics._samples import Law, sample_and_reference


def cramer_von_mises(
    sample: Any, reference: Any, *, observable: Callable[[Any], Any] | None = None
) -> HypothesisTest:
    r"""W² = n ∫ (F_n − F)² dF for a law F; for two samples T = nm/(n+m) ∫ (F − G)² dH, H pooled.

    Args:
        sample: independent values, shape `(n,)`, or a `Result` (the ends of its chains; diverged
            ones are left out).
        reference: a `Density1D`, a `scipy.stats` distribution, a distribution function, an array of
            shape `(m,)` or a `Result`.
        observable: scalar function of one chain's parameters, applied to every `Result`.

    Returns:
        `HypothesisTest`, whose value is W² or T. Its standard error is that of the delta method:
        right where the laws differ, the order of magnitude where they do not.

    Raises:
        ValueError: for fewer than 8 values, values that are not finite, or wrong shapes.

    Power at level .05 against T 5 % too high (θ normal, n = 2·10⁴ each): one sample: .55, two samples: .24,
    ± .02. The temperature test has .997.

    Source: Cramér 1928; von Mises 1931; Anderson 1962; p-values by `scipy.stats`.
    """
    x, other, dropped = sample_and_reference(sample, reference, observable)
    one = isinstance(other, Law)
    if isinstance(other, Law):
        test = stats.cramervonmises(x, other.cdf)
        value, error = float(test.statistic), _error_one(other.cdf(x))
    else:
        test = stats.cramervonmises_2samp(x, other)
        pooled, size = pool(x, other), 1 / (1 / len(x) + 1 / len(other))
        weights = pooled.counts / pooled.counts.sum()
        value = float(size * np.sum(weights * pooled.gap**2))
        error = size * pooled.error(2 * pooled.gap * weights, pooled.gap**2)
    return HypothesisTest(
        name="Cramér-von Mises W²" if one else "Cramér-von Mises T",
        null="the sample follows the law" if one else "both samples follow one law",
        value=value,
        standard_error=error,
        statistic=float(test.statistic),
        p=float(test.pvalue),
        n=len(x) if isinstance(other, Law) else (len(x), len(other)),
        note=left_out(dropped),
    )


def _error_one(u: np.ndarray) -> float:
    """Delta method on the unit interval: the influence of u is 2n ∫_u^1 (F_n(t) − t) dt."""
    n = len(u)
    right = np.append(u[1:], 1.0)
    below = np.arange(1, n + 1) / n
    pieces = below * (right - u) - (right**2 - u**2) / 2
    return float(2 * n * np.cumsum(pieces[::-1]).std() / np.sqrt(n))
