"""SVAG between SGD (l = 1, bit for bit) and the SDE (l → ∞): closed forms at every l."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_agree, bound, refused, regression_data
from scipy import stats

import sde_sgd as ss

CHAINS = 100_000
WELL = ss.problems.DoubleWell()
DATA = ss.problems.linear_regression(regression_data(20, 3))
HYPER = ss.Hyperparameters(0.1, 4)


@jax.jit
def advance(process, state, begin, steps, key):
    return process.advance(state, start=begin, steps=steps, key=key)


@pytest.mark.parametrize(
    ("problem", "sampling"),
    [
        (WELL, "replacement"),
        (ss.problems.DoubleWell(noise_law="exponential"), "replacement"),
        (DATA, "subset"),
    ],
    ids=["Gaussian", "exponential", "fresh subsets"],
)
def test_l_of_one_is_sgd_bit_for_bit(problem, sampling):
    """Also under a schedule, and at a place on the clock other than 0."""

    def falling(k):
        return jnp.where(k < 1005, 1.0, 0.5)

    chain = ss.random.chain_numbers(6)
    theta = jax.vmap(lambda n: problem.init(jax.random.fold_in(jax.random.key(1), n)))(chain)
    ends = [
        advance(p, p.init(theta, chain), 1000, 12, jax.random.key(2)).theta
        for p in (
            ss.SVAG(problem, HYPER, l=1, sampling=sampling, schedule=falling),
            ss.SGD(problem, HYPER, sampling=sampling, schedule=falling),
        )
    ]
    for one, other in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_array_equal(one, other)


def variance(process):
    state = process.init(jnp.zeros((CHAINS,)), ss.random.chain_numbers(CHAINS))
    return float(np.var(np.asarray(advance(process, state, 0, 40, jax.random.key(3)).theta, np.float64)))


@pytest.mark.parametrize("l", [2, pytest.param(8, marks=pytest.mark.script)])
def test_stationary_variance_at_every_l(l):  # noqa: E741
    """On L = θ²/2 exactly ησ²/(B(2 − η/l)), from SGD's to the SDE's ησ²/(2B). Here η = ½, B = 4, σ² = .8.

    One SVAG step θ' = (1 − η/l)θ − (η/l)n has Var n = lσ²/B: V = (η/l)² lσ²/B / (1 − (1 − η/l)²).
    """
    process = ss.SVAG(ss.problems.Quadratic(1.0, noise_variance=0.8), ss.Hyperparameters(0.5, 4), l=l)
    found = variance(process)
    expected = 0.1 / (2 - 0.5 / l)
    error = expected * np.sqrt(2 / CHAINS)
    assert_agree(found, expected, error, count=2)
    # SGD itself; and planted: amplified by l in place of √l, or one batch twice, which undoes it
    for wrong in (0.1 / 1.5, l * expected, expected / l):
        assert abs(found - wrong) > bound() * error


@pytest.mark.script
def test_variance_with_fresh_subsets_of_real_examples():
    tilted = ss.problems.TiltedNoiseData(
        ss.problems.Quadratic(1.0), dataset_size=16, noise_variance=0.8, key=jax.random.key(4)
    )
    process = ss.SVAG(tilted, ss.Hyperparameters(0.5, 4), l=2, sampling="subset")
    expected = 0.1 * (12 / 15) / (2 - 0.25)
    assert_agree(variance(process), expected, expected * np.sqrt(2 / CHAINS))


def test_skewness_falls_to_that_of_the_sde():
    """One step on a flat loss, l = 4: (3l − 1)/(2l²) = 11/32 of the skewness 2/√B of the exponential law."""
    problem = ss.problems.Quadratic(1e-6, noise_law="exponential")
    process = ss.SVAG(problem, ss.Hyperparameters(0.5, 4), l=4)
    state = process.init(jnp.zeros((CHAINS,)), ss.random.chain_numbers(CHAINS))
    steps = -np.asarray(advance(process, state, 0, 1, jax.random.key(5)).theta, np.float64)
    blocks = stats.skew(steps.reshape(50, -1), axis=1)
    found, error = stats.skew(steps), blocks.std(ddof=1) / np.sqrt(50)
    assert_agree(found, 11 / 32, error)
    assert abs(found - 1.0) > bound() * error


def test_bad_input():
    with refused(match=r"l must be an integer >= 1, got 0\. l=1 is SGD"):
        ss.SVAG(WELL, HYPER, l=0)
    with refused(match=r"momentum must be 0 for SVAG, got 0\.5"):
        ss.SVAG(WELL, ss.Hyperparameters(0.1, 4, 0.5), l=2)
    with refused(match="sampling='shuffle' has no SVAG"):
        ss.SVAG(DATA, HYPER, l=2, sampling="shuffle")
    with refused(match="batch_size must be <= 20"):
        ss.SVAG(DATA, ss.Hyperparameters(0.1, 21), l=2, sampling="subset")
