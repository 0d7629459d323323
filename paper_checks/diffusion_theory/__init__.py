"""The claims of "A Diffusion Theory For Deep Learning Dynamics"."""

from paper_checks._card import Card
from paper_checks.diffusion_theory import (
    covariance,
    data,
    exponential_or_polynomial,
    gaussian_noise,
    prefactor,
    rival_laws,
    saddle,
    sgd_sharpness,
    white_noise,
)

CARDS: tuple[Card, ...] = (
    covariance.CARD,
    gaussian_noise.CARD,
    white_noise.CARD,
    sgd_sharpness.CARD,
    prefactor.CARD,
    exponential_or_polynomial.CARD,
    data.CARD,
    rival_laws.CARD,
    saddle.CARD,
)
