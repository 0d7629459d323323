"""Panels and colours for as many networks as a scale has."""

from typing import Any

import numpy as np

import sde_sgd as ss

IN_A_LINE = 4
COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7", "#7F3C8D", "#4D4D4D")


def panels(count: int, *, width: float, height: float, rows: int = 1) -> tuple[Any, np.ndarray]:
    """A figure with some panels for each of `count` networks, at most four networks in a line.

    Args:
        count: columns, were all in one line.
        width, height: of a panel.
        rows: panels of each, one below the other.

    Returns:
        The figure, and its axes, shape (rows, count).
    """
    lines = -(-count // IN_A_LINE)
    columns = -(-count // lines)
    figure, axes = ss.plot.figure(rows * lines, columns, width=width, height=height, squeeze=False)
    by_line = axes.reshape(lines, rows, columns)
    every = np.concatenate(list(by_line), axis=1)
    for ax in every[:, count:].ravel():
        ax.set_axis_off()
    return figure, every[:, :count]
