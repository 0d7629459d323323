"""The claims of "On the Relation Between the Sharpest Directions of DNN Loss and the SGD Step Length"."""

from paper_checks._card import Card
from paper_checks.sharpest_directions import conditioning, edge, growth, peak_height

CARDS: tuple[Card, ...] = (growth.CARD, peak_height.CARD, conditioning.CARD, edge.CARD)
