"""How far apart the mean curves of two ensembles are, in units of the spread of single runs."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from paper_checks._card import Measurement

LEVEL = 0.05
MARGIN = 2.0  # the band in which 95 % of single runs lie
_RESAMPLES = 2000


@dataclass(frozen=True)
class Distance:
    """The root mean square, over a curve, of the difference of two means in spreads of single runs.

    Attributes:
        value: what is left of it without the part that finite numbers of seeds make.
        error: its standard error, that of d² carried over to d: the reach upwards.
        p: for "as far as the margin or farther"; a small one says that the curves are near.
        z: the difference at each point, shape `(points,)`.
        n: seeds in both.
    """

    value: float
    error: float
    p: float
    z: np.ndarray
    n: int


def distance(first: Any, second: Any, *, key: jax.Array, margin: float = MARGIN) -> Distance:
    r"""d² = ⟨Δ²/s²⟩ − ⟨var(Δ)/s²⟩ over the points, Δ the difference of means, s² the mean variance of a run.

    The second term makes it unbiased: it is zero on average for ensembles of one law. The law of d² comes
    from drawing seeds anew in both groups, which adds that term once more; twice it is taken off.

    Args:
        first, second: shape `(seeds, points)`; points where nothing varies, such as a common start, are
            left out.
        key: draws the seeds anew.
        margin: in spreads of single runs.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    spread = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / 2)
    varies = spread > 1e-9 * np.abs(a.mean(axis=0))
    a, b = a[:, varies] / spread[varies], b[:, varies] / spread[varies]
    z = a.mean(axis=0) - b.mean(axis=0)
    noise = float((a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b)).mean())
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
    drawn = _means(a, rng) - _means(b, rng)
    square = float((z**2).mean()) - noise
    squares = (drawn**2).mean(axis=1) - 2 * noise
    value = float(np.sqrt(max(square, 0.0)))
    return Distance(
        value=value,
        error=float(np.sqrt(value**2 + squares.std()) - value),
        p=float((1 + (squares >= margin**2).sum()) / (1 + _RESAMPLES)),
        z=z,
        n=len(a) + len(b),
    )


def near(name: str, first: Any, second: Any, *, key: jax.Array, margin: float = MARGIN) -> Measurement:
    """Are two curves nearer than the margin, beyond doubt?"""
    found = distance(first, second, key=key, margin=margin)
    return _measurement(name, found, found.p, f"below {margin:g} spread{'' if margin == 1 else 's'}")


def apart(name: str, first: Any, second: Any, *, key: jax.Array, margin: float = MARGIN) -> Measurement:
    """Are two curves farther from each other than the margin, beyond doubt?"""
    found = distance(first, second, key=key, margin=margin)
    return _measurement(name, found, 1 - found.p, f"above {margin:g} spreads")


def _measurement(name: str, found: Distance, p: float, where: str) -> Measurement:
    return Measurement(
        name=name,
        estimate=found.value,
        standard_error=found.error,
        n=found.n,
        p=p,
        threshold=f"{where} of single runs, at level {LEVEL:g}",
        met=p < LEVEL,
    )


def worst(measurements: Sequence[Measurement], name: str, *, smallest: bool = False) -> Measurement:
    """The largest distance (or smallest) of those not met, or of all, under the name of them all.

    If it is met, all are.
    """
    sign = -1 if smallest else 1
    found = max(measurements, key=lambda one: (one.met is not True, sign * one.estimate))
    return dataclasses.replace(found, name=f"{name}: {found.name}")


def _means(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    counts = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=_RESAMPLES)
    return np.asarray(counts @ rows / len(rows))
