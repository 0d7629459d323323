"""A quantity over the plane of learning rate and batch size, with lines of equal η/B."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from sde_sgd.plot._style import axes_or_new


def heat_map(
    values: Any,
    *,
    learning_rate: Any = None,
    batch_size: Any = None,
    label: str = "",
    log: bool = False,
    numbers: str | None = "{:.2g}",
    norm: Normalize | None = None,
    cmap: str = "viridis",
    ax: Axes | None = None,
) -> Figure:
    """Draw one number for each (η, B), on axes that double from cell to cell.

    Dashed lines join equal η/B: where the quantity depends on the ratio alone, so do the colours.

    Args:
        values: shape (learning rates, batch sizes); or an `xarray.DataArray` with these two
            dimensions, as `SweepResult` has them. Cells that are not finite stay grey, and with log=True
            those that are not > 0.
        learning_rate, batch_size: the values of the axes, > 0 and rising; from the DataArray by default.
        label: of the colour bar.
        log: a logarithmic colour scale.
        numbers: how to print each value into its cell, or None.
        norm: what takes values to colours, in place of `log`.
        cmap: name of the colours.
        ax: axes to draw into; a new figure by default.

    Returns:
        The figure.

    Raises:
        ValueError: for shapes that do not fit or axes that do not rise.
    """
    table, rates, sizes, label = _checked(values, learning_rate, batch_size, label)
    made, axes = axes_or_new(ax)
    table = np.where(table > 0, table, np.nan) if log else table
    shown = np.ma.masked_invalid(table)
    if norm is None:
        # where nothing is to be shown any scale will do
        ends = (float(shown.min()), float(shown.max())) if shown.count() else (1.0, 2.0)
        norm = LogNorm(*ends) if log else Normalize(*ends)
    drawn = axes.pcolormesh(_edges(sizes), _edges(rates), shown, norm=norm, cmap=cmap, rasterized=True)
    axes.set_facecolor("0.8")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.set_yticks(rates, [f"{rate:g}" for rate in rates])
    axes.minorticks_off()
    limits = axes.get_xlim(), axes.get_ylim()
    for ratio in np.unique(np.round(np.divide.outer(rates, sizes).ravel(), 12)):
        across = _edges(sizes)[[0, -1]]
        axes.plot(across, ratio * across, "--", color="white", lw=0.8, alpha=0.55)
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    if numbers is not None:
        for (row, column), value in np.ndenumerate(table):
            if np.isfinite(value):
                red, green, blue, _ = drawn.cmap(norm(value))
                dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
                place = float(sizes[column]), float(rates[row])
                colour = "white" if dark else "black"
                axes.text(*place, numbers.format(value), ha="center", va="center", fontsize=8.5, color=colour)
    axes.grid(visible=False)
    axes.set_xlabel("batch size B")
    axes.set_ylabel("learning rate η")
    bar = axes.figure.colorbar(drawn, ax=axes, label=label)
    if log:
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        bar.ax.yaxis.set_major_formatter("{x:g}")
        bar.ax.yaxis.set_minor_locator(NullLocator())
    return made


def _checked(
    values: Any, learning_rate: Any, batch_size: Any, label: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """The table, its axes and what to call it."""
    if learning_rate is None and hasattr(values, "dims"):
        if set(values.dims) != {"learning_rate", "batch_size"}:
            raise ValueError(
                f"values must have the dimensions learning_rate and batch_size, got {values.dims}; "
                f"average over the others, for instance with .mean('seed')."
            )
        values = values.transpose("learning_rate", "batch_size")
        learning_rate, batch_size = values["learning_rate"].values, values["batch_size"].values
        label = label or str(values.name or "")
    if learning_rate is None or batch_size is None or hasattr(values, "dataset"):
        raise ValueError(
            f"values must be an xarray.DataArray with the dimensions learning_rate and batch_size, or come "
            f"with learning_rate= and batch_size=, got {type(values).__name__}; of a SweepResult take one "
            f"quantity, as result['loss'].isel(epoch=-1).mean('seed')."
        )
    rates, sizes = np.asarray(learning_rate, float), np.asarray(batch_size, float)
    table = np.asarray(values, float)
    if rates.ndim != 1 or sizes.ndim != 1 or table.shape != (len(rates), len(sizes)):
        raise ValueError(
            f"values must have shape (learning rates, batch sizes) = ({rates.size}, {sizes.size}), "
            f"got {table.shape}."
        )
    for name, axis in (("learning_rate", rates), ("batch_size", sizes)):
        if len(axis) < 2 or np.any(axis <= 0) or np.any(np.diff(axis) <= 0):
            raise ValueError(f"{name} must be at least two rising positive numbers, got {axis.tolist()}.")
    return table, rates, sizes, label


def _edges(centres: np.ndarray) -> np.ndarray:
    """Borders of cells whose centres lie on a logarithmic axis."""
    logs = np.log(centres)
    inner = (logs[:-1] + logs[1:]) / 2
    return np.exp(np.concatenate([[2 * logs[0] - inner[0]], inner, [2 * logs[-1] - inner[-1]]]))
