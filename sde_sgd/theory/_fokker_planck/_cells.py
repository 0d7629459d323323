"""How many cells the Fokker-Planck equation needs."""

from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

# The error that is good enough, and the one that is refused
WANTED, REFUSED = 2e-3, 2e-2
_LARGEST_STEP = 4.0


class TooWideError(ValueError):
    """Cells are too wide for a law: more of them may help."""


def enough_cells(
    solve: Callable[[int, bool], Found],
    distance: Callable[[Found, Found], float],
    most: Callable[[int, Found | None], int],
    *,
    first: int,
    given: int | None,
) -> tuple[Found, float]:
    """A solution on `given` cells for each axis, or on as many as it needs, and its error.

    The error is the distance to a solution on fewer cells, r times as wide, over r − 1. That is right
    where the scheme is of first order, which it is where cells are much wider than D/|L'|, and three
    times too much for r = 2 where it is of second order.

    Args:
        solve: on so many cells; whether to refuse laws that they do not hold.
        distance: of two solutions, the one on fewer cells first.
        most: cells that are not too many, given those so far and their solution.
        first: to begin with where none are given.

    Raises:
        ValueError: if the error is above `REFUSED`.
    """
    size = given or first
    found = solve(size, True) if given else _try(solve, size, True)
    fewer = max(8, size // 2)
    coarse = _try(solve, fewer, False)
    while True:
        error = float("inf")
        if coarse is not None and found is not None and size > fewer:
            error = distance(coarse, found) / (size / fewer - 1)
        if error <= WANTED or given:
            break
        wish = 1.1 * (error / WANTED) ** 0.5 if found is not None and coarse is not None else 2.0
        following = min(int(size * min(max(wish, 1.5), _LARGEST_STEP)), most(size, found))
        if following < 1.4 * size:
            break
        coarse, fewer, size = found, size, following
        found = _try(solve, size, True)
    if found is None or not error <= REFUSED:
        raise ValueError(
            f"cells = {size} are too few: on {fewer} the law differs so much that it may be off by "
            f"{error:.2g} of the probability. Fluxes are right for cells narrower than D/|L'|, so that a "
            f"small learning_rate needs many. Ask for more by cells=, narrow bounds, or run an ensemble of "
            f"Langevin."
        )
    return found, error


def _try(solve: Callable[[int, bool], Found], size: int, checked: bool) -> Found | None:
    """The solution, or None where cells are too wide to have one."""
    try:
        return solve(size, checked)
    except TooWideError:
        return None
