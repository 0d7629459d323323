"""One step of an SDE and its noise, where what they must be is known."""

import diffrax
import helpers
import jax
import jax.numpy as jnp
import numpy as np

import sde_sgd as ss
from sde_sgd.validity._coupled import Coupled

KEY = jax.random.key(11)


def one_step(process, theta, *, tree=False):
    state = process.init(theta, ss.random.chain_numbers(len(theta)))
    moved = jax.jit(lambda at: process.advance(at, start=0, steps=1, key=KEY))(state).theta
    return moved if tree else np.asarray(moved)


def test_one_step_takes_the_time_of_a_step_with_momentum():
    """dθ/dt = −hθ for the time η/(1 − m)."""
    hyper = ss.Hyperparameters(0.02, 1, 0.9)
    process = ss.Langevin(ss.problems.Quadratic(1.5), hyper, noise="none", substeps=8)
    np.testing.assert_allclose(one_step(process, jnp.ones(2)), np.exp(-1.5 * 0.2), rtol=1e-4)


def test_substeps_of_two_point_noise_have_directions_of_their_own():
    """C = aaᵀ with a = (1, 1): the noise of a substep is 0 or ±√2 in both parameters, then times signs.

    Of two substeps the sums of both parameters are equal in size if one is 0, or else half the time: in 7
    of 8 chains; in all if both have the signs of the first. 2000 chains know 7/8 to .0074, five of which
    are .037.
    """
    noise = ss.problems.Full(np.ones((2, 2)))
    process = ss.Langevin(
        ss.problems.Quadratic(1e-6 * np.eye(2), noise=noise),
        ss.Hyperparameters(0.1),
        noise="diagonal",
        increments="two_point",
        substeps=2,
    )
    moved = np.abs(one_step(process, jnp.zeros((2000, 2))))
    alike = np.isclose(moved[:, 0], moved[:, 1], rtol=1e-3, atol=1e-5).mean()
    assert abs(alike - 7 / 8) < 0.037
    # the trace of C is kept
    assert abs((moved**2).sum(axis=1).mean() / (2 * 0.1**2) - 1) < 5 * np.sqrt(2 / 2000)


def test_fresh_subsets_of_all_examples_leave_no_noise():
    """(N − B)/(N − 1) is 0 at B = N: two keys make the same step."""
    risk = ss.problems.linear_regression(helpers.regression_data(size=6, features=2))
    theta = jax.vmap(risk.init)(jax.random.split(KEY, 3))
    process = ss.UnderdampedLangevin(risk, ss.Hyperparameters(0.1, 6, 0.5), sampling="subset")
    state = process.init(theta, ss.random.chain_numbers(3))
    ends = [process.advance(state, start=0, steps=1, key=jax.random.key(seed)).theta for seed in (0, 1)]
    np.testing.assert_array_equal(helpers.ravel(ends[0]), helpers.ravel(ends[1]))


def test_sgd_goes_the_way_of_the_sde_on_one_noise():
    """In one step the two part by O(η²), while each moves by ησ."""
    rate = 0.01
    hyper = ss.Hyperparameters(rate)
    sde = ss.Langevin(ss.problems.Quadratic(1.0), hyper, substeps=4, solver=diffrax.Heun())
    theta = one_step(Coupled(sde, antithetic=False), jnp.ones(50), tree=True)
    moved = [np.asarray(theta[name], np.float64) - 1 for name in ("sgd", "sde")]
    assert min(part.std() for part in moved) > 0.5 * rate
    assert np.abs(moved[0] - moved[1]).max() < 10 * rate**2


def test_noise_of_few_and_of_many_exponentials():
    """Few are added up, less their mean; the sum of 65 has the variance of 65, here to five of .0014."""
    words, numbers = (
        ss.random.stream(KEY, ss.random.Stream.GRADIENT_NOISE),
        ss.random.chain_numbers(1_000_000),
    )
    few = numbers[:100]
    total = ss.random.exponential_sum(words, few, (2,), 3)
    np.testing.assert_allclose(ss.random.exponential_mean(words, few, (2,), 3), total / 3 - 1, atol=1e-6)
    many = np.asarray(ss.random.exponential_mean(words, numbers, (), 65), np.float64)
    assert abs(many.mean()) < 5 * 65**-0.5 / 1000
    assert abs(65 * many.var() - 1) < 0.0075
