"""Whether chains that do not follow a stationary law have come to equilibrium at all."""

from typing import Any

import numpy as np
import scipy

from sde_sgd.statistics._law import Law
from sde_sgd.statistics._pooled import largest, pool
from sde_sgd.statistics._wells import Wells, wells

NOT, UNKNOWN, STILL = (
    "not at equilibrium",
    "cannot tell whether the chains are at equilibrium",
    "no drift seen over the second half of the run",
)
# with fewer changes of well for each chain the shares still remember the start
_ENOUGH = 10.0
# with fewer than this, over half of the run, four in five of the chains are where they were
_FEW = 0.2


def equilibrium(
    sample: Any, values: np.ndarray, law: Law, distance: float, level: float
) -> tuple[str, tuple[str, ...]]:
    """What can be said of the equilibrium of chains whose law is not the stationary one, and why.

    Args:
        sample: what `values` are from: a `Result`, or anything else.
        values: at the ends of the chains, in their order.
        law: the stationary one.
        distance: Kolmogorov-Smirnov distance of `values` to it.
        level: false-alarm rate of each word, but where few changes of well meet shares of another law.

    Returns:
        One of three answers, or "" where nothing is known, and the reasons, a line each.
    """
    found = wells(np.sort(values), law)
    lines = []
    odds = found is not None and found.gap > distance / 2 and found.p <= level
    if found is not None:
        lines.append(f"{found};")
        lines.append(
            f"inside a well the distance is {found.within:.3f}: "
            + ("most of the difference is in these shares" if odds else "the difference is not in the shares")
        )
    path = _recorded(sample, values)
    if path is None:
        if not (odds or hasattr(sample, "record")):
            return "", tuple(lines)
        lines.append("their ends alone do not tell; with record={...: observable} and every= in the run")
        lines.append("its two halves are compared and its changes of well counted")
        return UNKNOWN, tuple(lines)
    steps, track = path
    # where wells are found there are two ways to a false alarm
    each = level if found is None else level / 2
    moves, said = _halves(steps, track, each)
    lines.append(said)
    crossings = float("inf")
    if found is not None:
        crossings, said = _crossings(track, found)
        lines.append(said)
        one_way, said = _balance(track, found, each)
        moves = moves or one_way
        lines += [said] if said else []
        if odds and crossings < _FEW:
            lines.append("so few that the shares are still those of the start")
            moves = True
    if moves:
        return NOT, tuple(lines)
    return (UNKNOWN if crossings < _ENOUGH else STILL), tuple(lines)


def _recorded(sample: Any, values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Steps and values, shape `(samples, chains)`, of the second half of a run, if it was recorded.

    That record is taken whose last sample is what is compared.
    """
    steps = np.asarray(getattr(sample, "record_steps", ()))
    if len(steps) < 3 or steps[-1] != sample.steps:
        return None
    middle = int(np.abs(steps - (steps[0] + steps[-1]) / 2).argmin())
    for record in sample.record.values():
        track = np.asarray(record)
        track = track[..., 0] if track.ndim == 3 and track.shape[2] == 1 else track
        if track.ndim != 2 or not np.issubdtype(track.dtype, np.number):
            continue
        track = np.asarray(track[middle:, sample.alive], np.float64)
        near = 1e-4 * (np.ptp(values) + 1e-2 * np.abs(values).max())
        if track.shape[1] == len(values) and np.allclose(track[-1], values, rtol=0, atol=near):
            return (steps[middle:], track) if np.isfinite(track).all() else None
    return None


def _halves(steps: np.ndarray, track: np.ndarray, level: float) -> tuple[bool, str]:
    """Whether the law half-way and that at the end differ: one chain is a pair of values."""
    both = pool(track[0], track[-1], paired=True)
    distance, p = float(largest(both.gap, both.cells(len(both.points)))), both.sequential_p(largest)
    where = f"from step {steps[0]} to {steps[-1]} the law moves by a KS distance of {distance:.4f}"
    return p <= level, f"{where}, p = {p:.2g}"


def _crossings(track: np.ndarray, found: Wells) -> tuple[float, str]:
    labels = found.labels(track)
    each = float((np.diff(labels, axis=0) != 0).sum() / labels.shape[1])
    return each, f"{each:.3g} changes of well seen for each chain over these steps"


def _balance(track: np.ndarray, found: Wells, level: float) -> tuple[bool, str]:
    """Whether more chains have gone over an edge one way than the other: at rest both are as likely."""
    first, last = found.labels(track[0]), found.labels(track[-1])
    edges = range(len(found.edges))
    counts = [(int(((first <= k) & (last > k)).sum()), int(((first > k) & (last <= k)).sum())) for k in edges]
    each = [scipy.stats.binomtest(up, up + down).pvalue if up + down else 1.0 for up, down in counts]
    worst = int(np.argmin(each))
    p, (up, down) = min(1.0, len(each) * each[worst]), counts[worst]
    if p > level:
        return False, ""
    return True, f"over {found.edges[worst]:.3g} went {up} chains up and {down} down, p = {p:.2g}"
