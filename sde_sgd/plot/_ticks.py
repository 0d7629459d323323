"""Colour bars whose ticks are round numbers."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# steps between ticks, times powers of ten
_STEPS = (1.0, 2.0, 5.0)
_FEWEST, _MOST = 3, 6


def round_ticks(low: float, high: float, *, log: bool = False) -> np.ndarray:
    """One, two or five times a power of ten, or multiples of such a step, from `low` to `high`.

    Where a logarithmic range is so short that it holds fewer than three of the former, the latter.
    """
    from matplotlib.ticker import MaxNLocator

    if log and 0 < low < high:
        powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        every = np.outer(powers, _STEPS).ravel()
        # over many decades only the powers themselves
        found = every if high / low < 10**_FEWEST else powers
        found = found[(found >= low) & (found <= high)]
        if len(found) >= _FEWEST:
            result: np.ndarray = found[:: 1 + (len(found) - 1) // (2 * _MOST)]
            return result
    values = np.asarray(MaxNLocator(nbins=_MOST, steps=[*_STEPS, 10.0]).tick_values(low, high))
    slack = 1e-9 * (high - low)
    kept = values[(values >= low - slack) & (values <= high + slack)]
    # what is left of rounding around 0 would be told as -0
    return np.where(np.abs(kept) < 1e-9 * max(abs(low), abs(high)), 0.0, kept)


def colour_bar(drawn: Any, axes: "Axes", label: str, *, log: bool = False) -> None:
    """A bar beside the axes of what `drawn` maps to colours."""
    from matplotlib.ticker import FixedLocator, NullLocator

    bar: Any = axes.figure.colorbar(drawn, ax=axes, label=label)
    # of contours those of its levels, else those of its norm
    ticks = round_ticks(float(bar.vmin), float(bar.vmax), log=log)
    bar.ax.yaxis.set_major_locator(FixedLocator(ticks.tolist()))
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.6g}".replace("-", "\N{MINUS SIGN}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
