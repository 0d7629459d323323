"""The mean first-passage time of the SDE, against closed forms, nested quadrature and its own scaling."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused
from scipy import integrate, special

import sde_sgd as ss

theory, problems = ss.theory, ss.problems
HYPER = ss.Hyperparameters(0.1, 4)


def well(diffusion, **options):
    """The double well with noise that makes D what it should be."""
    return problems.DoubleWell(noise_variance=2 * diffusion * 4 / 0.1, **options)


def kramers_time(diffusion):
    """2π/√(2·1) · e^{1/(4D)}."""
    return np.pi * 2**0.5 * np.exp(0.25 / diffusion)


def growing(x):
    return 1 + 0.5 * x * x


def jumping(x):
    return jnp.where(x < -0.3, 1.0, 3.0)


@pytest.mark.parametrize(("diffusion", "ratio"), [(0.05, 1.11), (0.03, 1.05), (0.02, 1.03), (0.01, 1.02)])
def test_the_double_well_beside_kramers(diffusion, ratio):
    for start, target in ((-1, 1), (1, -1)):
        found = theory.mean_passage_time(well(diffusion), HYPER, target=target)
        assert round(found.time / kramers_time(diffusion), 2) == ratio
        assert (found.start, found.target) == (start, target)
        assert found.error < 1e-8
        np.testing.assert_allclose(found.steps, found.time / 0.1, rtol=1e-7)


def test_the_correction_to_kramers_is_of_first_order():
    """On L = (x² − 1)²/4 the ratio is 1 + 3D/2 + O(D²): Laplace's method to the next order on both sides.

    At the minimum (L'' = 2, L''' = 6, L⁗ = 6) it adds D(5·36/(24·8) − 6/(8·4)) = 3D/4, and at the top
    (L'' = −1, L⁗ = 6) D·6/8 = 3D/4.
    """
    for diffusion in (2e-3, 1e-3):
        ratio = theory.mean_passage_time(well(diffusion), HYPER, target=1).time / kramers_time(diffusion)
        np.testing.assert_allclose((ratio - 1) / diffusion, 1.5, atol=10 * diffusion)


@pytest.mark.parametrize("variance", [growing, jumping])
def test_noise_of_the_position_by_nested_quadrature(variance):
    """τ = ∫∫ by sums over 3800 cells, cut where the noise jumps."""
    problem = problems.DoubleWell(noise=problems.PositionDependent(variance))
    hyper = ss.Hyperparameters(0.25, 2)
    found = theory.mean_passage_time(problem, hyper, target=0.8, start=-0.9)

    def diffusion(x):
        return 0.25 / 4 * float(variance(x))

    x = np.concatenate([np.linspace(-3, -0.3, 2701), np.linspace(-0.3, 0.8, 1101)[1:]])
    inside = (x[:-1] + x[1:]) / 2
    D = np.array([diffusion(at) for at in inside])
    exponent = np.concatenate([[0.0], np.cumsum(np.diff((x**2 - 1) ** 2 / 4) / D)])
    middle = (exponent[:-1] + exponent[1:]) / 2
    weight = np.exp(-middle) / D * np.diff(x)
    inner = np.cumsum(weight) - 0.5 * weight
    outer = np.exp(middle) * np.diff(x)
    expected = (outer * inner)[inside > -0.9].sum()
    np.testing.assert_allclose(found.time, expected, rtol=2e-5)


def test_a_slope_beyond_the_top_by_scipy():
    """A cusp of slopes ∓1, well and barrier both: Φ = |x|/D below x = 1, mirrored there; by dblquad."""

    def exponent(x):
        return abs(x) / 0.2 if x < 1 else (2 - x) / 0.2

    def inner(y):
        breaks = [0, 1] if y > 1 else [0]
        return integrate.quad(lambda z: np.exp(-exponent(z)) / 0.2, -8, y, points=breaks)[0]

    expected = sum(
        integrate.quad(lambda y: np.exp(exponent(y)) * inner(y), *ends)[0] for ends in ((0, 1), (1, 1.5))
    )
    hyper = ss.Hyperparameters(0.5, 1)
    found = theory.mean_passage_time(Cusp(problems.Isotropic(0.8)), hyper, target=1.5, start=0.0)
    np.testing.assert_allclose(found.time, expected, rtol=1e-6)


class Cusp(problems.AnalyticProblem):
    noise: problems.GradientNoise
    noise_law: str = eqx.field(static=True, default="gaussian")

    def init(self, key):
        del key
        return jnp.zeros(())

    def loss(self, theta):
        return jnp.where(theta < 1, jnp.abs(theta), 2 - theta)


class Falling(Cusp):
    """A parabola of curvature H_a that goes over into one of −H_b with its top at 1, and falls for ever."""

    curvatures: tuple[float, float] = eqx.field(static=True, default=(1.0, 1.0))

    def loss(self, theta):
        a, b = self.curvatures
        s = b / (a + b)
        barrier = 0.5 * a * s - 0.5 * b * (theta - 1) ** 2
        return jnp.where(theta < s, 0.5 * a * theta**2, barrier)


@pytest.mark.parametrize(
    ("curvatures", "time"), [((4.0, 1.0), 66.2), ((1.0, 3.0), 133.5), ((1.0, 1.0), 81.3)]
)
def test_parabolas_with_noise_of_their_curvature(curvatures, time):
    """C = |H| in each part, η/B = .2, down the far side to 3.6 times the way to the top."""
    a, b = curvatures
    noise = problems.PositionDependent(lambda x: jnp.where(x < b / (a + b), a, b))
    problem = Falling(noise, curvatures=curvatures)
    found = theory.mean_passage_time(problem, ss.Hyperparameters(0.4, 2), target=3.6, start=0)
    assert round(found.time, 1) == time


def test_a_parabola_up_and_down_in_closed_form():
    """MatchedParabolas at constant D, from −∞ to the top: the error function; and the way on by symmetry.

    From one minimum to the other: the law is symmetric about the top, so that the inner integrals at y and
    2b − y add up to the whole, twice that of one well.
    """
    problem = problems.MatchedParabolas(noise_variance=0.5)
    found = theory.mean_passage_time(problem, ss.Hyperparameters(0.2, 1), target=problem.minima()[1])
    D, top, s, height = 0.05, 1.0, 0.5, 0.25
    climb = integrate.quad(lambda x: np.exp(0.5 * x * x / D), 0, s)[0]
    climb += np.exp(height / D) * np.sqrt(np.pi * D / 2) * special.erf((top - s) / np.sqrt(2 * D))
    well_mass = np.sqrt(np.pi * D / 2) * (1 + special.erf(s / np.sqrt(2 * D)))
    well_mass += integrate.quad(lambda x: np.exp(-(height - 0.5 * (x - top) ** 2) / D), s, top)[0]
    np.testing.assert_allclose(found.time, 2 * climb * well_mass / D, rtol=1e-6)


def test_white_noise_and_stretched_losses():
    """τ(L(√k θ)) = τ/k exactly at the same D."""
    k = 4.0
    hyper = ss.Hyperparameters(0.2, 1)
    wide = problems.MatchedParabolas(noise_variance=0.5)
    narrow = problems.MatchedParabolas(well_curvature=k, barrier_curvature=k, noise_variance=0.5)
    times = [theory.mean_passage_time(one, hyper, target=one.minima()[1]).time for one in (wide, narrow)]
    np.testing.assert_allclose(times[0] / times[1], k, rtol=1e-7)


def test_momentum_is_in_the_clock_and_in_the_temperature():
    plain = theory.mean_passage_time(well(0.05), HYPER, target=1)
    heavy = theory.mean_passage_time(well(0.05), HYPER.matching(momentum=0.5), target=1)
    np.testing.assert_allclose(heavy.time, plain.time, rtol=1e-5)
    np.testing.assert_allclose(heavy.steps, plain.steps, rtol=1e-5)
    faster = theory.mean_passage_time(well(0.025), ss.Hyperparameters(0.1, 4, momentum=0.5), target=1)
    np.testing.assert_allclose(faster.time, plain.time, rtol=1e-5)
    np.testing.assert_allclose(faster.steps, plain.steps / 2, rtol=1e-5)


def test_high_barriers_and_what_a_float_holds():
    """e^125 is a number like any other; e^2500 is not."""
    found = theory.mean_passage_time(well(2e-3), HYPER, target=1)
    np.testing.assert_allclose(found.time / kramers_time(2e-3), 1.003, atol=1e-4)
    with refused(match=r"e\^2501, more than a float"):
        theory.mean_passage_time(well(1e-4), HYPER, target=1)


def test_noise_that_vanishes_on_a_slope_lets_nothing_pass():
    """C = |L''| taken literally; a floor makes a time of it."""

    def curvature(x):
        return jnp.abs(3 * x * x - 1)

    literal = problems.DoubleWell(noise=problems.PositionDependent(curvature))
    with refused(match=r"near -?0\.57735, where the variance of the gradient noise is"):
        theory.mean_passage_time(literal, HYPER, target=1)
    floored = problems.PositionDependent(lambda x: jnp.maximum(curvature(x), 0.1))
    found = theory.mean_passage_time(problems.DoubleWell(noise=floored), ss.Hyperparameters(0.1, 1), target=1)
    assert np.isfinite(found.time)


def test_where_a_passage_starts():
    """At the nearest minimum that a barrier parts from the target."""
    assert theory.mean_passage_time(well(0.1), HYPER, target=0.5).start == -1
    assert theory.mean_passage_time(well(0.1), HYPER, target=-0.5).start == 1
    with refused(match="inside the basin of start, on the wrong side"):
        theory.mean_passage_time(well(0.1), HYPER, target=-0.5, start=-1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": -2, "start": -1}, "target must lie beyond a barrier, got -2"),
        ({"target": 0.0, "start": -1}, "target must lie beyond a barrier, got 0"),
        ({"target": 1, "start": 0.0}, "start must lie below a barrier, got 0"),
        ({"target": 1, "start": 1.0}, "target must differ from start, got 1"),
        ({"target": [1.0, 2.0]}, "target must be one number"),
        ({"target": float("nan")}, "target must be finite"),
        ({"target": 1, "start": "left"}, "start must be"),
    ],
)
def test_bad_points(options, message):
    with refused(match=message):
        theory.mean_passage_time(well(0.1), HYPER, **options)


def test_bad_problems():
    with refused(match=r"noise must be > 0 on the way from -1 to 1, but vanishes at -1"):
        theory.mean_passage_time(problems.DoubleWell(noise_variance=0.0), HYPER, target=1)
    with refused(match="is for problems with one parameter; StyblinskiTang has 2"):
        theory.mean_passage_time(problems.StyblinskiTang(), HYPER, target=1)
    with refused(match="target must lie beyond a barrier, got 1"):
        theory.mean_passage_time(problems.Quadratic(1.0), HYPER, target=1)
    with refused(match="cannot be normalised"):
        flat = Falling(problems.Isotropic(1.0))
        theory.mean_passage_time(Mirrored(flat.noise), HYPER, target=-1, start=1.5)
    with refused(match="one learning_rate"):
        theory.mean_passage_time(well(0.1), ss.Hyperparameters([0.1, 0.2], 4), target=1)


class Mirrored(Cusp):
    """Well at 1.5 under a top at 0, and down again from 3 on without end."""

    def loss(self, theta):
        return jnp.cos(2 * jnp.pi * theta / 3) - 0.1 * jnp.maximum(theta - 3, 0.0)
