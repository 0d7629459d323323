"""Grids as they are given, and as fine as a density needs."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._shown import short
from sde_sgd.theory._density import Density1D, Density2D

# What is asked for by default, and what is refused
_WANTED, _REFUSED = 1e-6, 1e-4

AnyDensity = TypeVar("AnyDensity", Density1D, Density2D)


def given_bounds(bounds: Any) -> tuple[float, float]:
    """(low, high) as two numbers, or a refusal."""
    _checks.number("bounds", bounds)
    if np.shape(bounds) != (2,) or not bounds[0] < bounds[1]:
        raise ValueError(f"bounds must be (low, high) with low < high, got {short(bounds)}.")
    return float(bounds[0]), float(bounds[1])


def given_points(points: Any, at_least: int = 101) -> int | None:
    """The number of points asked for, made odd, or None."""
    return None if points is None else _checks.integer("points", points, at_least=at_least) | 1


def resolved(make: Callable[[int], AnyDensity], points: int | None, first: int, most: int) -> AnyDensity:
    """A density on `points`, or on `first` points doubled until its error is below 1e-6.

    Args:
        make: a density from an odd number of points, for each axis.
        points: what the user asks for, odd, or None.
        first: odd, where to begin.
        most: for which no doubling is tried any more.

    Raises:
        ValueError: if the error is still above 1e-4.
    """
    count = points or first
    density = make(count)
    while points is None and not density.error <= _WANTED and 2 * count - 1 <= most:
        count = 2 * count - 1
        density = make(count)
    if not density.error <= _REFUSED:
        raise ValueError(
            f"points must be more than {count} for {density.name} here: leaving out every other one changes "
            f"a probability by {density.error:.1g}. Give more points, or bounds closer to the probability."
        )
    return density
