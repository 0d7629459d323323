"""Means and variances with standard errors, without a normal law being assumed."""

import numpy as np
import scipy


def variance_error(x: np.ndarray) -> float:
    """Standard error of the sample variance, from the fourth moment."""
    centred = x - x.mean()
    return float(np.sqrt(max((centred**4).mean() - centred.var() ** 2, 0.0) / len(x)))


def ratio_error(x: np.ndarray, y: np.ndarray) -> float:
    """Standard error of ln(s_x²/s_y²) where x_i and y_i depend on each other."""
    each = (x - x.mean()) ** 2 / x.var() - (y - y.mean()) ** 2 / y.var()
    return float(each.std() / np.sqrt(len(x)))


def mean_error(x: np.ndarray) -> float:
    """Standard error of the mean of independent values."""
    return float(x.std(ddof=1) / np.sqrt(len(x)))


def student(difference: float, error: float, freedom: float) -> tuple[float, float]:
    """t = difference/error and its two-sided p-value; an error of zero asks for equality."""
    if error > 0:
        t = difference / error
    else:
        t = 0.0 if difference == 0 else float(np.copysign(np.inf, difference))
    return t, float(2 * scipy.special.stdtr(freedom, -abs(t)))
