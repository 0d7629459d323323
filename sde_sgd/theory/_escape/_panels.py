"""The double integral of a mean first-passage time, on panels that are halved where it needs it."""

from collections.abc import Callable

import numpy as np
import scipy

# slope L' and diffusion D at points of any shape
Field = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

_ORDER = 16
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_ORDER)
# from values at the nodes to their integrals from −1 to each node
_UP_TO = np.polynomial.legendre.legvander(_NODES, _ORDER) @ np.polynomial.legendre.legint(
    np.linalg.inv(np.polynomial.legendre.legvander(_NODES, _ORDER - 1)), lbnd=-1
)
# Φ may rise by so much within a panel
_STEEPEST = 20.0
_MOST = 40_000


class UnresolvedError(ValueError):
    """Panels were halved to the end, and the integral still changes at `place`."""

    def __init__(self, place: float):
        super().__init__(f"the integral is not resolved near {place:.6g}")
        self.place = place


def log_passage_time(field: Field, edges: np.ndarray, start: float, wanted: float) -> tuple[float, float]:
    r"""ln ∫_a^b dy e^{Φ(y)} ∫_low^y dz e^{−Φ(z)}/D(z) with Φ = ∫ L'/D, and its relative error.

    Every panel holds its rise of Φ and the logarithms of ∫e^{−Φ}/D, ∫e^{Φ} and of the double integral
    inside it, with Φ = 0 at its left end, by Gauss's rule; from these the whole is put together. Panels
    are compared with their two halves. What differs is weighed by the part of the whole that it enters.

    Args:
        field: L' and D.
        edges: ascending, from low to b, a among them.
        start: a.
        wanted: the relative error at which halving ends.

    Raises:
        UnresolvedError: if it is not reached.
    """
    left, right = edges[:-1], edges[1:]
    whole = _integrals(field, left, right)
    halves = _halves(field, left, right)
    while True:
        joined = _joined(*halves)
        logarithm, shares = _together(joined, left >= start)
        differences = np.where(np.isfinite(whole), np.minimum(np.abs(joined - whole), 1.0), 1.0)
        known = np.isfinite(joined).all(axis=0)
        errors = np.where(known, (differences * shares).sum(axis=0), 1.0)
        error = float(errors.sum())
        if error <= wanted:
            return logarithm, error
        split = errors > 0.5 * wanted / len(left)
        middle = (left + right) / 2
        if len(left) + split.sum() > _MOST or not (left[split] < middle[split]).all():
            raise UnresolvedError(float(left[errors.argmax()]))
        children = np.concatenate([left[split], middle[split]]), np.concatenate([middle[split], right[split]])
        grandchildren = _halves(field, *children)
        left, right = (
            np.concatenate([old[~split], new]) for old, new in zip((left, right), children, strict=True)
        )
        order = np.argsort(left)
        left, right = left[order], right[order]
        whole = np.concatenate([whole[:, ~split], *(half[:, split] for half in halves)], axis=1)[:, order]
        halves = tuple(
            np.concatenate([old[:, ~split], new], axis=1)[:, order]
            for old, new in zip(halves, grandchildren, strict=True)
        )


def _halves(field: Field, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, ...]:
    middle = (left + right) / 2
    both = _integrals(field, np.concatenate([left, middle]), np.concatenate([middle, right]))
    return both[:, : len(left)], both[:, len(left) :]


def _integrals(field: Field, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Rise of Φ, ln ∫e^{−Φ}/D, ln ∫e^{Φ} and ln ∫e^{Φ}∫e^{−Φ}/D in each panel, shape `(4, panels)`.

    Not a number where Φ rises by more than 20.
    """
    half = (right - left)[:, None] / 2
    slope, diffusion = field(left[:, None] + half * (1 + _NODES))
    force = half * slope / diffusion
    rise, exponent = force @ _WEIGHTS, force @ _UP_TO.T
    steep = np.ptp(exponent, axis=1) > _STEEPEST
    exponent = np.where(steep[:, None], 0.0, exponent)
    weight = half * np.exp(-exponent) / diffusion
    climb = half * np.exp(exponent)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.log([weight @ _WEIGHTS, climb @ _WEIGHTS, (climb * (weight @ _UP_TO.T)) @ _WEIGHTS])
    return np.concatenate([rise[None], np.where(steep, np.nan, found)])


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The same four of two neighbours together."""
    rise, well, climb, both = first
    next_rise, next_well, next_climb, next_both = second
    across = rise + well + next_climb
    with np.errstate(invalid="ignore"):  # of panels that are too steep
        return np.stack(
            [
                rise + next_rise,
                np.logaddexp(well, next_well - rise),
                np.logaddexp(climb, next_climb + rise),
                np.logaddexp(np.logaddexp(both, next_both), across),
            ]
        )


def _together(joined: np.ndarray, counted: np.ndarray) -> tuple[float, np.ndarray]:
    """The logarithm of the whole, and the part of it that each of the four enters in each panel.

    The outer integral runs over panels that are `counted`.
    """
    rise, well, climb, both = np.nan_to_num(joined)
    height = np.concatenate([[0.0], np.cumsum(rise)[:-1]])
    well, climb = well - height, np.where(counted, climb + height, -np.inf)
    both = np.where(counted, both, -np.inf)
    nothing = np.full(1, -np.inf)
    before = np.concatenate([nothing, np.logaddexp.accumulate(well)[:-1]])
    after = np.concatenate([np.logaddexp.accumulate(climb[::-1])[::-1][1:], nothing])
    whole = float(scipy.special.logsumexp(np.concatenate([before + climb, both])))
    shares = np.exp(np.stack([before + after, well + after, before + climb, both]) - whole)
    return whole, np.minimum(shares, 1.0)
