"""A quantity over the plane of learning rate and batch size, with lines of equal η/B."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._shown import short
from sde_sgd._types import Numbers
from sde_sgd.plot._style import axes_or_new
from sde_sgd.plot._sweeps import AXES, SAMPLES, Table, is_sweep, quantity, rounded, settings
from sde_sgd.plot._ticks import colour_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

# the difference that the eye sees, of all colours
_SEEN = 1 / 16


def heat_map(
    values: Table,
    observable: str | None = None,
    *,
    learning_rate: Numbers | None = None,
    batch_size: Numbers | None = None,
    label: str = "",
    log: bool = False,
    numbers: str | None = "auto",
    norm: "Normalize | None" = None,
    cmap: str = "viridis",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw one number for each (η, B), on axes that double from cell to cell.

    Dashed lines join equal η/B, and are left out behind the numbers: where the quantity depends on the
    ratio alone, so do the colours.

    Args:
        values: shape (learning rates, batch sizes); or a `SweepResult`, or a Dataset or DataArray from one,
            of which the last sample is drawn, the mean over the seeds that did not diverge. Cells that are
            not finite or of no run stay grey, and with log=True those that are not > 0.
        observable: which one of a sweep; by default the only one, or "loss".
        learning_rate, batch_size: the values of the axes, > 0 and rising; from the sweep by default.
        label: of the colour bar.
        log: a logarithmic colour scale.
        numbers: how to print each value into its cell, such as "{:.3g}", or None; "auto" takes two to four
            digits, as many as tell apart what has different colours.
        norm: what takes values to colours, in place of `log`.
        cmap: name of the colours.
        ax: axes to draw into; a new figure by default.

    Returns:
        The figure.

    Raises:
        ValueError: for shapes that do not fit or axes that do not rise.
    """
    if is_sweep(values) and learning_rate is None and batch_size is None:
        values, learning_rate, batch_size, name = _of_sweep(values, observable)
        label = label or name
    elif observable is not None:
        raise ValueError(f"observable is for a sweep, got {observable!r} and {short(values)}.")
    table, rates, sizes = _checked(values, learning_rate, batch_size)
    made, axes = axes_or_new(ax)
    from matplotlib.colors import LogNorm, Normalize

    _check_looks(numbers, norm)
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
    # on pale cells white would not be seen
    mean = float(np.mean(_brightness(drawn.cmap(norm(shown.compressed()))))) if shown.count() else 0.0
    ink = "white" if mean < 0.75 else "0.4"
    for ratio in np.unique(np.round(np.divide.outer(rates, sizes).ravel(), 12)):
        across = _edges(sizes)[[0, -1]]
        axes.plot(across, ratio * across, "--", color=ink, lw=0.8, alpha=0.55)
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    if numbers is not None:
        if numbers == "auto":
            numbers = _format(shown.compressed(), norm)
        for (row, column), value in np.ndenumerate(table):
            if np.isfinite(value):
                cell = drawn.cmap(norm(value))
                dark = _brightness(cell) < 0.5
                axes.text(
                    float(sizes[column]),
                    float(rates[row]),
                    numbers.format(value),
                    ha="center",
                    va="center",
                    fontsize=8.5,
                    color="white" if dark else "black",
                    # lines go on behind a patch of the cell's colour, and not through the number
                    bbox={"facecolor": cell, "edgecolor": "none", "boxstyle": "square,pad=0.15"},
                )
    axes.grid(visible=False)
    axes.set_xlabel("batch size B")
    axes.set_ylabel("learning rate η")
    colour_bar(drawn, axes, label, log=isinstance(norm, LogNorm))
    return made


def _check_looks(numbers: Any, norm: Any) -> None:
    from matplotlib.colors import Normalize

    if norm is not None and not isinstance(norm, Normalize):
        raise ValueError(f"norm must be a Normalize of matplotlib, got {short(norm)}; log=True is LogNorm.")
    if numbers is None:
        return
    try:
        fits = numbers == "auto" or numbers.format(0.5) != numbers
    except (AttributeError, ValueError, LookupError):
        fits = False
    if not fits:
        raise ValueError(
            f"numbers must be 'auto', None or a format of a float such as '{{:.3g}}', got {short(numbers)}."
        )


def _format(values: np.ndarray, norm: "Normalize") -> str:
    """The fewest digits, from two to four, with which cells of one number have one colour to the eye."""
    colours = np.ma.filled(norm(values), 0.0)
    for digits in range(2, 4):
        words = np.array([f"{value:.{digits}g}" for value in values])
        if all(np.ptp(colours[words == word]) <= _SEEN for word in set(words)):
            return f"{{:.{digits}g}}"
    return "{:.4g}"


def _brightness(colours: Any) -> Any:
    """How bright colours (red, green, blue, opacity) look, from 0 to 1."""
    return np.asarray(colours)[..., :3] @ np.array([0.3, 0.59, 0.11])


def _of_sweep(what: Any, observable: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """The table of a sweep, learning rates, batch sizes, and what is shown."""
    found, dataset = quantity("values", what, observable)
    runs = settings("values", found, dataset)
    for name in ("learning_rate", "batch_size"):
        if any(name not in one.coordinates for one in runs):
            raise ValueError(f"values must have a {name} in every setting, got the dimensions {found.dims}.")
    # η and B may tell such runs apart, too, but in one picture their colours would not be those of η and B
    for axis in (axis for axis in AXES if axis not in ("learning_rate", "batch_size")):
        there = list(dict.fromkeys(one.coordinates.get(axis) for one in runs))
        if len(there) > 1:
            raise ValueError(
                f"values must have one setting for each learning rate and batch size, got {axis} = "
                f"{', '.join(map(short, there))}; select one, as by result.sel({axis}={there[0]!r})."
            )
    pairs = [(rounded(one.coordinates["learning_rate"]), one.coordinates["batch_size"]) for one in runs]
    if len(set(pairs)) < len(pairs):
        twice = max(pairs, key=pairs.count)
        taken = "learning_rate", "batch_size", "ratio", "seed", *SAMPLES
        others = [str(axis) for axis in found.dims if axis not in taken]
        raise ValueError(
            f"values must have one setting for each learning rate and batch size, got {pairs.count(twice)} "
            f"with η = {twice[0]:g} and B = {twice[1]}; select one of {others} by result.dataset.isel(...)."
        )
    rates, sizes = (sorted({pair[axis] for pair in pairs}) for axis in (0, 1))
    table = np.full((len(rates), len(sizes)), np.nan)
    for (rate, size), one in zip(pairs, runs, strict=True):
        if one.values.shape[1]:
            table[rates.index(rate), sizes.index(size)] = one.values[-1].mean()
    return table, np.asarray(rates), np.asarray(sizes), str(found.name or "")


def _checked(values: Any, learning_rate: Any, batch_size: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The table and its axes."""
    if learning_rate is None or batch_size is None:
        raise ValueError(
            f"values must be a SweepResult, a DataArray of one, or come with learning_rate= and batch_size=, "
            f"got {short(values)}; of a SweepResult take one quantity, as result['loss'], or name it by "
            f"observable=."
        )
    rates, sizes = _checks.real("learning_rate", learning_rate), _checks.real("batch_size", batch_size)
    table = _checks.real("values", values)
    if rates.ndim != 1 or sizes.ndim != 1 or table.shape != (len(rates), len(sizes)):
        raise ValueError(
            f"values must have shape (learning rates, batch sizes), got {table.shape} for learning_rate of "
            f"shape {rates.shape} and batch_size of shape {sizes.shape}."
        )
    for name, axis in (("learning_rate", rates), ("batch_size", sizes)):
        if len(axis) < 2 or np.any(axis <= 0) or np.any(np.diff(axis) <= 0) or not np.isfinite(axis).all():
            raise ValueError(
                f"{name} must be at least two rising positive numbers, got {short(axis)}; along one axis "
                f"plot.curves draws a line for each setting."
            )
    return table, rates, sizes


def _edges(centres: np.ndarray) -> np.ndarray:
    """Borders of cells whose centres lie on a logarithmic axis."""
    logs = np.log(centres)
    inner = (logs[:-1] + logs[1:]) / 2
    result: np.ndarray = np.exp(np.concatenate([[2 * logs[0] - inner[0]], inner, [2 * logs[-1] - inner[-1]]]))
    return result
