"""Samples as histograms, densities as lines, over each other."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sde_sgd import _checks
from sde_sgd._types import Observable
from sde_sgd.plot._style import COLOURS, axes_or_new, legend_name
from sde_sgd.simulation._recording import HistogramCounts
from sde_sgd.statistics._samples import check_observable, sample_values
from sde_sgd.theory._density import Density1D, Density2D
from sde_sgd.theory._pushforward import Pushforward, pushforward

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def histograms(
    *,
    observable: Observable | None = None,
    bins: int = 80,
    ax: "Axes | None" = None,
    label: str = "x",
    **named: Any,
) -> "Figure":
    """Draw any number of one-dimensional laws into one picture.

        plot.histograms(SGD=sgd, SDE=sde, Gibbs=theory.gibbs(problem, hyper))

    Args:
        observable: scalar function of one chain's parameters, where θ is not one number; of a law in the
            plane its law is drawn, see `theory.pushforward`.
        bins: bins over the range of all samples.
        ax: axes to draw into; a new figure by default.
        label: name of the horizontal axis.
        **named: name → `Result` or array (steps), `HistogramCounts` (steps), `Density1D` or `Density2D`
            (black line).

    Returns:
        The figure.

    Raises:
        ValueError: if nothing is given, or a sample is not one number per chain.
    """
    if not named:
        raise ValueError("histograms needs something to draw, such as SGD=result, Gibbs=density.")
    _checks.integer("bins", bins, at_least=1)
    check_observable(observable)
    laws = {
        name: _on_line(name, what, observable)
        for name, what in named.items()
        if isinstance(what, Density1D | Density2D | Pushforward)
    }
    samples = {
        name: sample_values(name, what, observable)[0]
        for name, what in named.items()
        if name not in laws and not isinstance(what, HistogramCounts)
    }
    made, axes = axes_or_new(ax)
    edges = edges_over(list(samples.values()), bins)
    colours = iter(COLOURS * len(named))
    for name, what in named.items():
        if name in laws:
            x, p = _line(laws[name])
            axes.plot(x, p, color="black", lw=1.6, label=name)
        elif isinstance(what, HistogramCounts):
            axes.stairs(what.density, what.edges, color=next(colours), lw=1.6, label=name)
        else:
            counts, _ = np.histogram(samples[name], edges)
            density = counts / (len(samples[name]) * np.diff(edges))
            colour = next(colours)
            axes.stairs(density, edges, color=colour, alpha=0.18, fill=True)
            axes.stairs(density, edges, color=colour, lw=1.6, label=legend_name(name, what))
    axes.set_xlabel(label)
    axes.set_ylabel("probability density")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return made


def _on_line(name: str, law: Any, observable: Any) -> Density1D | Pushforward:
    if not isinstance(law, Density2D):
        result: Density1D | Pushforward = law
        return result
    if observable is None:
        raise ValueError(
            f"{name} must be a law on the line, got {law!r}; give a scalar observable= of both coordinates, "
            f"such as lambda theta: theta[0]."
        )
    return pushforward(law, observable)


def _line(law: Density1D | Pushforward) -> tuple[np.ndarray, np.ndarray]:
    """Points and the density there, down to 10⁻⁴ of its peak."""
    x = (
        law.grid
        if isinstance(law, Density1D)
        else np.linspace(float(law.ppf(5e-5)), float(law.ppf(1 - 5e-5)), 401)
    )
    p = law.pdf(x)
    return x[p > 1e-4 * p.max()], p[p > 1e-4 * p.max()]


def edges_over(samples: list[np.ndarray], bins: int) -> np.ndarray:
    """Bins over what all samples cover, but for one part in 10⁴ at either end."""
    if not samples:
        return np.linspace(0.0, 1.0, bins + 1)
    low = min(float(np.quantile(values, 1e-4)) for values in samples)
    high = max(float(np.quantile(values, 1 - 1e-4)) for values in samples)
    margin = 0.05 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, bins + 1)
