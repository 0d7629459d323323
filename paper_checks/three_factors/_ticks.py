"""Plain numbers along a logarithmic axis that spans less than two decades."""

from typing import Any

TICKS = [digit * 10.0**power for power in range(-4, 6) for digit in (1, 1.5, 2, 3, 4, 5, 7)]


def plain_y_ticks(ax: Any) -> None:
    """Label 1, 1.5, 2, 3, 4, 5, 7 and their multiples by powers of ten, as far as they are in view."""
    low, high = ax.get_ylim()
    ticks = [tick for tick in TICKS if low < tick < high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_yticks([], minor=True)
    ax.set_ylim(low, high)
