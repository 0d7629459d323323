"""The claims of "A Diffusion Theory For Deep Learning Dynamics"."""

from paper_checks._card import Card
from paper_checks.diffusion_theory import covariance, gaussian_noise

CARDS: tuple[Card, ...] = (covariance.CARD, gaussian_noise.CARD)
