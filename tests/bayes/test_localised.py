"""A problem on a spring, or in a heat bath, is a problem."""

import jax
import jax.numpy as jnp
import numpy as np
from helpers import assert_agree, class_data, covariance, quick_jit, ravel, ravel_rows, refused

import sde_sgd as ss
from sde_sgd.bayes._localised import Heated, Localised


def test_a_problem_on_a_spring_is_a_problem():
    """Its gradients are those of its loss: alone, of a batch and of the SDE; for a pytree of parameters."""
    problem = ss.problems.softmax_regression(class_data())
    at, theta = problem.init(jax.random.key(0)), problem.init(jax.random.key(1))
    spring = Localised(problem, at, jnp.asarray(0.7))

    @quick_jit
    def all_of_them(spring, theta):
        batch, one, noise = jnp.arange(12), jnp.ones(()), jnp.zeros(12)
        return (
            (spring.loss(theta), spring.problem.loss(theta)),
            jax.grad(spring.loss)(theta),
            (
                spring.gradient(theta),
                spring.batch_gradient(theta, batch),
                spring.noisy_gradient(theta, one, one, noise),
            ),
        )

    (held, loss), slope, others = all_of_them(spring, theta)
    np.testing.assert_allclose(held, loss + 0.35 * np.sum((ravel(theta) - ravel(at)) ** 2), rtol=1e-6)
    for other in others:
        np.testing.assert_allclose(ravel(other), ravel(slope), rtol=1e-4, atol=1e-6)
    assert spring.dataset_size == 12
    assert spring.init(jax.random.key(2)) is at


def test_a_problem_in_a_heat_bath_has_white_noise():
    """(a∇L + bσξ) whatever its own noise is, and σ²/B for the mean of a batch, in every leaf of a pytree."""
    problem = ss.problems.softmax_regression(class_data(), bias=True)
    theta = problem.init(jax.random.key(0))
    heated = Heated(problem, jnp.asarray(2.25))

    @quick_jit
    def both(heated, theta):
        noise = jax.tree.map(jnp.ones_like, theta)
        slope = heated.problem.gradient(theta)
        return slope, heated.noisy_gradient(theta, jnp.asarray(0.5), jnp.asarray(2.0), noise)

    slope, noisy = both(heated, theta)
    np.testing.assert_allclose(ravel(noisy), 0.5 * ravel(slope) + 2 * 1.5, rtol=1e-6)
    words = {"gradient_noise": ss.random.stream(jax.random.key(1), ss.random.Stream.GRADIENT_NOISE)}

    @quick_jit
    def draw(heated, words):
        return heated.sampler("replacement", 4).draw(None, words, jnp.int32(0), ss.random.chain_numbers(5000))

    rows = 1.5 * ravel_rows(draw(heated, words)[0])
    found, error = covariance(rows)
    expected = np.asarray(heated.gradient_covariance(theta), np.float64) / 4
    np.testing.assert_allclose(expected, 2.25 / 4 * np.eye(rows.shape[1]))
    assert_agree(found, expected, error)
    np.testing.assert_allclose(heated.noise_variance(), 2.25)
    with refused(match="sampling must be 'replacement' for white noise, got 'subset'"):
        heated.sampler("subset", 4)
