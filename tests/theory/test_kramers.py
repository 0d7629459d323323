"""Eyring-Kramers in one and more dimensions, and the saddles it needs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused
from scipy import optimize

import sde_sgd as ss

theory, problems = ss.theory, ss.problems
HYPER = ss.Hyperparameters(0.1, 4)


def noise_of(diffusion):
    """σ² that makes D what it should be."""
    return 2 * diffusion * 4 / 0.1


def two_wells(diffusion, across=3.0):
    """(x² − 1)²/4 along the first axis and across·y²/2 along the second."""
    return TwoWells(problems.Isotropic(noise_of(diffusion)), "gaussian", across)


class TwoWells(problems.AnalyticProblem):
    noise: problems.GradientNoise
    noise_law: str
    across: float

    def init(self, key):
        del key
        return jnp.zeros(2)

    def loss(self, theta):
        return 0.25 * (theta[0] ** 2 - 1) ** 2 + 0.5 * self.across * theta[1] ** 2 * (2 - theta[0] ** 2)


class Staircase(problems.AnalyticProblem):
    """A top at 0 lies lower than the well at 3."""

    noise: problems.GradientNoise
    noise_law: str

    def init(self, key):
        del key
        return jnp.zeros(())

    def loss(self, theta):
        return jnp.cos(2 * jnp.pi * theta / 2) + 2.0 * theta


def test_the_double_well():
    """2π/√(2·1) e^{1/(4D)}, which the exact time is 1.02 times of at D = .01."""
    problem = problems.DoubleWell(noise_variance=noise_of(0.01))
    found = theory.kramers(problem, HYPER, minimum=-0.9, saddle=0.1)
    np.testing.assert_allclose(found.prefactor, np.sqrt(2) * np.pi, rtol=1e-12)
    np.testing.assert_allclose(found.exponent, 25, rtol=1e-6)
    np.testing.assert_allclose(
        [found.time, found.steps], np.pi * 2**0.5 * np.exp(25) * np.array([1, 10]), rtol=1e-5
    )
    exact = theory.mean_passage_time(problem, HYPER, target=1)
    assert round(exact.time / found.time, 2) == 1.02


def test_a_wider_pass_in_the_plane():
    """det H_a = 2·3 and det H_b = −1·6: the saddle is √2 narrower than on the line with the well as it is."""
    found = theory.kramers(
        two_wells(0.02), HYPER, minimum=jnp.asarray([-1.1, 0.1]), saddle=jnp.asarray([0.1, 0.1])
    )
    np.testing.assert_allclose(found.prefactor, 2 * np.pi * np.sqrt(6 / 6), rtol=1e-12)
    np.testing.assert_allclose(found.minimum.eigenvalues, [2, 3], rtol=1e-12)
    np.testing.assert_allclose(found.saddle.eigenvalues, [-1, 6], rtol=1e-12)
    np.testing.assert_allclose(found.saddle.theta, [0, 0], atol=1e-12)


def test_momentum_and_batches():
    problem = problems.DoubleWell(noise_variance=noise_of(0.02))
    plain = theory.kramers(problem, HYPER, minimum=-1.0, saddle=0.0)
    heavy = theory.kramers(problem, HYPER.matching(momentum=0.5), minimum=-1.0, saddle=0.0)
    np.testing.assert_allclose([heavy.time, heavy.steps], [plain.time, plain.steps], rtol=1e-5)
    larger = theory.kramers(problem, ss.Hyperparameters(0.1, 8), minimum=-1.0, saddle=0.0)
    np.testing.assert_allclose(larger.exponent, 2 * plain.exponent, rtol=1e-6)
    np.testing.assert_allclose(larger.prefactor, plain.prefactor, rtol=1e-6)


@pytest.mark.parametrize(
    ("guess", "place", "loss"),
    [((-0.8, 0.6), (-0.822002, 0.624313), -40.6648), ((0.2, 0.3), (0.212487, 0.292988), -72.2489)],
)
def test_the_saddles_of_muller_and_brown(guess, place, loss):
    """As they are printed (Müller & Brown 1979), and curvatures by finite differences."""
    problem = problems.MullerBrown(scale=1.0)
    found = theory.find_saddle(problem, jnp.asarray(guess))
    np.testing.assert_allclose(found.theta, place, atol=1e-6)
    np.testing.assert_allclose(found.loss, loss, atol=1e-4)
    with jax.enable_x64(True):
        exact = problems.MullerBrown(scale=1.0)
        gradient = jax.jit(exact.gradient)
        hessian = optimize.approx_fprime(
            np.asarray(found.theta), lambda x: np.asarray(gradient(jnp.asarray(x))), 1e-6
        )
    np.testing.assert_allclose(np.linalg.eigvalsh((hessian + hessian.T) / 2), found.eigenvalues, rtol=1e-3)


def test_styblinski_and_tang():
    """One coordinate goes over its top at .156731 and the others wait: they drop out."""
    times = []
    for dimension in (1, 3):
        problem = problems.StyblinskiTang(dimension, noise_variance=noise_of(5.0))
        minimum = problem.minima()[0]
        times.append(theory.kramers(problem, HYPER, minimum=minimum, saddle=minimum.at[0].set(0.2)))
    np.testing.assert_allclose(times[0].time, times[1].time, rtol=1e-9)
    np.testing.assert_allclose(times[1].saddle.theta, [0.156731, -2.903534, -2.903534], atol=1e-6)
    np.testing.assert_allclose(np.abs(times[1].saddle.direction), [1, 0, 0], atol=1e-9)
    assert times[1].standard_error == 0
    found = theory.find_saddle(problem, minimum.at[0].set(0.2))
    again = theory.kramers(problem, HYPER, minimum=times[1].minimum, saddle=found)
    np.testing.assert_allclose(again.time, times[1].time, rtol=1e-9)
    with refused(match="minimum must lie near a minimum"):
        theory.kramers(problem, HYPER, minimum=found, saddle=found)


def test_guesses_that_end_elsewhere():
    problem = problems.StyblinskiTang(2)
    with refused(match=r"guess must lie near a saddle .* a minimum with eigenvalues \[34\.58, 34\.58\]"):
        theory.find_saddle(problem, jnp.asarray([-2.8, -2.8]))
    with refused(match=r"a saddle of index 2 with eigenvalues \[-15\.85, -15\.85\]"):
        theory.find_saddle(problem, jnp.asarray([0.2, 0.2]))
    with refused(match=r"minimum must lie near a minimum, got \[0\.2, -2\.8\]"):
        theory.kramers(problem, HYPER, minimum=jnp.asarray([0.2, -2.8]), saddle=jnp.asarray([0.2, -2.9]))
    with refused(match="a point with a flat direction"):
        theory.find_saddle(problems.Quadratic([[1.0, 0.0], [0.0, 0.0]]), jnp.asarray([0.1, 0.0]))


def test_bad_input():
    with refused(match="saddle must be higher than minimum"):
        theory.kramers(Staircase(problems.Isotropic(1.0), "gaussian"), HYPER, minimum=3.25, saddle=0.2)
    with refused(match="noise_variance must be > 0 for an escape"):
        theory.kramers(problems.DoubleWell(noise_variance=0.0), HYPER, minimum=-1.0, saddle=0.0)
    with refused(match="not isotropic and constant", error=ss.problems.NotKnownError):
        noise = problems.PositionDependent(lambda x: 1 + x * x)
        theory.kramers(problems.DoubleWell(noise=noise), HYPER, minimum=-1.0, saddle=0.0)
    with refused(match="guess must"):
        theory.find_saddle(problems.DoubleWell(), jnp.asarray([0.1, 0.2]))
