"""How a histogram gathered by a run looks in a notebook."""

from typing import TYPE_CHECKING

from sde_sgd._platform._html import Panel
from sde_sgd._platform._svg import Curve, curves

if TYPE_CHECKING:
    from sde_sgd.simulation._recording import HistogramCounts


def of_histogram(found: "HistogramCounts") -> Panel:
    """Its counts, and the density as a curve."""
    rows = {"samples": str(found.total), "below": str(found.below), "above": str(found.above)}
    rows |= {"not a number": str(found.not_a_number)} if found.not_a_number else {}
    step = max(1, len(found.counts) // 400)
    middles = ((found.edges[:-1] + found.edges[1:]) / 2)[::step]
    lines = {"density": Curve(found.density[::step])}
    picture = curves(middles, lines, "value", "density", logarithmic=False)
    return Panel("HistogramCounts", "", rows, pictures=(picture,))
