"""The power law of escape where the noise is 2LH, against quadrature on the line and a grid in the plane."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused
from scipy import sparse

import sde_sgd as ss

theory, problems = ss.theory, ss.problems
WIDE = {"well_curvature": 2.0, "barrier_curvature": 1.0}


class Raised(problems.AnalyticProblem):
    """floor + (x² − 1)²/4: h* = 2 in the wells and h_s = 1 at the top."""

    noise: problems.GradientNoise
    noise_law: str
    floor: jax.Array

    def init(self, key):
        del key
        return jnp.zeros(())

    def loss(self, theta):
        return self.floor + 0.25 * (theta * theta - 1) ** 2

    def minima(self):
        return jnp.asarray(-1.0), jnp.asarray(1.0)


def raised(floor):
    """With C = 2Lh*."""
    noise = problems.PositionDependent(lambda x: 4 * (floor + 0.25 * (x * x - 1) ** 2))
    return Raised(noise, "gaussian", jnp.asarray(floor))


def law(hyper, floor, **more):
    return theory.power_law_escape(hyper, minimum_loss=floor, saddle_loss=floor + 0.25, **WIDE, **more)


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_the_slope_and_the_constant_on_the_line(rate):
    """The slope of ln τ in ln(L_s/L*) is φ − ½ for any D as L* → 0, and the constant right to O(D)."""
    hyper = ss.Hyperparameters(rate, 4)
    floors = np.array([1e-4, 1e-5])
    times = [theory.mean_passage_time(raised(floor), hyper, target=1.0).time for floor in floors]
    predicted = [law(hyper, floor) for floor in floors]
    diffusion = rate * 2 / 4
    np.testing.assert_allclose(predicted[0].power, 1 / diffusion + 0.5, rtol=1e-6)
    slope = np.diff(np.log(times)) / np.diff(np.log(1 + 0.25 / floors))
    np.testing.assert_allclose(slope, predicted[0].power, atol=5e-5)
    np.testing.assert_allclose(times[1] / predicted[1].time, 1, atol=0.2 * diffusion)
    np.testing.assert_allclose(predicted[1].steps * rate, predicted[1].time, rtol=1e-6)


def test_the_stationary_law_is_a_power_of_the_loss():
    """On one well: ln P = −φ ln L + const, from the general law of Itô's SDE."""
    bowl = Bowl(problems.PositionDependent(lambda x: 2 * 3 * (0.1 + 1.5 * x * x)), "gaussian")
    hyper = ss.Hyperparameters(0.05, 4)
    found = theory.ito_density(bowl, hyper)
    x = np.array([0.0, 0.05, 0.1])
    powers = -np.diff(np.log(found.pdf(x))) / np.diff(np.log(0.1 + 1.5 * x * x))
    told = theory.power_law_escape(
        hyper, minimum_loss=0.1, saddle_loss=1.0, well_curvature=3.0, barrier_curvature=1.0
    )
    np.testing.assert_allclose(powers, told.density_power, rtol=1e-3)
    np.testing.assert_allclose(told.density_power, 1 + 4 / (0.05 * 3), rtol=1e-6)


class Bowl(problems.AnalyticProblem):
    noise: problems.GradientNoise
    noise_law: str

    def init(self, key):
        del key
        return jnp.zeros(())

    def loss(self, theta):
        return 0.1 + 1.5 * theta * theta


def about(centre, low, high, scale, count):
    """Points from low to high, closest at the centre."""
    ends = np.arcsinh((np.array([low, high]) - centre) / scale)
    return centre + scale * np.sinh(np.linspace(*ends, count))


def time_in_the_plane(diffusion, floor, count):
    """The mean time to x = 1 with L = floor + (x² − 1)²/4 + y² and noise 2DL, by finite volumes.

    The backward equation is L^φ ∇·(D L^{1 − φ} ∇τ) = −1: conductances between cells, and what a cell holds.
    """
    scale = np.sqrt(floor) / 2
    x, y = about(-1, -4, 1, scale, count), about(0, -3, 3, scale, count)

    def loss(x, y):
        return floor + 0.25 * (x * x - 1) ** 2 + y * y

    between_x, between_y = (0.5 * (axis[1:] + axis[:-1]) for axis in (x, y))
    wide, high = (np.diff([a[0], *b, a[-1]]) for a, b in ((x, between_x), (y, between_y)))
    held = loss(x[:, None], y) ** (-1 - 1 / diffusion) * wide[:, None] * high
    east = diffusion * loss(between_x[:, None], y) ** (-1 / diffusion) * high / np.diff(x)[:, None]
    north = diffusion * loss(x[:, None], between_y) ** (-1 / diffusion) * wide[:, None] / np.diff(y)
    number = np.arange(count**2).reshape(count, count)
    one = np.concatenate([number[:-1].ravel(), number[:, :-1].ravel()])
    other = np.concatenate([number[1:].ravel(), number[:, 1:].ravel()])
    flow = np.concatenate([east.ravel(), north.ravel()])
    rows, columns = np.concatenate([one, other, one, other]), np.concatenate([one, other, other, one])
    entries = np.concatenate([flow, flow, -flow, -flow])
    matrix = sparse.coo_array((entries, (rows, columns)), shape=(number.size,) * 2).tocsc()
    free = number[:-1].ravel()
    times = sparse.linalg.spsolve(matrix[free][:, free], held.ravel()[free])
    return times[number[np.abs(x + 1).argmin(), np.abs(y).argmin()]]


def test_two_dimensions():
    """n = 2 takes ½ more from the power; times by Richardson's rule from two grids."""

    def exact(diffusion, floor):
        coarse, fine = (time_in_the_plane(diffusion, floor, count) for count in (100, 200))
        assert abs(fine / coarse - 1) < 2e-3
        return (4 * fine - coarse) / 3

    hot, floors = ss.Hyperparameters(1.0, 4), np.array([1e-3, 1e-4])
    slope = np.diff(np.log([exact(0.5, floor) for floor in floors])) / np.diff(np.log(1 + 0.25 / floors))
    predicted = law(hot, 1e-3, dimension=2).power
    np.testing.assert_allclose(predicted, 2, rtol=1e-6)
    np.testing.assert_allclose(slope, predicted, atol=5e-3)
    for rate in (0.1, 0.2):
        cold = law(ss.Hyperparameters(rate, 4), 0.1, dimension=2).time
        np.testing.assert_allclose(exact(rate / 2, 0.1) / cold, 1, atol=0.2 * rate / 2)


def test_momentum_is_in_the_rate():
    one = law(ss.Hyperparameters(0.2, 4), 0.01)
    other = law(ss.Hyperparameters(0.1, 4, momentum=0.5), 0.01)
    np.testing.assert_allclose([other.time, other.steps], [one.time, one.steps], rtol=1e-5)


def test_bad_input():
    hyper = ss.Hyperparameters(0.5, 4)
    with refused(match="minimum_loss must be finite and > 0, got 0"):
        law(hyper, 0.0)
    with refused(match="saddle_loss must be finite and > 0.5, got 0.4"):
        theory.power_law_escape(hyper, minimum_loss=0.5, saddle_loss=0.4, **WIDE)
    with refused(match=r"dimension must be < 2 \(1 \+ B/\(η'h\*\)\) = 10, got 10: .* tails hold it all"):
        law(hyper, 0.01, dimension=10)
    assert law(hyper, 0.01, dimension=9).power == pytest.approx(0.5)
    with refused(match="hyper must be Hyperparameters"):
        law(0.1, 0.01)
