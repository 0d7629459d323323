"""Slices of a loss: along lines, and in a plane."""

from typing import TYPE_CHECKING

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._shown import short
from sde_sgd.curvature import Line, Plane
from sde_sgd.plot._style import COLOURS, axes_or_new
from sde_sgd.plot._ticks import colour_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def loss_lines(*, log: bool = False, ax: "Axes | None" = None, **named: Line) -> "Figure":
    """Draw losses on lines between two sets of parameters, as `curvature.interpolation` gives them.

        plot.loss_lines(training=interpolation(net, a, b))

    Args:
        log: logarithmic vertical axis.
        ax: axes to draw into; a new figure by default.
        **named: name → `Line`.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no line.
    """
    if not named:
        raise ValueError("loss_lines needs at least one line, such as training=interpolation(...).")
    for name, line in named.items():
        if not isinstance(line, Line):
            raise ValueError(
                f"{name} must be a Line, as curvature.interpolation gives it, got {short(line)}."
            )
    made, axes = axes_or_new(ax)
    for number, (name, line) in enumerate(named.items()):
        axes.plot(line.alphas, line.values, color=COLOURS[number % len(COLOURS)], lw=1.6, label=name)
    if log:
        axes.set_yscale("log")
    axes.set_xlabel("α in (1 − α) a + α b")
    axes.set_ylabel("loss L(θ)")
    axes.legend(frameon=False)
    return made


def loss_plane(plane: Plane, *, levels: int = 24, log: bool = True, ax: "Axes | None" = None) -> "Figure":
    """Draw the contours of a loss in a plane, as `curvature.plane` gives it.

    Args:
        plane: a single one.
        levels: contour lines.
        log: evenly spaced in ln L, where L is positive everywhere.
        ax: axes to draw into; a new figure by default.

    Returns:
        The figure.
    """
    if not isinstance(plane, Plane) or np.ndim(plane.values) != 2:
        raise ValueError(f"plane must be one Plane, as curvature.plane gives it, got {short(plane)}.")
    _checks.integer("levels", levels, at_least=2)
    made, axes = axes_or_new(ax)
    from matplotlib.colors import LogNorm, Normalize

    x, values = np.asarray(plane.coordinates), np.asarray(plane.values, np.float64).T
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if not low < high:
        high = low + max(abs(low), 1.0) * 1e-6
    heights = np.geomspace(low, high, levels) if log and low > 0 else np.linspace(low, high, levels)
    norm = LogNorm(low, high) if log and low > 0 else Normalize(low, high)
    drawn = axes.contourf(x, x, values, heights, cmap="Greys", norm=norm)
    axes.contour(x, x, values, heights, colors="black", linewidths=0.4, alpha=0.5)
    axes.plot(0, 0, "+", color=COLOURS[1], ms=10, mew=2)
    colour_bar(drawn, axes, "loss L(θ)", log=log and low > 0)
    axes.set_xlabel("first direction")
    axes.set_ylabel("second direction")
    axes.set_aspect("equal")
    axes.grid(visible=False)
    return made
