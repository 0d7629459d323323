"""Grids that are as fine as a density needs."""

from collections.abc import Callable
from typing import TypeVar

from sde_sgd.theory._density import Density1D, Density2D

# What is asked for by default, and what is refused
_WANTED, _REFUSED = 1e-6, 1e-4

AnyDensity = TypeVar("AnyDensity", Density1D, Density2D)


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
