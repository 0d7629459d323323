"""Differences between two arms whose runs share starts and batches, judged as one family."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from scipy import stats

import sde_sgd as ss
from paper_checks._card import Measurement

LEVEL = 0.05


def all_below(
    name: str, differences: Mapping[str, np.ndarray], *, limit: float, threshold: str, ratio: bool = True
) -> Measurement:
    """Met where the mean of every difference is shown to be below the limit: t-tests, corrected by Holm.

    Args:
        name: what was measured.
        differences: name → one number for each pair of runs. A pair that is not finite, as a run diverged,
            counts against.
        limit: of the mean.
        threshold: in words; the level is added.
        ratio: differences are of logarithms, what is shown is a ratio.

    Returns:
        The one that is least shown.
    """
    p = {at: _p(np.asarray(values, np.float64) - limit) for at, values in differences.items()}
    adjusted = ss.statistics.holm(p, LEVEL).adjusted
    # where p-values agree, as they do at 1, the largest mean
    worst = max(differences, key=lambda at: (adjusted[at], np.nanmean(differences[at])))
    values = np.asarray(differences[worst], np.float64)
    values = values[np.isfinite(values)]
    mean = float(values.mean()) if len(values) else float("nan")
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    scale = float(np.exp(mean)) if ratio else 1.0
    return Measurement(
        name=f"{name}, {f'least shown of {len(differences)}: ' if len(differences) > 1 else ''}{worst}",
        estimate=scale if ratio else mean,
        standard_error=scale * error,
        n=len(values),
        p=adjusted[worst],
        threshold=f"{threshold}, level {LEVEL:g} by Holm",
        met=adjusted[worst] <= LEVEL,
    )


def all_above(
    name: str, differences: Mapping[str, np.ndarray], *, limit: float, threshold: str, ratio: bool = True
) -> Measurement:
    """As `all_below`, above the limit."""
    turned = {at: -np.asarray(values) for at, values in differences.items()}
    found = all_below(name, turned, limit=-limit, threshold=threshold, ratio=ratio)
    if ratio:
        error = found.standard_error
        assert error is not None
        scale = found.estimate
        return dataclasses.replace(found, estimate=1 / scale, standard_error=error / scale**2)
    return dataclasses.replace(found, estimate=-found.estimate)


def each(
    judge: Callable[..., Measurement],
    name: str,
    differences: Mapping[str, np.ndarray],
    *,
    limit: float,
    threshold: str,
    ratio: bool = True,
) -> dict[str, Measurement]:
    """Every member of a family by itself, by `all_above` or `all_below`, p corrected by Holm."""
    single = {
        at: judge(name, {at: values}, limit=limit, threshold=threshold, ratio=ratio)
        for at, values in differences.items()
    }
    adjusted = ss.statistics.holm({at: one.p or 0.0 for at, one in single.items()}, LEVEL).adjusted
    return {at: dataclasses.replace(single[at], p=p, met=p <= LEVEL) for at, p in adjusted.items()}


def any_of(
    judge: Callable[..., Measurement],
    name: str,
    differences: Mapping[str, np.ndarray],
    *,
    limit: float,
    threshold: str,
) -> Measurement:
    """For controls: met where any ratio passes `all_above` or `all_below`; the one that is nearest to it."""
    name = f"{name}, most of {len(differences)}" if len(differences) > 1 else name
    found = each(judge, name, differences, limit=limit, threshold=threshold)
    return min(found.values(), key=lambda one: one.p or 0.0)


def _p(values: np.ndarray) -> float:
    """Of a mean of 0 or more; 1 where a run diverged, or where all are the same and not below 0."""
    if not np.isfinite(values).all():
        return 1.0
    spread = values.std(ddof=1)
    if spread == 0:
        return 0.0 if values[0] < 0 else 1.0
    return float(stats.t.cdf(values.mean() / (spread / np.sqrt(len(values))), len(values) - 1))
