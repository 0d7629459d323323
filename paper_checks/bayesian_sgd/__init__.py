"""The claims of "A Bayesian Perspective on Generalization and Stochastic Gradient Descent"."""

from paper_checks._card import Card

CARDS: tuple[Card, ...] = ()
