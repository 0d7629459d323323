"""The claims of "On the Relation Between the Sharpest Directions of DNN Loss and the SGD Step Length"."""

from paper_checks._card import Card
from paper_checks.sharpest_directions import ablation, flattening, nudged

CARDS: tuple[Card, ...] = (nudged.CARD, flattening.CARD, ablation.CARD)
