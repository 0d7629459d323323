"""The claims of "A Bayesian Perspective on Generalization and Stochastic Gradient Descent"."""

from paper_checks._card import Card
from paper_checks.bayesian_sgd import (
    bopt_eta,
    bopt_momentum,
    bopt_n,
    collapse,
    evidence,
    evidence_test,
    laplace,
    noise_gaussian,
    peak,
    regularised_gap,
    reparameterisation,
)

CARDS: tuple[Card, ...] = (
    evidence.CARD,
    evidence_test.CARD,
    laplace.CARD,
    reparameterisation.CARD,
    peak.CARD,
    regularised_gap.CARD,
    collapse.CARD,
    bopt_eta.CARD,
    bopt_momentum.CARD,
    bopt_n.CARD,
    noise_gaussian.CARD,
)
