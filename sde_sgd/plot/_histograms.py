"""Samples as histograms, densities as lines, over each other."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sde_sgd import _checks
from sde_sgd._types import Observable
from sde_sgd.plot._style import COLOURS, axes_or_new, law_style, legend_name
from sde_sgd.simulation._recording import HistogramCounts
from sde_sgd.statistics._samples import check_observable, sample_values
from sde_sgd.theory._density import Density1D, Density2D
from sde_sgd.theory._pushforward import Pushforward, pushforward

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# widths of nine tenths of the values, beyond which no chain belongs into the picture
_FAR = 100.0
# bins of so many values and more
_BINS, _ENOUGH = 80, 8000


def histograms(
    *,
    observable: Observable | None = None,
    bins: int | None = None,
    ax: "Axes | None" = None,
    label: str = "x",
    **named: Any,
) -> "Figure":
    """Draw any number of one-dimensional laws into one picture.

        plot.histograms(SGD=sgd, SDE=sde, Gibbs=theory.gibbs(problem, hyper))

    Args:
        observable: scalar function of one chain's parameters, where θ is not one number; of a law in the
            plane its law is drawn, see `theory.pushforward`.
        bins: bins over the range of all samples; by default 80, of few chains fewer: 29 of 400. Where a few
            chains have run so far that all others would share one bin, over that of the others and the
            laws; the legend says how many lie beyond.
        ax: axes to draw into; a new figure by default.
        label: name of the horizontal axis.
        **named: name → `Result` or array (steps), `HistogramCounts` (steps), `Density1D` or `Density2D`
            (lines, the first one black).

    Returns:
        The figure.

    Raises:
        ValueError: if nothing is given, or a sample is not one number per chain.
    """
    if not named:
        raise ValueError("histograms needs something to draw, such as SGD=result, Gibbs=density.")
    bins = None if bins is None else _checks.integer("bins", bins, at_least=1)
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
    lines = {name: _line(law) for name, law in laws.items()}
    bins = usual_bins(samples.values(), _BINS) if bins is None else bins
    edges, are_all = edges_over(list(samples.values()), bins, [x for x, _ in lines.values()])
    colours = iter(COLOURS * len(named))
    for name, what in named.items():
        if name in laws:
            axes.plot(*lines[name], **law_style(list(laws).index(name)), lw=1.6, label=name)
        elif isinstance(what, HistogramCounts):
            axes.stairs(what.density, what.edges, color=next(colours), lw=1.6, label=name)
        else:
            counts, _ = np.histogram(samples[name], edges)
            density = counts / (len(samples[name]) * np.diff(edges))
            colour = next(colours)
            axes.stairs(density, edges, color=colour, alpha=0.18, fill=True)
            words = legend_name(name, what)
            if not are_all:
                words = with_those_beyond(words, samples[name][:, None], [edges])
            axes.stairs(density, edges, color=colour, lw=1.6, label=words)
    axes.set_xlabel(label)
    axes.set_ylabel("probability density")
    # the longer words need room above the bars
    axes.set_ylim(0, None if are_all else 1.3 * axes.get_ylim()[1])
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


def usual_bins(samples: Iterable[np.ndarray], most: int) -> int:
    """As the cube root of the smallest sample, whose bins would be empty or full by chance else."""
    count = min(map(len, samples), default=_ENOUGH)
    share = float(np.cbrt(min(1.0, count / _ENOUGH)))
    return max(10, round(most * share))


def edges_over(
    samples: list[np.ndarray], bins: int, lines: Sequence[np.ndarray] = ()
) -> tuple[np.ndarray, bool]:
    """Bins over what all samples cover, but for one part in 10⁴ at either end, and whether that is all.

    It is not where some lie a hundred times as far out as nine tenths of them are wide: chains that are on
    their way to infinity. Then the bins are over the others and `lines`.
    """
    if not samples:
        return np.linspace(0.0, 1.0, bins + 1), True
    low = min(float(np.quantile(values, 1e-4)) for values in samples)
    high = max(float(np.quantile(values, 1 - 1e-4)) for values in samples)
    # of few values the outermost ones are left out too
    left = min(float(np.quantile(values, 0.05, method="higher")) for values in samples)
    right = max(float(np.quantile(values, 0.95, method="lower")) for values in samples)
    width = right - left
    ends = min(values.min() for values in samples), max(values.max() for values in samples)
    are_all = not width > 0 or bool(max(left - ends[0], ends[1] - right) <= _FAR * width)
    if not are_all:
        every = np.concatenate(samples)
        near = np.concatenate([every[(every >= left - width) & (every <= right + width)], *lines])
        low, high = float(near.min()), float(near.max())
    margin = 0.05 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, bins + 1), are_all


def with_those_beyond(name: str, rows: np.ndarray, edges: Sequence[np.ndarray]) -> str:
    """A name, and how many rows lie outside the edges of some column."""
    low, high = np.array([(one[0], one[-1]) for one in edges]).T
    beyond = int(((rows < low) | (rows > high)).any(axis=1).sum())
    return f"{name} ({beyond} of {len(rows)} beyond)" if beyond else name
