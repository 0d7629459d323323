"""Laws so simple that every number is known beforehand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import bound
from scipy import stats

import sde_sgd as ss
from sde_sgd.theory._fokker_planck_time import Jumps, evolve

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


@pytest.mark.parametrize("time", [0.01, 1.0, 40.0])
def test_two_cells_come_to_rest_exponentially(time):
    """Rates a up and b down: p₀ = b/(a + b) + a/(a + b) e^{−(a + b)t} from cell 0."""
    up, down, rate = 2.0, 0.5, 2.0
    with jax.enable_x64(True):
        jumps = Jumps(
            rate=jnp.asarray(rate),
            stay=jnp.array([1 - up / rate, 1 - down / rate]),
            up=(jnp.array([up / rate, 0.0]),),
            down=(jnp.array([0.0, down / rate]),),
        )
        law = np.asarray(evolve(jumps, jnp.array([1.0, 0.0]), jnp.asarray(time)))
    first = down / (up + down) + up / (up + down) * np.exp(-(up + down) * time)
    np.testing.assert_allclose(law, [first, 1 - first], rtol=1e-12)
