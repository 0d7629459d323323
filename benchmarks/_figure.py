"""The figure: throughput against the size of the ensemble."""

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks._rows import Row, quantity
from benchmarks.ensemble_size import CEILING
from sde_sgd import plot

_PREFIX = "ensemble_size, "
# what `double_well` races at two sizes only, and how it is called in the legend
SAME_BITS, VECTORISED = "C + OpenMP (same bits)", "C + OpenMP, vectorised\n(sde_sgd's numbers)"
_SIZE = re.compile(r"double_well, 10\^(\d+) chains")
# Okabe and Ito's colours; ours are thick
_COLOURS = ("#D55E00", "#0072B2", "#4D4D4D", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def curves(rows: Sequence[Row]) -> dict[str, tuple[list[int], list[float]]]:
    """Name → sizes and throughputs, of what `ensemble_size` measured, and of the fastest C."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for row in rows:
        if row.chains is not None and row.throughput is not None and row.benchmark.startswith(_PREFIX):
            sizes, throughputs = found.setdefault(row.benchmark.removeprefix(_PREFIX), ([], []))
            sizes.append(row.chains)
            throughputs.append(row.throughput)
    for row in rows:
        size = _SIZE.fullmatch(row.benchmark)
        if size and found and row.who == SAME_BITS and row.throughput is not None:
            sizes, throughputs = found.setdefault(VECTORISED, ([], []))
            sizes.append(10 ** int(size[1]))
            throughputs.append(row.throughput)
    return found


def draw(rows: Sequence[Row], path: Path, title: str = "") -> Path:
    """Write the figure.

    Raises:
        ValueError: if `ensemble_size` is not among what was measured.
    """
    measured = curves(rows)
    if not measured:
        raise ValueError("nothing to draw: the figure shows the rows of ensemble_size.")
    ceiling = measured.pop(CEILING, None)
    made, ax = plot.figure(width=8.6, height=4.2)
    for (name, (sizes, throughputs)), colour in zip(measured.items(), _COLOURS, strict=False):
        own = name.startswith("sde_sgd")
        mark = "D--" if name == VECTORISED else "o-"
        ax.loglog(
            sizes, throughputs, mark, color=colour, label=name, lw=2.5 if own else 1.3, ms=5 if own else 3.5
        )
    if ceiling is not None:
        label = f"sde_sgd's Gaussian random\nnumbers alone, {quantity(ceiling[1][0])}/s"
        ax.axhline(ceiling[1][0], color="#000000", ls="--", lw=1.2, label=label)
    ax.set_xlabel("chains")
    ax.set_ylabel("chain-steps per second")
    ax.set_title(title)
    # beside the axes: inside it would hide the slowest
    made.legend(loc="outside right center", fontsize=9)
    return plot.save(made, path)
