"""The claims of "A Bayesian Perspective on Generalization and Stochastic Gradient Descent"."""

from paper_checks._card import Card
from paper_checks.bayesian_sgd import bopt_eta, bopt_momentum, bopt_n, collapse, peak, regularised_gap

CARDS: tuple[Card, ...] = (
    peak.CARD,
    regularised_gap.CARD,
    collapse.CARD,
    bopt_eta.CARD,
    bopt_momentum.CARD,
    bopt_n.CARD,
)
