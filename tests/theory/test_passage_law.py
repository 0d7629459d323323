"""The whole law of first-passage times, against small chains by hand and the mean by quadrature."""

import functools

import numpy as np
import pytest
from helpers import refused
from scipy import integrate, linalg

import sde_sgd as ss
from sde_sgd.theory._escape._birth_death import passage_moments, slowest_rate
from sde_sgd.theory._escape._passage_law import _extrapolated, _modes

theory, problems = ss.theory, ss.problems
HYPER = ss.Hyperparameters(0.1, 4)


def well(diffusion, **options):
    return problems.DoubleWell(noise_variance=2 * diffusion * 4 / 0.1, **options)


def growing(x):
    return 20 * (1 + 0.5 * x * x)


@functools.cache
def law(diffusion):
    return theory.passage_law(well(diffusion), HYPER, target=1)


def a_chain(size=9):
    """Rates up and down, and the matrix with which survivors evolve."""
    rng = np.random.default_rng(0)
    up, down = rng.uniform(0.5, 2, (2, size))
    down[0] = 0.0
    Q = np.diag(-(up + down)) + np.diag(up[:-1], -1) + np.diag(down[1:], 1)
    return up, down, Q


def test_a_small_chain():
    """Moments by linear algebra, the slowest rate as an eigenvalue, survivors by the exponential."""
    up, down, Q = a_chain()
    start = np.eye(9)[3]
    spent = np.linalg.solve(-Q, start)
    mean, variance = passage_moments(up, down, 3)
    np.testing.assert_allclose(mean, spent.sum(), rtol=1e-12)
    np.testing.assert_allclose(variance, 2 * np.linalg.solve(-Q, spent).sum() - mean**2, rtol=1e-11)
    np.testing.assert_allclose(slowest_rate(up, down), -np.linalg.eigvals(Q).real.max(), rtol=1e-11)
    decays, weights = _modes(up, down, 3)
    for time in (0.0, 1.0, 30.0):
        left = (linalg.expm(Q * time) @ start).sum()
        np.testing.assert_allclose(np.exp(-decays * time) @ weights, left, rtol=1e-11)


def test_a_chain_that_hardly_ever_passes():
    """Rates that differ by 10¹² a step: h_i = Σ_j ∏ d/u, all of it known to rounding."""
    up, down = np.full(6, 1e-6), np.full(6, 1e6)
    down[0] = 0.0
    mean, variance = passage_moments(up, down, 0)
    expected = sum(1e6 * sum(1e12**k for k in range(i + 1)) for i in range(6))
    np.testing.assert_allclose([mean, variance**0.5], expected, rtol=1e-10)
    np.testing.assert_allclose(slowest_rate(up, down), 1 / expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("problem", "options"),
    [
        (well(0.2), {"target": 1}),
        (well(0.01), {"target": -1}),
        (problems.DoubleWell(noise=problems.PositionDependent(growing)), {"target": 0.7, "start": -0.9}),
        (problems.MatchedParabolas(noise_variance=20.0), {"target": 2}),
    ],
)
def test_the_mean_is_that_of_the_quadrature(problem, options):
    found = theory.passage_law(problem, HYPER, **options)
    exact = theory.mean_passage_time(problem, HYPER, **options)
    np.testing.assert_allclose([found.time, found.steps], [exact.time, exact.steps], rtol=1e-6)
    assert abs(found.time / exact.time - 1) <= found.error
    assert (found.start, found.target) == (exact.start, exact.target)


def test_errors_of_second_order_are_taken_out():
    found, error = _extrapolated([2.0 + np.array([0.3, 0.5]) * width**2 for width in (1, 0.5, 0.25)])
    np.testing.assert_allclose(found, 2, rtol=1e-14)
    assert error < 1e-14


@pytest.mark.script
def test_noise_that_jumps_says_its_error():
    noise = problems.PositionDependent(lambda x: 20.0 * (1 + 2.0 * (x > -0.3)))
    problem = problems.DoubleWell(noise=noise)
    found = theory.passage_law(problem, HYPER, target=1)
    exact = theory.mean_passage_time(problem, HYPER, target=1)
    assert abs(found.time / exact.time - 1) < 3 * found.error < 1e-4


def test_survivors():
    """S(0) = 1, ∫S = τ, ∫t·S = E t²/2, density = −dS/dt; late ones go at the quasi-stationary rate."""
    found = law(0.1)
    assert found.survival(0.0) == pytest.approx(1, abs=1e-9)
    t = np.linspace(0, 60 * found.time, 60_001)
    left = found.survival(t)
    np.testing.assert_allclose(integrate.simpson(left, x=t), found.time, rtol=1e-6)
    second = 2 * integrate.simpson(t * left, x=t)
    np.testing.assert_allclose(np.sqrt(second / found.time**2 - 1), found.cv, rtol=1e-4)
    np.testing.assert_allclose(-np.gradient(left, t)[1:-1], found.density(t)[1:-1], atol=2e-4)
    late = found.survival([10 * found.time, 11 * found.time])
    np.testing.assert_allclose(np.log(late[0] / late[1]) / found.time, found.rate, rtol=1e-5)
    assert found.density(0.0) < 1e-6
    assert found.survival(np.ones((2, 3))).shape == (2, 3)


def test_the_deeper_the_more_exponential():
    exponential = [abs(law(diffusion).rate * law(diffusion).time - 1) for diffusion in (0.1, 0.05, 0.025)]
    assert exponential[0] > 5 * exponential[1] > 25 * exponential[2]
    assert 0.9 < law(0.1).cv < law(0.05).cv < law(0.025).cv < 1


def test_two_rates_of_escape_make_the_relaxation():
    """1/λ₁ of Fokker-Planck is 1/(k₀ + k₁); a visit of the other minimum counts both directions: τ = 1/k."""
    relaxation = theory.relaxation_time(well(0.025), HYPER)
    np.testing.assert_allclose(2 * relaxation, law(0.025).time, rtol=2e-3)


def test_bad_input():
    with refused(match="target must lie beyond a barrier, got -2"):
        theory.passage_law(well(0.1), HYPER, target=-2)
    with refused(match="noise must be > 0 on the way"):
        theory.passage_law(problems.DoubleWell(noise_variance=0.0), HYPER, target=1)
    with refused(match=r"target must not lie so deep, got 1\.1"):
        theory.passage_law(well(0.01, tilt=-0.3), HYPER, target=1.1)
    with refused(match="passage_law is for problems with one parameter"):
        theory.passage_law(problems.StyblinskiTang(), HYPER, target=1)
    with refused(match="times must be finite and >= 0, got -1"):
        law(0.1).survival(-1.0)
