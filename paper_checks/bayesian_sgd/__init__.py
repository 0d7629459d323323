"""The claims of "A Bayesian Perspective on Generalization and Stochastic Gradient Descent"."""

from paper_checks._card import Card
from paper_checks.bayesian_sgd import (
    evidence,
    evidence_test,
    laplace,
    noise_gaussian,
    reparameterisation,
)

CARDS: tuple[Card, ...] = (
    evidence.CARD,
    evidence_test.CARD,
    laplace.CARD,
    reparameterisation.CARD,
    noise_gaussian.CARD,
)
