"""The claims of "A Bayesian Perspective on Generalization and Stochastic Gradient Descent"."""

from paper_checks._card import Card
from paper_checks.bayesian_sgd import evidence, evidence_test

CARDS: tuple[Card, ...] = (evidence.CARD, evidence_test.CARD)
