"""Skewness of the gradient noise, and of where the chains are."""

import numpy as np


def noise_skewness(second: np.ndarray, third: np.ndarray, drawn: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean third over mean second cumulant^{3/2}, and its error by a jackknife over places.

    Where examples were drawn, at all places the same, what their number leaves uncertain is added.
    """

    def pooled(which: np.ndarray) -> np.ndarray:
        return np.asarray(third[which].mean(axis=0) / np.maximum(second[which].mean(axis=0), 1e-30) ** 1.5)

    places = np.arange(len(second))
    value = pooled(places)
    error = np.full_like(value, (6 / drawn) ** 0.5 if drawn else 0.0)
    if len(places) > 1:
        left_out = np.stack([pooled(np.delete(places, one)) for one in places])
        error = np.hypot(error, np.sqrt((len(places) - 1) * left_out.var(axis=0)))
    return value, error


def skewness_of(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skewness of θ_i over chains and the second half of the time, with the chains' own spread as error."""
    late = theta[len(theta) // 2 :]
    chains = late.shape[1]
    if chains < 3:
        return np.full(late.shape[2], np.nan), np.full(late.shape[2], np.nan)
    centred = late - late.mean(axis=(0, 1))
    scale = np.maximum(centred.var(axis=(0, 1)), 1e-300) ** 1.5
    each = (centred**3).mean(axis=0) / scale
    return each.mean(axis=0), each.std(axis=0, ddof=1) / chains**0.5
