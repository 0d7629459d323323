"""Records of runs against time, with bands over chains."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sde_sgd import _checks
from sde_sgd._result import Result
from sde_sgd.plot._style import COLOURS, axes_or_new, legend_name

CLOCKS = {"step": "SGD steps", "time": "SDE time t = ηk", "epochs": "epochs"}


def curves(
    observable: str,
    *,
    clock: str = "step",
    band: str = "deviation",
    ax: Axes | None = None,
    log: bool = False,
    styles: dict[str, dict[str, Any]] | None = None,
    **named: Result,
) -> Figure:
    """Draw one recorded observable of several runs: the mean over chains and a band.

        plot.curves("loss", clock="epochs", SGD=sgd, SDE=sde)

    Args:
        observable: name under which it was recorded (`run(..., record={name: ...})`).
        clock: "step", "time" (t = ηk) or "epochs".
        band: "deviation" (± 1 standard deviation over chains), "error" (± 1 standard error of the
            mean) or "none".
        ax: axes to draw into; a new figure by default.
        log: logarithmic vertical axis.
        styles: name → keywords for matplotlib's `plot`.
        **named: name → `Result`.

    Returns:
        The figure. Diverged chains are left out.

    Raises:
        ValueError: if nothing was recorded under that name, or it is not a scalar.
    """
    _checks.choice("clock", clock, tuple(CLOCKS))
    _checks.choice("band", band, ("deviation", "error", "none"))
    if not named:
        raise ValueError("curves needs at least one result, such as SGD=result.")
    made, axes = axes_or_new(ax)
    for number, (name, result) in enumerate(named.items()):
        x = _clock(result, clock)
        mean, deviation = curve(result, observable)
        style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "lw": 1.6}
        style["label"] = legend_name(name, result)
        style.update((styles or {}).get(name, {}))
        axes.plot(x, mean, **style)
        if band != "none":
            width = deviation if band == "deviation" else deviation / np.sqrt(result.alive.sum())
            axes.fill_between(x, mean - width, mean + width, color=style["color"], alpha=0.15, lw=0)
    axes.set_xlabel(CLOCKS[clock])
    axes.set_ylabel(observable)
    if log:
        axes.set_yscale("log")
    axes.legend(frameon=False)
    return made


def curve(result: Result, observable: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the chains that did not diverge, shape `(samples,)` each.

    Raises:
        ValueError: if nothing was recorded under that name, or it is not a scalar.
    """
    if observable not in result.record:
        listed = ", ".join(repr(name) for name in result.record) or "nothing"
        raise ValueError(
            f"observable {observable!r} was not recorded, but {listed}; "
            f"pass record={{{observable!r}: function}} to run."
        )
    values = np.asarray(result.record[observable], np.float64)
    if values.ndim != 2:
        raise ValueError(
            f"observable {observable!r} is not one number per chain but has shape {values.shape[2:]}."
        )
    kept = values[:, result.alive]
    deviation = kept.std(axis=1, ddof=1) if kept.shape[1] > 1 else np.zeros(len(kept))
    return kept.mean(axis=1), deviation


def _clock(result: Result, clock: str) -> np.ndarray:
    if clock == "step":
        return result.record_steps
    x = result.epochs if clock == "epochs" else result.time
    if x.ndim > 1:
        raise ValueError("clock='time' needs one learning rate for all chains; use clock='step'.")
    return x
