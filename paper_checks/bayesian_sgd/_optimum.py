"""The batch size of the highest accuracy, and the power of something it goes with.

B_opt is the top of a parabola in ln B through the highest mean accuracy and two points to each side. A
highest point at the end of the grid is no optimum: it is marked. Errors come from drawing whole seeds anew,
the highest point found again each time.

`MARGIN`: exponents within .25 of 1 are nearer to proportionality than to a square root, whose exponent is ½.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from paper_checks._card import Measurement
from paper_checks.diffusion_theory._near import near

MARGIN = 0.25
FAILED = 0.1  # training loss of runs that did not learn their examples
_BESIDE = 2  # points of the parabola to each side of the highest
_RESAMPLES = 400

Read = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Curve:
    """A quantity over batch sizes.

    Attributes:
        name: of the setting.
        batches: B, rising, shape (B,).
        values: shape (B, seeds).
    """

    name: str
    batches: np.ndarray
    values: np.ndarray

    @property
    def logs(self) -> np.ndarray:
        """ln B."""
        return np.asarray(np.log(self.batches))

    @property
    def ends_highest(self) -> bool:
        """Whether the highest mean is at the smallest or the largest B: no optimum between."""
        return int(self.values.mean(axis=1).argmax()) in (0, len(self.batches) - 1)


@dataclass(frozen=True)
class Power:
    """What is read off the curves, as a power of something.

    Attributes:
        exponent, error: by least squares on logarithms.
        low, high: 95 % interval by bootstrap over seeds.
        read: ln B of each curve.
        errors: of these.
        seeds: how many.
    """

    exponent: float
    error: float
    low: float
    high: float
    read: np.ndarray
    errors: np.ndarray
    seeds: int


def top(logs: np.ndarray, values: np.ndarray, *, beside: int = _BESIDE) -> float:
    """ln B at the top of the parabola; the highest point itself where it is at an end."""
    highest = int(np.argmax(values))
    first, last = max(0, highest - beside), min(len(logs), highest + beside + 1)
    if highest in (0, len(logs) - 1):
        return float(logs[highest])
    middle = logs[highest]
    bend, slope, _ = np.polyfit(logs[first:last] - middle, values[first:last], 2)
    if bend >= 0:
        return float(middle)
    return float(np.clip(middle - slope / (2 * bend), logs[first], logs[last - 1]))


def fall(logs: np.ndarray, values: np.ndarray) -> float:
    """ln B below which training fails: where ln(training loss) last passes that of `FAILED`."""
    failed = np.flatnonzero(values > np.log(FAILED))
    if len(failed) == 0:
        return float(logs[0])
    if failed[-1] == len(logs) - 1:
        return float(logs[-1])
    pair = [failed[-1] + 1, failed[-1]]
    return float(np.interp(np.log(FAILED), values[pair], logs[pair]))


def power(x: Sequence[float], curves: Sequence[Curve], *, key: jax.Array, read: Read = top) -> Power:
    """Fit ln(what is read) = c + a ln x. Seeds are drawn together in all curves."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())
    at, seeds = np.log(np.asarray(x)), curves[0].values.shape[1]

    def readings(chosen: np.ndarray) -> list[float]:
        return [read(curve.logs, curve.values[:, chosen].mean(axis=1)) for curve in curves]

    found = np.array(readings(np.arange(seeds)))
    drawn = np.array([readings(rng.integers(0, seeds, (seeds,))) for _ in range(_RESAMPLES)])
    slopes = np.polyfit(at, drawn.T, 1)[0]
    small = np.sqrt(seeds / (seeds - 1))  # a bootstrap's variance is that of n − 1
    low, high = np.quantile(slopes, [0.025, 0.975])
    return Power(
        exponent=float(np.polyfit(at, found, 1)[0]),
        error=float(slopes.std() * small),
        low=float(low),
        high=float(high),
        read=found,
        errors=np.asarray(drawn.std(axis=0) * small),
        seeds=seeds,
    )


def proportional(name: str, found: Power, curves: Sequence[Curve]) -> Measurement:
    """Is the exponent of B_opt shown to be near 1? Not where an optimum is at the end of its grid."""
    at_ends = [curve.name for curve in curves if curve.ends_highest]
    judged = near(
        f"{name}, 95 % interval {found.low:.2f} to {found.high:.2f}",
        found.exponent,
        max(found.error, 1e-9),
        to=1.0,
        margin=MARGIN,
        n=found.seeds,
        freedom=found.seeds - 1,
    )
    if not at_ends:
        return judged
    where = f"{judged.name}; no optimum within the grid at {', '.join(at_ends)}"
    return Measurement(**{**vars(judged), "name": where, "met": False})


def told(name: str, found: Power, threshold: str) -> Measurement:
    """An exponent that only informs."""
    return Measurement(
        name=f"{name}, 95 % interval {found.low:.2f} to {found.high:.2f}",
        estimate=found.exponent,
        standard_error=found.error,
        n=found.seeds,
        threshold=threshold,
        met=None,
    )
