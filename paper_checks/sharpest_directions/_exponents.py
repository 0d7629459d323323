"""Exponents in η and in B, one fit for each seed, and what is beyond a bound over seeds."""

from collections.abc import Mapping

import jax
import numpy as np
from scipy import stats

import sde_sgd as ss
from paper_checks._card import Measurement

LEVEL = 0.05
IN_RATE, IN_SIZE = "η", "B"
SIGNS = {IN_RATE: -1.0, IN_SIZE: 1.0}  # of the exponents that are claimed


def fits(logs: np.ndarray, rates: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
    """a and b of ln y = c + a ln η + b ln B by least squares, for each seed.

    Args:
        logs: ln y, shape (η, B, seeds).
        rates, sizes: η and B.

    Returns:
        "η" → a and "B" → b, each of shape (seeds,).
    """
    points = np.stack(np.meshgrid(np.log(rates), np.log(sizes), indexing="ij"), axis=-1).reshape(-1, 2)
    design = np.column_stack([points, np.ones(len(points))])
    found = np.linalg.lstsq(design, logs.reshape(len(points), -1), rcond=None)[0]
    return {IN_RATE: found[0], IN_SIZE: found[1]}


def above(values: np.ndarray, bound: float = 0.0) -> tuple[float, float, float]:
    """Mean over seeds, its standard error, and p for "not above the bound", by Student's t."""
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    if error == 0:  # as where every run has its peak at the start
        return mean, error, float(mean <= bound)
    return mean, error, float(stats.t.sf((mean - bound) / error, len(values) - 1))


def claimed(
    named: Mapping[str, np.ndarray], sign: float, p: Mapping[str, float], what: str, *, family_of: int
) -> Measurement:
    """Do all exponents of one kind have the sign that is claimed? The one that is least shown counts.

    Args:
        named: name → exponents over seeds.
        sign: −1 or 1.
        p: name → p of "has not this sign", corrected for the family.
        what: for the table.
        family_of: how many exponents the correction is for.
    """
    least = max(named, key=lambda name: (p[name], -sign * named[name].mean()))
    mean, error, _ = above(named[least])
    return Measurement(
        name=f"{what}, least shown of {len(named)}: {least}",
        estimate=mean,
        standard_error=error,
        n=len(named[least]),
        p=p[least],
        threshold=f"{'above' if sign > 0 else 'below'} 0, at level {LEVEL:g} for all {family_of} exponents",
        met=p[least] < LEVEL,
    )


def corrected(named: Mapping[str, np.ndarray], signs: Mapping[str, float]) -> dict[str, float]:
    """Holm's p of "has not the sign that is claimed", for each name."""
    return ss.statistics.holm({name: above(signs[name] * one)[2] for name, one in named.items()}).adjusted


def dealt(logs: np.ndarray, key: jax.Array) -> np.ndarray:
    """Values of shape (η, B, seeds), those of each seed dealt out anew to the settings: a control."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
    flat = logs.reshape(-1, logs.shape[-1])
    return rng.permuted(flat, axis=0).reshape(logs.shape)
