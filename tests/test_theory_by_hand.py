"""Laws so simple that every number is known beforehand."""

import jax
import numpy as np
from helpers import bound
from scipy import stats

import sde_sgd as ss

MIXTURE = ss.theory.GaussianMixture(
    np.array([0.25, 0.75]),
    np.array([[0.0, 0.0], [4.0, 2.0]]),
    np.array([np.eye(2), [[2.0, 0.5], [0.5, 1.0]]]),
    0.0,
)


def test_a_mixture_varies_within_its_wells_and_between_them():
    within = 0.25 * np.eye(2) + 0.75 * np.array([[2.0, 0.5], [0.5, 1.0]])
    between = 0.25 * 0.75 * np.outer([4.0, 2.0], [4.0, 2.0])
    np.testing.assert_allclose(MIXTURE.mean, [3.0, 1.5])
    np.testing.assert_allclose(MIXTURE.covariance, within + between)
    points = np.random.default_rng(0).normal(size=(5, 2)) * 3
    exact = sum(
        weight * stats.multivariate_normal(mean, covariance).pdf(points)
        for weight, mean, covariance in zip(MIXTURE.weights, MIXTURE.means, MIXTURE.covariances, strict=True)
    )
    np.testing.assert_allclose(MIXTURE.pdf(points), exact, rtol=1e-10)


def test_draws_from_a_mixture_have_its_moments():
    n = 20_000
    sample = np.asarray(MIXTURE.sample(n, key=jax.random.key(0)), np.float64)
    z = (sample.mean(axis=0) - MIXTURE.mean) / np.sqrt(np.diag(MIXTURE.covariance) / n)
    assert np.abs(z).max() < bound(2)
    off = sample - MIXTURE.mean
    products = off[:, :, None] * off[:, None, :]
    z = (products.mean(axis=0) - MIXTURE.covariance) / (products.std(axis=0) / np.sqrt(n))
    assert np.abs(z).max() < bound(4)
