"""How far a run is from its SDE, at a glance; and where in (η, B) the invariance holds."""

from typing import TYPE_CHECKING

import numpy as np

from sde_sgd._platform._shown import short
from sde_sgd.plot._heat_map import heat_map
from sde_sgd.plot._style import COLOURS, axes_or_new, figure
from sde_sgd.validity import Cause, Diagnosis, PhaseDiagram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST, _MOST = 1e-2, 1e2
_ANSWERS = {"within": COLOURS[2], "beyond": COLOURS[1], "cannot tell": COLOURS[4]}
_WORDS = {"within": "ok", "beyond": "too much", "cannot tell": "cannot tell"}
_TITLES = {
    "yes": "SGD follows its SDE",
    "no": "SGD does not follow its SDE",
    "cannot tell": "SGD beside its SDE: cannot tell",
}


def diagnosis(found: Diagnosis, *, axes: "tuple[Axes, Axes] | None" = None) -> "Figure":
    """Draw a diagnosis: left every cause against its limit, right the temperature of each direction.

    A bar is as long as the effect, its whisker spans where the effect lies. Green is within the limit,
    red beyond it, amber not told from it by this pilot.

    Args:
        found: from `validity.diagnose`.
        axes: two axes to draw into; a new figure by default.

    Returns:
        The figure.
    """
    if not isinstance(found, Diagnosis):
        raise ValueError(f"found must be a Diagnosis, as validity.diagnose gives it, got {short(found)}.")
    if axes is None:
        made, both = figure(1, 2, width=5.6, height=3.8)
        left, right = both
    else:
        left, right = axes
        made, _ = axes_or_new(left)
    _causes(found, left)
    _temperatures(found, right)
    return made


def _causes(found: Diagnosis, axes: "Axes") -> None:
    shown = found.causes[::-1]
    for row, cause in enumerate(shown):
        colour = _ANSWERS[cause.answer]
        ends = [cause.effect, *cause.interval]
        size, low, high = (float(np.clip(value / cause.limit, _LEAST, _MOST)) for value in ends)
        axes.barh(row, size, left=0, color=colour, height=0.62, alpha=0.55)
        if high > _LEAST:
            axes.plot([low, high], [row, row], color=colour, lw=2.4, solid_capstyle="butt")
            axes.plot([low, high], [row, row], "|", color=colour, ms=11, mew=2.0)
        # beside the axes, where neither a whisker nor the limit can cross it
        axes.text(1.02, row, _said(cause), transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
    axes.axvline(1.0, color="black", lw=1.2, ls="--")
    axes.set_xscale("log")
    axes.set_xlim(_LEAST, _MOST)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_yticks(range(len(shown)), [_label(cause.name, cause.breaks) for cause in shown])
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("effect in units of its limit (dashed), and where it lies")
    axes.set_title(_TITLES[found.verdict])


def _said(cause: Cause) -> str:
    """The effect and what it amounts to."""
    effect = "∞"
    if np.isfinite(cause.effect):
        # three digits from 100 on: the exponent of 1.5e+02 helps nobody
        effect = f"{cause.effect:.{2 if abs(cause.effect) < 100 else 3}g}" if cause.effect else "none"
    return f"{effect}: {_WORDS[cause.answer]}" if cause.interval.high > 0 else effect


def _label(name: str, breaks: str) -> str:
    return name if breaks == "sde" else f"{name}\n(Gibbs only)"


def _temperatures(found: Diagnosis, axes: "Axes") -> None:
    along = found.directions
    place = np.arange(len(along.predicted)) + 1.0
    axes.plot(place, along.predicted, "_", color="black", ms=26, mew=1.6, label="SDE: ηeᵀCe/B(1−m)")
    finite = np.isfinite(along.corrected)
    axes.plot(
        place[finite],
        along.corrected[finite],
        "_",
        color=COLOURS[4],
        ms=26,
        mew=2.4,
        label="finite η, sampling",
    )
    axes.errorbar(
        place,
        along.measured,
        2 * along.measured_error,
        fmt="o",
        color=COLOURS[0],
        ms=5,
        capsize=3,
        label="measured ± 2 SE",
    )
    shown = np.concatenate([along.predicted, along.corrected[finite], along.measured])
    shown = shown[np.isfinite(shown) & (shown > 0)]
    if len(shown) and shown.max() > 5 * shown.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.45 * float(shown.max(initial=1e-12)))
    axes.set_xlim(0.5, len(place) + 0.5)
    curved = found.pilot.curvature
    axes.set_xticks(place, [f"λ={value:.3g}" for value in curved])
    axes.set_xlabel("sharpest directions")
    axes.set_ylabel("temperature T")
    axes.set_title("temperature by direction")
    axes.legend(frameon=False, fontsize=9)


def phase_diagram(found: PhaseDiagram, *, ax: "Axes | None" = None) -> "Figure":
    """Draw where runs of equal η/B agree and where they part.

    Colours are the deviation from the run of equal η/B with the smallest η, in standard deviations over
    seeds. Rings mark the references, squares the settings that break (grey: diverged), question marks those
    that more seeds may decide, crosses those that are undecided because runs diverged or have no finite
    value; what has no mark holds. The solid line is ηλ₁/(1 + m) = 1, half way to instability, where it lies
    inside the diagram.

    Args:
        found: from `validity.phase_diagram`.
        ax: axes to draw into; a new figure by default.

    Returns:
        The figure.
    """
    if not isinstance(found, PhaseDiagram):
        raise ValueError(
            f"found must be a PhaseDiagram, as validity.phase_diagram gives it, got {short(found)}."
        )
    made, axes = axes_or_new(ax) if ax is not None else figure(width=6.0, height=4.6)
    from matplotlib.colors import TwoSlopeNorm

    deviation = found.deviation
    rates, sizes = deviation["learning_rate"].values, deviation["batch_size"].values
    most = max(2 * found.limit, float(np.nanmax(np.abs(deviation.values), initial=0.0)))
    heat_map(
        deviation,
        label=f"{found.observable}: deviation in seed SD",
        numbers="{:.1f}",
        norm=TwoSlopeNorm(0.0, -most, most),
        cmap="RdBu_r",
        ax=axes,
    )
    breaks, reference = found.breaks.values, found.reference.values
    undecided = found.undecided.values
    partly = (found.undecided & (found.diverged + found.not_finite > 0)).values
    for (row, column), broken in np.ndenumerate(breaks):
        if reference[row, column]:
            axes.plot(sizes[column], rates[row], "o", ms=20, mfc="none", mec="black", mew=1.0)
        elif broken:
            axes.plot(sizes[column], rates[row], "s", ms=20, mfc="none", mec="black", mew=2.2)
        elif partly[row, column]:
            axes.plot(sizes[column], rates[row], "x", ms=20, mec="black", mew=0.8)
        elif undecided[row, column]:
            place = float(sizes[column]), float(rates[row])
            axes.annotate("?", place, (10, 0), textcoords="offset points", va="center", fontsize=9)
    steep = found.steepness.values
    if (steep > 1).any() and (steep < 1).any():
        axes.contour(sizes, rates, np.log(steep), levels=[0.0], colors="black", linewidths=1.8)
    axes.set_title(
        "runs of equal η/B after equal epochs, line: ηλ₁ = 1 + m\n"
        "ring: reference, square: breaks, ?: undecided",
        fontsize=10,
    )
    return made
