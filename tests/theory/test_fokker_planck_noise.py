"""The Fokker-Planck solver where noise is not isotropic, against closed forms."""

import jax.numpy as jnp
import numpy as np
from helpers import refused
from scipy import linalg
from transients import HYPER, MOMENTS, TIMES, faults, growing, ornstein_uhlenbeck, wandering

import sde_sgd as ss


def test_noise_that_grows_with_the_distance():
    """L = x²/2, C = 1 + x², r = η/B: d⟨x²⟩/dt = −(2 − r)⟨x²⟩ + r in Itô's sense, settling in a Student-t.

    The fixed point is (1 + x²)^{−1−1/r}. In Stratonovich's sense ⟨x²⟩ would settle at r/(2 − 2r).
    """
    problem = ss.problems.Quadratic(1.0, noise=ss.problems.PositionDependent(growing))
    found = ss.theory.fokker_planck(problem, HYPER, initial=1.0, times=TIMES, bounds=(-9, 9), cells=600)
    assert not faults(found.probabilities)
    (x,), r = found.generator.grid.axes, float(HYPER.ratio)
    rest = r / (2 - r)
    exact = rest + (1 - rest) * np.exp(-(2 - r) * found.times)
    h = found.generator.grid.widths[0]
    np.testing.assert_allclose(found.probabilities @ x**2, exact, atol=h**2)
    np.testing.assert_allclose(found.probabilities @ x, np.exp(-found.times), atol=h**2)
    weights = (1 + x**2) ** (-1 - 1 / r)
    np.testing.assert_allclose(found.generator.stationary(), weights / weights.sum(), rtol=1e-9)
    assert wandering(found, weights / weights.sum()) < 1e-9
    stratonovich = (1 + x**2) ** (-0.5 - 1 / r)
    assert wandering(found, stratonovich / stratonovich.sum()) > 1e-2


def test_noise_of_real_data():
    """Regression of one weight on 64 examples: C(θ) is a parabola, so that ⟨θ⟩ and ⟨θ²⟩ obey linear ODEs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=64).astype(np.float32).astype(np.float64)
    y = (0.5 * x + rng.normal(size=64)).astype(np.float32).astype(np.float64)
    data = ss.data.Dataset(x[:, None], y)
    problem = ss.problems.from_loss(residual, data, init=zero)
    hyper = ss.Hyperparameters(0.1, batch_size=2)
    found = ss.theory.fokker_planck(problem, hyper, initial=1.5, times=TIMES, bounds=(-2, 4), cells=600)
    assert not faults(found.probabilities)
    r, h, g = float(hyper.ratio), (x * x).mean(), (x * y).mean()
    square, cross, rest = np.cov(np.stack([x * x, x * y]), bias=True)[[0, 0, 1], [0, 1, 1]]
    # d/dt of (1, ⟨θ⟩, ⟨θ²⟩) with C(θ) = rest − 2 cross θ + square θ²
    rates = np.array([[0, 0, 0], [g, -h, 0], [r * rest, 2 * g - 2 * r * cross, r * square - 2 * h]])
    (centres,), width = found.generator.grid.axes, found.generator.grid.widths[0]
    # fitted fluxes add (L'h)²/(12 D) to D: at most so much, for as long as a deviation lasts
    added = (h * 1.5 - g) ** 2 / (6 * r * (rest - cross**2 / square)) * width**2
    for time, law in zip(TIMES, found.probabilities, strict=True):
        _, mean, second = linalg.expm(rates * time) @ [1, 1.5, 1.5**2]
        np.testing.assert_allclose([law @ centres, law @ centres**2], [mean, second], atol=added / h)


def residual(theta, inputs, target):
    return 0.5 * (inputs[0] * theta - target) ** 2


def zero(key):
    del key
    return jnp.zeros(())


def test_noise_that_differs_between_the_axes():
    """Ornstein-Uhlenbeck with C = diag(2, ½) and coupled axes: a current flows and there is no Gibbs law."""
    H = np.array([[2.0, 0.6], [0.6, 1.0]])
    problem = ss.problems.Quadratic(H, noise=ss.problems.Diagonal([2.0, 0.5]))
    H = np.asarray(problem.matrix, np.float64)
    mean = np.array([0.4, -0.5])
    found = ss.theory.fokker_planck(
        problem, HYPER, initial=mean, std=0.25, times=MOMENTS, bounds=((-2.4, 2.4), (-2.7, 2.7)), cells=120
    )
    assert not faults(found.probabilities)
    X, h = found.generator.grid.points(), found.generator.grid.widths.max()
    for time, law in zip(found.times, found.probabilities, strict=True):
        centre, covariance = ornstein_uhlenbeck(H, mean, 0.25**2, time, np.diag([0.2, 0.05]))
        np.testing.assert_allclose(np.einsum("ij,ijk", law, X), centre, atol=h**2)
        np.testing.assert_allclose(
            np.einsum("ij,ijk,ijl", law, X - centre, X - centre), covariance, atol=h**2
        )
    stationary = found.generator.stationary()
    assert wandering(found, stationary) < 1e-9
    _, covariance = ornstein_uhlenbeck(H, mean, 0.0, 100.0, np.diag([0.2, 0.05]))
    np.testing.assert_allclose(np.einsum("ij,ijk,ijl", stationary, X, X), covariance, atol=h**2)
    with refused(match="only where the noise is isotropic"):
        found.generator.slowest_rate()
