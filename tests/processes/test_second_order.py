"""The second-order SDE: its coefficients against the algebra, its weak error against SGD.

The weak errors share their noise, so that 10⁴ to 10⁵ paths are enough; their standard errors are
those of independent antithetic pairs.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import bound, float64, quick_jit, refused, regression_data

import sde_sgd as ss
from sde_sgd.simulation import _program
from sde_sgd.validity import weak_error

RATES = (2.0**-3, 2.0**-4, 2.0**-5)
SECOND = partial(ss.SecondOrderLangevin, substeps=8)
CORRECTED = partial(ss.SecondOrderLangevin, substeps=8, fixed="ratio")


class Ripple(ss.problems.AnalyticProblem):
    """∇L = x + ½ sin 2x."""

    noise: ss.problems.GradientNoise
    noise_law: str = eqx.field(static=True)

    def __init__(self, noise_variance=1.0):
        self.noise = ss.problems.Isotropic(noise_variance)
        self.noise_law = "gaussian"

    def init(self, key):
        return jnp.full((), 1.5)

    def loss(self, x):
        return 0.5 * x * x - 0.25 * jnp.cos(2 * x)


class Bowl(ss.problems.AnalyticProblem):
    """A loss in the plane of which no derivative is constant, with noise along and across."""

    noise: ss.problems.GradientNoise
    noise_law: str = eqx.field(static=True)

    def __init__(self):
        self.noise = ss.problems.Full([[1.0, 0.4], [0.4, 0.5]])
        self.noise_law = "gaussian"

    def init(self, key):
        return jnp.asarray([1.0, -0.5], dtype=float)

    def loss(self, x):
        return 0.5 * jnp.sum(x * x) + 0.3 * jnp.sin(x[0] + 2 * x[1]) + 0.25 * x[0] ** 2 * x[1] ** 2


def identity(x):
    return x


def square(x):
    return x * x


BOTH = {"x": identity, "x²": square}


def slope(errors, number):
    """The slope of ln |error| over ln η, and its standard error."""
    x = np.log([error.learning_rate for error in errors])
    x = x - x.mean()
    values = np.asarray([error.value[number] for error in errors])
    relative = np.asarray([error.standard_error[number] for error in errors]) / values
    return float(x @ np.log(np.abs(values)) / (x @ x)), float(np.sqrt((x**2) @ relative**2) / (x @ x))


def fixed_batch(process, rates=RATES, chains=20_000):
    return [
        weak_error(
            Ripple(), ss.Hyperparameters(rate), time=1.0, process=process, observables=BOTH, chains=chains,
            key=jax.random.key(3),
        )
        for rate in rates
    ]  # fmt: skip


def fixed_ratio(process, rates=RATES, chains=60_000):
    """T = ησ²/B = 1 throughout. σ² grows in place of 1/B, which is the same for Gaussian noise."""
    return [
        weak_error(
            Ripple(1 / rate), ss.Hyperparameters(rate), time=1.0, process=process,
            observables=BOTH, chains=chains, key=jax.random.key(4),
        )
        for rate in rates
    ]  # fmt: skip


@pytest.mark.script
def test_first_order_has_slope_one():
    """f = x at η = 2⁻³..2⁻⁵; f = x² two octaves on (its two leading terms have opposite signs)."""
    errors = fixed_batch(None)
    value, error = slope(errors, 0)
    assert abs(value - 1) < 0.1 - bound() * error
    smaller = fixed_batch(None, (2.0**-5, 2.0**-6, 2.0**-7), 10_000)
    for number in (0, 1):
        value, error = slope(smaller, number)
        assert abs(value - 1) < 0.1 - bound() * error


@pytest.mark.script
def test_second_order_has_slope_two_at_fixed_batch_size():
    errors = fixed_batch(SECOND, chains=60_000)
    for number in (0, 1):
        value, error = slope(errors, number)
        assert abs(value - 2) < 0.15 - bound() * error


@pytest.mark.script
def test_planted_half_of_the_correction_has_slope_one(monkeypatch):
    """(η/8)|∇L|² in place of (η/4)|∇L|²."""
    right = ss.SecondOrderLangevin._hessian_product
    monkeypatch.setattr(_program, "_PROGRAMS", type(_program._PROGRAMS)())
    monkeypatch.setattr(
        ss.SecondOrderLangevin, "_hessian_product", lambda self, at, v: 0.5 * right(self, at, v)
    )
    value, error = slope(fixed_batch(SECOND, chains=5_000), 0)
    assert value + bound() * error < 1.5


@pytest.mark.script
def test_at_fixed_ratio_the_corrected_form_alone_is_ten_times_better():
    first, plain, corrected = (fixed_ratio(process, RATES[2:])[0] for process in (None, SECOND, CORRECTED))
    for number in (0, 1):
        limit = bound(4)
        none = abs(first.value[number]) - limit * first.standard_error[number]
        assert abs(corrected.value[number]) + limit * corrected.standard_error[number] < none / 10
        # for x² it is worse than no correction
        assert abs(plain.value[number]) - limit * plain.standard_error[number] > none / 10
    assert abs(plain.value[1]) > 2 * abs(first.value[1])


@pytest.mark.script
def test_corrected_form_has_slope_two_at_fixed_ratio():
    value, error = slope(fixed_ratio(CORRECTED), 0)
    assert error < 0.06
    assert abs(value - 2) < bound() * error
    plain, plain_error = slope(fixed_ratio(SECOND, chains=20_000), 0)
    assert plain + bound() * plain_error < 1.5


@pytest.mark.script
def test_in_the_plane_with_any_additive_noise():
    """A full C that does not commute with ∇∇L; B = 1, η = 1/16."""

    def error(process):
        return weak_error(
            Bowl(), ss.Hyperparameters(1 / 16), time=1.0, process=process, chains=20_000,
            observables={"sum": jnp.sum, "L": Bowl().loss}, key=jax.random.key(5),
        )  # fmt: skip

    first, corrected = error(None), error(CORRECTED)
    limit = bound(4)
    for number in (0, 1):
        none = abs(first.value[number]) - limit * first.standard_error[number]
        assert abs(corrected.value[number]) + limit * corrected.standard_error[number] < none / 5


@quick_jit
def moved(process, state, words, brownian):
    return process.substep(state, jnp.int32(0), 0, words, brownian).theta - state.theta


def coefficients(process, theta, chains=64):
    """Drift and diffusion factor of the code, from single short steps with the noise that is given."""
    pushes = jnp.asarray([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    brownian = jnp.repeat(pushes, chains, axis=0)
    chain = jnp.tile(ss.random.chain_numbers(chains), len(pushes))
    state = process.init(jnp.broadcast_to(theta, (len(chain), 2)), chain)
    steps = np.asarray(moved(process, state, process.streams(jax.random.key(6)), brownian))
    still, *pushed = steps.reshape(len(pushes), chains, 2)
    # the direction of the third derivative has two kinds of signs in the plane; both must have come up
    kinds = np.unique(np.round(still * process.substeps, 12), axis=0)
    factor = np.stack([(pushed[0] - pushed[1])[0] / 2, (pushed[2] - pushed[3])[0] / 2], axis=1)
    return kinds.mean(axis=0), factor, len(kinds)


@pytest.mark.script
@pytest.mark.parametrize("fixed", ["batch_size", "ratio"])
def test_coefficients_are_those_of_the_equation(fixed):
    """Against dense derivatives, in the limit of short steps: per SGD step, in double precision."""
    with float64():
        problem, hyper = Bowl(), ss.Hyperparameters(0.2, 2)
        process = ss.SecondOrderLangevin(problem, hyper, fixed=fixed, substeps=10**6)
        theta = jnp.asarray([0.7, -0.4])
        drift, factor, kinds = coefficients(process, theta)
        gradient, hessian = problem.gradient(theta), problem.hessian(theta)
        covariance = problem.gradient_covariance(theta)
        expected = -gradient - 0.1 * hessian @ gradient
        noise = np.linalg.cholesky(covariance / 2)
        if fixed == "ratio":
            diffusion = 0.05 * covariance
            expected += 0.1 * jax.grad(lambda at: jnp.trace(diffusion @ problem.hessian(at)))(theta)
            noise = (np.eye(2) + 0.1 * hessian) @ noise
        assert kinds == (2 if fixed == "ratio" else 1)
        np.testing.assert_allclose(drift, 0.2 * expected, rtol=1e-4)
        np.testing.assert_allclose(factor @ factor.T, 0.04 * noise @ noise.T, rtol=1e-4)


@pytest.mark.script
def test_correction_at_fixed_ratio_is_half_of_what_normal_ordering_leaves():
    """A₁ = ½(:A²: − A²) on a function in the plane, by automatic differentiation in double precision."""
    with float64():
        problem = Bowl()
        diffusion = 0.3 * problem.gradient_covariance(jnp.zeros(2))

        def function(x):
            return jnp.exp(0.3 * x[0] - 0.5 * x[1]) + x[0] ** 3 * x[1]

        def generator(f):
            def of(x):
                second = jax.hessian(f)(x)
                return -problem.gradient(x) @ jax.grad(f)(x) + jnp.sum(diffusion * second)

            return of

        def ordered(x):
            g = problem.gradient(x)
            second = jax.hessian(function)
            third, fourth = jax.jacfwd(second), jax.jacfwd(jax.jacfwd(second))
            return (
                g @ second(x) @ g
                - 2 * jnp.einsum("i,jk,ijk->", g, diffusion, third(x))
                + jnp.einsum("ij,kl,ijkl->", diffusion, diffusion, fourth(x))
            )

        def correction(x, bend):
            slope, hessian = jax.grad(function)(x), problem.hessian(x)
            third = jax.grad(lambda at: jnp.trace(diffusion @ problem.hessian(at)))(x)
            drift = -0.5 * hessian @ problem.gradient(x) + bend * third
            return drift @ slope + jnp.sum(diffusion @ hessian * jax.hessian(function)(x))

        @quick_jit
        def sides(x):
            wanted = 0.5 * (ordered(x) - generator(generator(function))(x))
            return wanted, correction(x, 0.5), correction(x, 0.0)

        wanted, right, without = sides(jnp.asarray([0.4, 0.8]))
        np.testing.assert_allclose(right, wanted, rtol=1e-12)
        assert abs(without - wanted) > 1e-3


@pytest.mark.script
def test_on_data_the_noise_is_the_exact_covariance_and_the_order_two():
    """Linear regression, where C depends on θ: an octave of η divides the error by four, not two."""
    problem = ss.problems.linear_regression(regression_data(10, 2))

    def total(theta):
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(theta))

    errors = [
        weak_error(
            problem, ss.Hyperparameters(rate, 2), time=0.4, process=SECOND, chains=40_000,
            initial=jax.tree.map(jnp.zeros_like, problem.init(jax.random.key(0))), observables=total,
            key=jax.random.key(8),
        )
        for rate in (0.1, 0.05)
    ]  # fmt: skip
    value, error = slope(errors, 0)
    assert abs(value - 2) < 0.25 + bound() * error
    assert value - bound() * error > 1


def test_bad_input():
    hyper = ss.Hyperparameters(0.1)
    well = ss.problems.DoubleWell
    with refused(match=r"momentum must be 0 for SecondOrderLangevin, got 0\.9: .*Underdamped"):
        ss.SecondOrderLangevin(well(), ss.Hyperparameters(0.1, 1, 0.9))
    with refused(match="fixed must be one of 'batch_size', 'ratio', got 'both'"):
        ss.SecondOrderLangevin(well(), hyper, fixed="both")
    with refused(match="needs noise_law='gaussian', got 'rademacher'"):
        ss.SecondOrderLangevin(well(noise_law="rademacher"), hyper, fixed="ratio")
    noise = ss.problems.PositionDependent(square)
    with refused(match="noise that does not depend on theta, got PositionDependent"):
        ss.SecondOrderLangevin(well(noise=noise), hyper, fixed="ratio")
    with refused(match="fixed='ratio' needs an analytic problem"):
        ss.SecondOrderLangevin(ss.problems.linear_regression(regression_data()), hyper, fixed="ratio")
    with refused(match="substeps must be an integer >= 1, got 0"):
        ss.SecondOrderLangevin(well(), hyper, substeps=0)
    with refused(match="no matching SDE"):
        ss.SecondOrderLangevin(well(), hyper, sampling="shuffle")
