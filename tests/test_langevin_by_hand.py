"""One step of the Langevin SDE where what it must be is known."""

import helpers
import jax
import jax.numpy as jnp
import numpy as np

import sde_sgd as ss

KEY = jax.random.key(11)


def one_step(process, theta):
    state = process.init(theta, ss.random.chain_numbers(len(theta)))
    return np.asarray(jax.jit(lambda at: process.advance(at, start=0, steps=1, key=KEY))(state).theta)


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
