"""Where an effect lies, and what that says against a limit."""

import math
from typing import NamedTuple

import numpy as np
import scipy

WITHIN, BEYOND, CANNOT_TELL = "within", "beyond", "cannot tell"
# Every interval holds its number with this probability. A diagnosis looks at some ten of them.
_COVERAGE = 0.99


class Interval(NamedTuple):
    """From `low` to `high`, which may be infinite."""

    low: float
    high: float

    def answer(self, limit: float) -> str:
        """Which is "within" if all of it lies below the limit, "beyond" if above, else "cannot tell"."""
        if self.high < limit:
            return WITHIN
        return BEYOND if self.low > limit else CANNOT_TELL

    def pilots_needed(self, effect: float, limit: float) -> float:
        """How many times as much must be measured to tell: widths shrink as 1/√(chains × time)."""
        if self.answer(limit) != CANNOT_TELL:
            return 1.0
        if not math.isfinite(effect):
            return math.inf
        gap = abs(effect - limit)
        width = self.high - effect if effect < limit else effect - self.low
        return (width / gap) ** 2 if gap > 0 else math.inf


def quantile(freedom: int) -> float:
    """Of Student's t, for an interval to both sides."""
    return float(scipy.stats.t.ppf((1 + _COVERAGE) / 2, max(freedom, 1)))


def of_mean(values: np.ndarray) -> tuple[float, Interval]:
    """Mean of independent values and its interval by Student's t; without bounds for fewer than two."""
    values = np.asarray(values, np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, Interval(-math.inf, math.inf)
    half = quantile(len(values) - 1) * float(values.std(ddof=1)) / len(values) ** 0.5
    return mean, Interval(mean - half, mean + half)


def of_log_ratio(log_ratio: float, error: float, freedom: int) -> tuple[float, Interval]:
    """How far a ratio is from 1, max(r, 1/r) − 1, from ln r and its standard error."""
    if not (math.isfinite(log_ratio) and math.isfinite(error)):
        return math.nan, Interval(0.0, math.inf)
    half = quantile(freedom) * error
    low, high = log_ratio - half, log_ratio + half
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return math.expm1(abs(log_ratio)), Interval(math.expm1(nearest), _expm1(max(abs(low), abs(high))))


def _expm1(value: float) -> float:
    return math.expm1(value) if value < 700 else math.inf
