"""One step of the discrete chain x ← x − ηL'(x) − ησ(x)ζ̄ as a matrix on a grid."""

import numpy as np
import scipy

# a normal number further out than this has a chance of 1e-19
_FAR = 9.0


def gaussian_kernel(to: np.ndarray, mean: np.ndarray, spread: np.ndarray, width: float) -> np.ndarray:
    """width · N(to_j; mean_i, spread_i²), shape `(from, to)`: the trapezoidal rule.

    For spread ≥ 1.5 width its error is exp(−2π²·1.5²) = 1e-19.
    """
    z = (to[None, :] - mean[:, None]) / spread[:, None]
    near = np.abs(z) < _FAR
    kernel = np.exp(-0.5 * np.where(near, z, 0.0) ** 2) * (width / np.sqrt(2 * np.pi)) / spread[:, None]
    return np.where(near, kernel, 0.0)


def hat_kernel(
    to: np.ndarray, mean: np.ndarray, scale: np.ndarray, width: float, law: str, batch: int
) -> np.ndarray:
    """E hat_j(mean_i − scale_i ζ̄), shape `(from, to)`, with hats of half-width `width` around `to`.

    Any point is shared between its two neighbours, which keeps probability and mean exactly. The
    variance that this adds, width²/6 on average over where points fall, is taken from the noise.
    """
    scale = np.sqrt(np.maximum(scale**2 - batch * width**2 / 6, 0.25 * scale**2))
    edges = np.concatenate([[to[0] - width], to, [to[-1] + width]])
    tent = _PARTIAL_MEANS[law](edges[None, :] - mean[:, None], scale[:, None], batch)
    kernel = (tent[:, 2:] - 2 * tent[:, 1:-1] + tent[:, :-2]) / width
    # second differences of numbers of size range/width carry that much rounding
    return np.where(kernel > 1e-13, kernel, 0.0)


def _exponential(t: np.ndarray, scale: np.ndarray, batch: int) -> np.ndarray:
    """E (t + scale ζ̄)₊ for ζ̄ the mean of B draws of Exp(1) − 1, less its asymptote t₊."""
    level = 1 - t / scale
    above = np.maximum(level, 0.0) * batch
    mean_above = scipy.special.gammaincc(batch + 1, above) - level * scipy.special.gammaincc(batch, above)
    result: np.ndarray = scale * np.where(level > 0, mean_above, 1 - level)
    return result


def _rademacher(t: np.ndarray, scale: np.ndarray, batch: int) -> np.ndarray:
    """E (t + scale ζ̄)₊ for ζ̄ the mean of B signs."""
    total = np.zeros(np.broadcast_shapes(t.shape, scale.shape))
    chances = scipy.stats.binom.pmf(np.arange(batch + 1), batch, 0.5)
    for heads in np.flatnonzero(chances > 1e-20):
        total += chances[heads] * np.maximum(t + scale * (2 * heads - batch) / batch, 0.0)
    return total


_PARTIAL_MEANS = {"exponential": _exponential, "rademacher": _rademacher}
