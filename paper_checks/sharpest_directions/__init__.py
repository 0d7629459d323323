"""The claims of "On the Relation Between the Sharpest Directions of DNN Loss and the SGD Step Length"."""

from paper_checks._card import Card
from paper_checks.sharpest_directions import alignment, saturation, step_length

CARDS: tuple[Card, ...] = (step_length.CARD, alignment.CARD, saturation.CARD)
