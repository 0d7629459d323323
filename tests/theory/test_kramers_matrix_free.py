"""Eyring-Kramers above 500 parameters, where no Hessian is made, against closed forms and small problems."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALARM, refused
from scipy import stats

import sde_sgd as ss
from sde_sgd.theory._escape import _root

theory, problems = ss.theory, ss.problems
HYPER = ss.Hyperparameters(0.1, 4)
KEY = jax.random.key(0)
MANY = 600


@pytest.fixture
def matrix_free(monkeypatch):
    """No Hessian is made from two parameters on."""
    monkeypatch.setattr("sde_sgd.theory._escape._saddle._MOST", 1)


class Turned(problems.AnalyticProblem):
    """A double well along z₀ and ½ Σ h_i (1 + a_i(1 − z₀²)) z_i² across it, z being θ mirrored at a plane.

    Curvatures are (2, h) at z₀ = ±1 and (−1, h(1 + a)) at the saddle.
    """

    noise: problems.GradientNoise
    noise_law: str
    normal: jax.Array
    curvatures: jax.Array
    changes: jax.Array

    def init(self, key):
        del key
        return jnp.zeros(self.normal.shape)

    def mirrored(self, theta):
        return theta - 2 * self.normal * (self.normal @ theta)

    def loss(self, theta):
        z = self.mirrored(theta)
        across = self.curvatures * (1 + self.changes * (1 - z[0] ** 2)) * z[1:] ** 2
        return 0.25 * (z[0] ** 2 - 1) ** 2 + 0.5 * jnp.sum(across)

    def place(self, first):
        """θ near z = (first, 0, …)."""
        z = 0.01 * np.random.default_rng(3).normal(size=self.normal.size)
        z[0] = first
        return self.mirrored(jnp.asarray(z, self.normal.dtype))


def turned(size):
    """With D = .0125."""
    drawn = np.random.default_rng(0)
    normal = drawn.normal(size=size)
    curvatures = np.geomspace(0.5, 5, size - 1)
    changes = drawn.uniform(-0.5, 1.0, size - 1)
    parts = (
        jnp.asarray(part, jnp.float32) for part in (normal / np.linalg.norm(normal), curvatures, changes)
    )
    return Turned(problems.Isotropic(1.0), "gaussian", *parts)


def log_prefactor(problem):
    changes = np.asarray(problem.changes, np.float64)
    return np.log(2 * np.pi) + 0.5 * (np.log(0.5) + np.log1p(changes).sum())


def limit(samples, count=1):
    """Errors that one of `count` estimates exceeds with odds `ALARM`, the errors being estimates too."""
    return stats.t.isf(ALARM / (2 * count), samples - 1)


@pytest.mark.script
def test_many_parameters_in_closed_form():
    """ln of the prefactor is 48, as the saddle changes the curvature in 599 directions."""
    problem = turned(MANY)
    found = theory.kramers(
        problem, HYPER, minimum=problem.place(-0.9), saddle=problem.place(0.1), samples=20, key=KEY
    )
    off = np.log(found.prefactor) - log_prefactor(problem)
    assert 0.01 < found.standard_error < 0.2
    assert abs(off) < limit(20) * found.standard_error
    np.testing.assert_allclose(found.exponent, 0.25 / 0.0125, rtol=1e-6)
    np.testing.assert_allclose(found.minimum.eigenvalues[[0, 2]], [0.5, 5], rtol=1e-3)
    np.testing.assert_allclose(found.saddle.eigenvalues[0], -1, rtol=1e-6)
    way = problem.mirrored(jnp.asarray(found.saddle.direction, jnp.float32))
    np.testing.assert_allclose(np.abs(way), np.eye(MANY)[0], atol=1e-4)


@pytest.mark.script
def test_what_two_hessians_share_adds_no_error():
    """Only the curvature along the way down differs: one vector less than nothing is random."""
    problem = problems.StyblinskiTang(501, noise_variance=400.0)
    minimum = problem.minima()[0]
    found = theory.kramers(problem, HYPER, minimum=minimum, saddle=minimum.at[0].set(0.2), key=KEY)
    line = problems.StyblinskiTang(1, noise_variance=400.0)
    one = theory.kramers(line, HYPER, minimum=line.minima()[0], saddle=jnp.asarray([0.2]))
    np.testing.assert_allclose(found.prefactor, one.prefactor, rtol=1e-8)
    assert found.standard_error < 1e-8


@pytest.mark.script
@pytest.mark.usefixtures("matrix_free")
def test_matrices_against_products(monkeypatch):
    """On 12 parameters: the same points, and determinants within their error over four keys."""
    problem = turned(12)
    places = {"minimum": problem.place(-0.9), "saddle": problem.place(0.1)}
    found = [
        theory.kramers(problem, HYPER, **places, samples=20, key=jax.random.key(seed)) for seed in range(4)
    ]
    monkeypatch.setattr("sde_sgd.theory._escape._saddle._MOST", 500)
    dense = theory.kramers(problem, HYPER, **places)
    for one in found:
        np.testing.assert_allclose(one.exponent, dense.exponent, rtol=1e-9)
        np.testing.assert_allclose(one.minimum.theta, dense.minimum.theta, atol=1e-9)
        np.testing.assert_allclose(one.saddle.theta, dense.saddle.theta, atol=1e-9)
        np.testing.assert_allclose(one.saddle.eigenvalues[:2], dense.saddle.eigenvalues[:2], rtol=1e-5)
    np.testing.assert_allclose(np.log(dense.prefactor), log_prefactor(problem), rtol=1e-5)
    off = np.array([np.log(one.prefactor / dense.prefactor) for one in found])
    told = np.array([one.standard_error for one in found])
    assert (np.abs(off) < limit(20, 4) * told).all()
    assert abs(off.mean()) < limit(20) * np.sqrt(np.sum(told**2)) / 4


@pytest.mark.usefixtures("matrix_free")
@pytest.mark.parametrize(
    ("guess", "place"), [((-0.8, 0.6), (-0.822002, 0.624313)), ((0.2, 0.3), (0.212487, 0.292988))]
)
def test_the_saddles_of_muller_and_brown_by_products(guess, place):
    found = theory.find_saddle(problems.MullerBrown(scale=1.0), jnp.asarray(guess))
    np.testing.assert_allclose(found.theta, place, atol=1e-6)
    assert found.eigenvalues[0] < 0 < found.eigenvalues[1]


def test_parameters_of_a_model():
    """A mean over examples with a dictionary of parameters: a double well in one, quadratic in 550."""

    def example_loss(theta, x, y):
        bowl = jnp.sum((theta["weights"] - 0.1 * x[0]) ** 2) * (1 + 0.5 * y * theta["gate"])
        return 0.25 * (theta["gate"] ** 2 - 1) ** 2 + 0.01 * bowl

    data = ss.data.Dataset(np.array([[-1.0], [1.0], [-1.0], [1.0]]), np.array([-1.0, -1.0, 1.0, 1.0]))
    start = {"gate": jnp.asarray(0.05), "weights": jnp.full((55, 10), 0.02)}
    found = theory.find_saddle(problems.from_loss(example_loss, data, init=lambda key: start), start)
    assert found.theta["weights"].shape == (55, 10)
    np.testing.assert_allclose(found.theta["gate"], 0, atol=1e-9)
    np.testing.assert_allclose(found.theta["weights"], 0, atol=1e-9)
    np.testing.assert_allclose(found.eigenvalues, [-1, 0.02, 0.02], rtol=1e-6)
    np.testing.assert_allclose(found.loss, 0.25 + 0.01 * 550 * 0.01, rtol=1e-6)


def test_guesses_among_many_parameters():
    problem, deep = problems.StyblinskiTang(501), jnp.full(501, -2.8)
    found = theory.find_saddle(problem, deep.at[3].set(0.2))
    np.testing.assert_allclose(np.abs(found.direction), np.eye(501)[3], atol=1e-5)
    np.testing.assert_allclose(found.eigenvalues, [-15.852612, 34.583059, 34.583059], rtol=1e-6)
    with refused(match=r"guess must lie near a saddle .* a minimum with eigenvalues"):
        theory.find_saddle(problem, deep)
    with refused(match="a saddle of index at least 2"):
        theory.find_saddle(problem, deep.at[:3].set(0.2))
    with refused(match="minimum must lie near a minimum"):
        theory.kramers(problem, HYPER, minimum=deep.at[0].set(0.2), saddle=deep, key=KEY)
    with refused(match=r"a minimum with eigenvalues \[1, 1, 1\]"):
        theory.find_saddle(problems.Quadratic(np.eye(501)), jnp.full(501, 0.1))
    flat = problems.Quadratic(np.diag(np.append(np.ones(500), 0.0)))
    with refused(match="a point with a flat direction"):
        theory.find_saddle(flat, jnp.full(501, 0.1))


def test_a_guess_from_which_whole_steps_lead_astray():
    """On ln cosh Newton's whole steps go further each time."""
    found = theory.find_saddle(Ridge(problems.Isotropic(1.0), "gaussian"), jnp.full(501, 1.5))
    np.testing.assert_allclose(found.theta, 0, atol=1e-9)
    np.testing.assert_allclose(found.eigenvalues, [-1, 1, 1], rtol=1e-9)


class Ridge(problems.AnalyticProblem):
    """Σ ln cosh θ_i, the first with a minus."""

    noise: problems.GradientNoise
    noise_law: str

    def init(self, key):
        del key
        return jnp.zeros(501)

    def loss(self, theta):
        parts = jnp.logaddexp(theta, -theta)
        return jnp.sum(parts) - 2 * parts[0]


class Slope(problems.AnalyticProblem):
    """Σ e^θ, which falls for ever."""

    noise: problems.GradientNoise
    noise_law: str

    def init(self, key):
        del key
        return jnp.zeros(501)

    def loss(self, theta):
        return jnp.sum(jnp.exp(theta))


def test_bad_input(monkeypatch):
    problem = problems.StyblinskiTang(501)
    deep = problem.minima()[0]
    with refused(match="key must be given for 501 parameters, got None"):
        theory.kramers(problem, HYPER, minimum=deep, saddle=deep.at[0].set(0.2))
    with refused(match="samples must be an integer >= 2, got 1"):
        theory.kramers(problem, HYPER, minimum=deep, saddle=deep, samples=1, key=KEY)
    with refused(match="products must be .* <= 501, the number of parameters, got 502"):
        theory.kramers(problem, HYPER, minimum=deep, saddle=deep, products=502, key=KEY)
    with refused(match="the search from there ends with a gradient of"):
        theory.find_saddle(Slope(problems.Isotropic(1.0), "gaussian"), jnp.zeros(501))
    monkeypatch.setattr(_root, "_RESTARTS", 1)
    crowded = turned(MANY)
    with refused(match="guess must lie near a stationary point that is not flat, .* do not settle"):
        theory.find_saddle(crowded, crowded.place(0.1))
