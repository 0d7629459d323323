"""The claims of "On the Relation Between the Sharpest Directions of DNN Loss and the SGD Step Length"."""

from paper_checks._card import Card
from paper_checks.sharpest_directions import (
    ablation,
    alignment,
    conditioning,
    edge,
    flattening,
    growth,
    nudged,
    peak_height,
    saturation,
    step_length,
)

CARDS: tuple[Card, ...] = (
    growth.CARD,
    peak_height.CARD,
    step_length.CARD,
    alignment.CARD,
    conditioning.CARD,
    saturation.CARD,
    nudged.CARD,
    flattening.CARD,
    ablation.CARD,
    edge.CARD,
)
