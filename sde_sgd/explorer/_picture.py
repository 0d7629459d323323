"""The explorer's pictures, and the numbers beside them."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from sde_sgd._platform._shown import short
from sde_sgd.explorer._digits import DigitsNumbers, Direction
from sde_sgd.explorer._wells import EXACT, VARIANCE, WellNumbers
from sde_sgd.plot._style import COLOURS, figure
from sde_sgd.theory._density import Density1D

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = WellNumbers | DigitsNumbers

# bins, and letters of a title that fit at its usual size
BINS, _LONG = 54, 62
_SGD, _SDE, _FIRST, _EXACT = COLOURS[:4]
_GREY = COLOURS[-1]
_LAWS = {"O(η) law": (_FIRST, (0, (4, 2))), EXACT: (_EXACT, "-"), VARIANCE: (_EXACT, "-")}


def picture(numbers: Numbers, *, onto: "Figure | None" = None) -> "Figure":
    """The picture of what was found: histograms of the chains with the laws beside them.

    Of a well: above, the density of SGD, SDE and Gibbs; below, what is between them and Gibbs, with one
    standard error shaded. Of digits: SGD along four directions, with the Gaussians of its exact covariance
    and of its SDE's.

    Args:
        numbers: of `simulate`.
        onto: a figure of an earlier call for numbers of this kind, to draw into: its axes and ticks take
            longer to make than all that is in them.

    Raises:
        ValueError: for anything else.
        ImportError: without matplotlib.
    """
    if not isinstance(numbers, WellNumbers | DigitsNumbers):
        raise ValueError(f"numbers must be what explorer.simulate returns, got {short(numbers)}.")
    count, frame = (2, _well_frame) if isinstance(numbers, WellNumbers) else (4, _digits_frame)
    made = frame() if onto is None else onto
    if len(getattr(made, "axes", ())) != count:
        raise ValueError(f"onto must be a figure that picture returned for such numbers, got {short(onto)}.")
    for ax in made.axes:
        for artist in [*ax.lines, *ax.patches, *ax.collections]:
            artist.remove()
    if isinstance(numbers, WellNumbers):
        _wells(made, numbers)
    else:
        _digits(made, numbers)
    return made


def svg(drawn: "Figure") -> str:
    """A figure as SVG, which takes half the time of a PNG and is sharp at any width."""
    text = io.StringIO()
    drawn.savefig(text, format="svg", metadata={"Date": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def _well_frame() -> "Figure":
    made, (top, bottom) = figure(2, 1, width=6.4, height=2.9, sharex=True, height_ratios=[3, 2])
    # places that are set are drawn three times as fast as those that have to be found
    made.set_layout_engine(None)
    made.subplots_adjust(left=0.125, right=0.985, top=0.935, bottom=0.09, hspace=0.08)
    # each tick takes half a millisecond to draw
    top.locator_params(nbins=6)
    bottom.locator_params(axis="y", nbins=4)
    top.set_ylabel("probability density")
    bottom.set_ylabel("minus Gibbs")
    for ax in (top, bottom):
        ax.yaxis.set_label_coords(-0.105, 0.5)
    bottom.set_xlabel("x")
    return made


def _digits_frame() -> "Figure":
    made, axes = figure(2, 2, width=3.2, height=2.9)
    made.set_layout_engine(None)
    made.subplots_adjust(left=0.1, right=0.985, top=0.85, bottom=0.095, hspace=0.34, wspace=0.2)
    for ax in axes.flat:
        ax.locator_params(nbins=4)
        ax.grid(visible=False)
    for ax in axes[:, 0]:
        ax.set_ylabel("probability density")
    for ax in axes[1]:
        ax.set_xlabel("uᵀ(θ − θ*)")
    return made


def _wells(made: "Figure", numbers: WellNumbers) -> None:
    top, bottom = made.axes
    gibbs = numbers.laws["Gibbs"]
    edges = _edges([*numbers.samples.values()], gibbs)
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    exact = np.diff(gibbs.cdf(edges)) / width
    fine = np.linspace(edges[0], edges[-1], 501)
    highest = float(gibbs.pdf(fine).max())
    reach = 0.02 * highest
    for colour, (name, sample) in zip((_SGD, _SDE), numbers.samples.items(), strict=True):
        if not len(sample):
            continue
        counts = np.histogram(sample, edges)[0]
        density = counts / (len(sample) * width)
        error = np.sqrt(np.maximum(counts, 1)) / (len(sample) * width)
        top.stairs(density, edges, color=colour, alpha=0.15, fill=True)
        top.stairs(density, edges, color=colour, lw=1.5, label=name)
        highest = max(highest, float(density.max()))
        gap = density - exact
        reach = max(reach, float((np.abs(gap) + error).max()))
        bottom.fill_between(middle, gap - error, gap + error, color=colour, alpha=0.2, lw=0)
        bottom.plot(middle, gap, color=colour, lw=1.3)
    top.plot(fine, gibbs.pdf(fine), color="black", lw=1.6, label="Gibbs exp(−2L/T)")
    for name, (colour, style) in _LAWS.items():
        if name in numbers.laws:
            law = numbers.laws[name]
            top.plot([], [], color=colour, ls=style, lw=1.8, label=name)
            bottom.plot(middle, np.diff(law.cdf(edges)) / width - exact, color=colour, ls=style, lw=1.8)
    bottom.axhline(0.0, color="black", lw=1.2)
    top.set_ylim(0, 1.42 * max(highest, 1e-12))
    top.legend(loc="upper center", ncols=3, fontsize=9.5, columnspacing=1.4, handlelength=1.8, frameon=False)
    title = _well_title(numbers)
    top.set_title(title, y=1.0, fontsize=11 if len(title) < _LONG else 8.5)
    top.set_xlim(edges[0], edges[-1])
    bottom.set_ylim(-reach, reach)


def _well_title(numbers: WellNumbers) -> str:
    asked = numbers.settings
    momentum = f", m = {asked.momentum:g}" if asked.momentum else ""
    tilt = f", tilt {asked.tilt:g}" if asked.tilt else ""
    noise = asked.noise_law if asked.sampling == "fresh" else asked.sampling
    law = "" if noise == "gaussian" else f", {noise}"
    return (
        f"{asked.well}{tilt}: η = {asked.learning_rate:g}, B = {asked.batch_size}, "
        f"σ² = {asked.noise_variance:g}{law}{momentum}, T = {numbers.temperature:.3g}"
    )


def _digits(made: "Figure", numbers: DigitsNumbers) -> None:
    for ax, one in zip(made.axes, numbers.directions, strict=True):
        _along(ax, one)
    asked = numbers.settings
    momentum = f", m = {asked.momentum:g}" if asked.momentum else ""
    made.suptitle(
        f"digits: η = {asked.learning_rate:g}, B = {asked.batch_size} of {numbers.size}{momentum}, "
        f"{asked.sampling}",
        fontsize=11,
        y=0.985,
    )
    if not made.legends:
        handles, labels = made.axes[0].get_legend_handles_labels()
        place: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.965), "frameon": False}
        made.legend(handles, labels, ncols=3, fontsize=9.5, **place)


def _along(ax: Any, one: Direction) -> None:
    spread = one.exact.grid[-1] / 9
    reach = 4.2 * max(spread, one.sde.grid[-1] / 9)
    edges = np.linspace(-reach, reach, 49)
    fine = np.linspace(-reach, reach, 101)
    density = np.histogram(one.sample, edges)[0] / (max(len(one.sample), 1) * np.diff(edges))
    ax.stairs(density, edges, color=_SGD, alpha=0.18, fill=True)
    ax.stairs(density, edges, color=_SGD, lw=1.3, label="SGD")
    ax.plot(fine, one.exact.pdf(fine), color=_EXACT, lw=1.8, label="exact covariance at this η")
    ax.plot(fine, one.sde.pdf(fine), color="black", ls=(0, (4, 2)), lw=1.4, label="the SDE's covariance")
    # where y is not given it is looked for anew at each draw
    ax.set_title(f"{one.name} direction, uᵀHu = {one.curvature:.2g}", fontsize=10, y=1.0)
    highest = max(density.max(), one.exact.pdf(fine).max(), one.sde.pdf(fine).max())
    ax.set_ylim(0, 1.08 * float(highest))
    ax.set_xlim(-reach, reach)


def _edges(samples: list[np.ndarray], law: Density1D) -> np.ndarray:
    """Bins over what the law and the samples cover, but for one part in 10³ at either end."""
    inside = law.grid[(law.cdf(law.grid) > 5e-4) & (law.cdf(law.grid) < 1 - 5e-4)]
    ends = [(inside[0], inside[-1])]
    ends += [tuple(np.quantile(sample, [1e-3, 1 - 1e-3])) for sample in samples if len(sample)]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    # what a few chains do far out must not hide the rest
    width = inside[-1] - inside[0]
    low, high = max(low, inside[0] - width / 2), min(high, inside[-1] + width / 2)
    return np.linspace(low - 0.03 * width, high + 0.03 * width, BINS + 1)
