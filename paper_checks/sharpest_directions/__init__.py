"""The claims of "On the Relation Between the Sharpest Directions of DNN Loss and the SGD Step Length"."""

from paper_checks._card import Card
from paper_checks.sharpest_directions import (
    alignment,
    conditioning,
    edge,
    growth,
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
    edge.CARD,
)
