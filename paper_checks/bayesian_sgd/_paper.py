"""The paper."""

from paper_checks._card import Paper

BAYESIAN_SGD = Paper(
    name="bayesian-sgd",
    title="A Bayesian Perspective on Generalization and Stochastic Gradient Descent",
    source="Smith, Le 2018, arXiv:1710.06451",
)
