"""Laws so simple that every number is known beforehand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import bound, refused
from scipy import stats

import sde_sgd as ss
from sde_sgd.problems import GradientNoise
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.theory import Density1D
from sde_sgd.theory._fokker_planck._time import Jumps, evolve
from sde_sgd.theory._linear import _orders
from sde_sgd.theory._setting import Setting

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


def test_moments_of_a_normal_law_far_from_0():
    grid = np.linspace(3 - 16, 3 + 16, 2001)
    law = Density1D(grid, stats.norm(3, 2).logpdf(grid))
    np.testing.assert_allclose([law.mean, law.variance], [3, 4], rtol=1e-9)
    np.testing.assert_allclose(law.probability(1, 5), stats.norm.cdf(1) - stats.norm.cdf(-1), rtol=1e-8)


def test_the_plane_has_two_axes():
    """L = ½(x² + 4y²): variances T/2 and T/8; bounds are those of x, then those of y."""
    problem, hyper = ss.problems.Quadratic(np.diag([1.0, 4.0])), ss.Hyperparameters(0.2)
    for law in (
        ss.theory.gibbs(problem, hyper),
        ss.theory.gibbs(problem, hyper, bounds=((-4, 4), (-2, 2)), points=401),
    ):
        found = [law.marginal(axis).variance for axis in (0, 1)]
        np.testing.assert_allclose(found, [0.1, 0.025], rtol=1e-3)
    np.testing.assert_allclose([*law.x[[0, -1]], *law.y[[0, -1]]], [-4, 4, -2, 2])


class Mirrored(AnalyticProblem):
    """A Styblinski-Tang surface with x for −x: from its known minimum the other wells lie at lower x."""

    plain: ss.problems.StyblinskiTang
    noise: GradientNoise
    noise_law: str = eqx.field(static=True)

    def init(self, key):
        return -self.plain.init(key)

    def loss(self, theta):
        return self.plain.loss(-theta)

    def minima(self):
        return tuple(-point for point in self.plain.minima())


def test_a_box_grows_to_where_the_other_wells_are():
    plain, hyper = ss.problems.StyblinskiTang(2, noise_variance=1000.0), ss.Hyperparameters(0.02)
    mirrored = Mirrored(plain, plain.noise, "gaussian")
    means = [ss.theory.gibbs(problem, hyper).marginal(0).mean for problem in (plain, mirrored)]
    assert -2.5 < means[0] < -1
    np.testing.assert_allclose(means[1], -means[0], rtol=1e-3)


def test_bounds_may_not_leave_out_a_well():
    """At T = .01 the density is e⁻⁴⁵ and less at both ends, and as large as ever beyond them."""
    well, hyper = ss.problems.DoubleWell(), ss.Hyperparameters(0.01)
    with refused(match=r"there is a minimum at .*1"):
        ss.theory.gibbs(well, hyper, bounds=(-1.7, -0.2))


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_random_orders_of_examples_of_one_curvature_need_no_luck(momentum):
    """The control variate is then the very number: a hundred orders say what all of them say."""
    rng = np.random.default_rng(0)
    curvature = np.array([[2.0, 0.5], [0.5, 1.0]])
    gradients = rng.normal(size=(6, 2))
    examples = _orders.Examples(np.stack([curvature] * 6), gradients - gradients.mean(axis=0))
    setting = Setting(0.3, 2, momentum)
    few = _orders._sampled(examples, setting, 100, rng)
    start = np.zeros(4 if momentum else 2)
    np.testing.assert_allclose(few, _orders._enumerated(examples, setting, [2, 2, 2], start), atol=1e-10)
    setting = Setting(0.3, 4, momentum)  # and then two that are left
    few = _orders._sampled(examples, setting, 100, rng, every_one=True)
    np.testing.assert_allclose(few, _orders._enumerated(examples, setting, [4, 2], start), atol=1e-10)
