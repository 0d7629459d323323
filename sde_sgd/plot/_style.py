"""One look for all figures, set on the figure itself and never on matplotlib's globals."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._packages import need
from sde_sgd._platform._shown import short
from sde_sgd.processes._langevin import Langevin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette: told apart by the colour-blind too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#4D4D4D")

# colours and strokes of laws
_LAWS: Any = (("black", "-"), ("#7F3C8D", "--"), ("#4D4D4D", ":"), ("#009E73", "-."))

_RC: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "axes.titlesize": 11,
    "figure.dpi": 100,
}


def need_matplotlib() -> None:
    """Refuse to draw where it is not installed."""
    need("matplotlib", "sde_sgd.plot")


@overload
def figure(*, width: float = 5.0, height: float = 3.6, **options: Any) -> "tuple[Figure, Axes]": ...


@overload
def figure(
    rows: int = 1, columns: int = 1, *, width: float = 5.0, height: float = 3.6, **options: Any
) -> "tuple[Figure, np.ndarray]": ...


def figure(
    rows: int = 1, columns: int = 1, *, width: float = 5.0, height: float = 3.6, **options: Any
) -> "tuple[Figure, Any]":
    """A figure and its axes in this style, without touching global state.

    Args:
        rows, columns: of the grid of axes.
        width, height: of one panel, in inches.
        **options: to `Figure.subplots`, for instance `sharey=True`.

    Raises:
        ImportError: without matplotlib.
    """
    need_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_RC):
        made = Figure(figsize=(width * columns, height * rows), layout="constrained")
        return made, made.subplots(rows, columns, **options)


def law_style(number: int) -> dict[str, Any]:
    """Colour and stroke of one law of several."""
    colour, stroke = _LAWS[number % len(_LAWS)]
    return {"color": colour, "ls": stroke}


def axes_or_new(ax: "Axes | None", name: str = "ax") -> "tuple[Figure, Axes]":
    """The axes given, of a subfigure perhaps, with their figure; or new ones on a figure of their own."""
    if ax is None:
        return figure()
    need_matplotlib()
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    if not isinstance(ax, Axes):
        raise ValueError(f"{name} must be axes of matplotlib, as plot.figure() makes them, got {short(ax)}.")
    made: Any = ax.figure
    while not isinstance(made, Figure):
        made = made.figure
    return made, ax


def legend_name(name: str, what: object) -> str:
    """The name given, and what it is where one step of Euler's method has been run as an SDE."""
    process = getattr(what, "process", None)
    if isinstance(process, Langevin) and process.is_gaussian_sgd:
        return f"{name} (one Euler step:\nSGD with Gaussian noise)"
    return name


def save(made: "Figure | Axes", path: str | Path) -> Path:
    """Write a figure, or that of some axes, to `path`, making its folder; returns the path of the file.

    A path without an ending gets ".png", or what matplotlib has as `savefig.format`.

    Raises:
        ValueError: for something else than a figure, an ending that matplotlib does not know, a folder in
            place of a file, or where nothing can be written.
        ImportError: without matplotlib.
    """
    need_matplotlib()
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    if isinstance(made, Axes):
        made, _ = axes_or_new(made)
    if not isinstance(made, Figure):
        raise ValueError(f"made must be a figure, as the functions of plot return it, got {short(made)}.")
    target = _checks.path("path", path)
    if target.is_dir() or os.fspath(path).endswith(os.sep):
        raise ValueError(
            f"path must be the name of a file, got the folder {str(path)!r}; add a name, such as "
            f"{str(target / 'loss.png')!r}."
        )
    known = sorted(made.canvas.get_supported_filetypes())
    ending = target.suffix.lstrip(".").lower()
    if ending not in ("", *known):
        raise ValueError(f"path must end in one of {', '.join(known)}, got {str(path)!r}.")
    if not ending:
        target = target.with_name(f"{target.name.rstrip('.')}.{made.canvas.get_default_filetype()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made.savefig(target, dpi=150)
    except OSError as error:
        raise ValueError(
            f"path must be where a file can be written, got {str(path)!r}: {error.strerror or error}; give "
            f"another folder or name."
        ) from error
    return target
