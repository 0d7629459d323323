"""Faults planted in a simulation, each caught by the statistical tests; the same without it passes.

The verdict is Holm's over a family of tests at 10⁻⁶, so that a right simulation fails less than once in
10⁶ sets of keys for each test here.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALARM, ONE_EULER_STEP
from scipy import stats

import sde_sgd as ss
from sde_sgd import statistics

CHAINS = 20_000
RATE, BATCH = 0.1, 8
STEPS = 120
BOWL = ss.problems.Quadratic(1.0)
WELL = ss.problems.DoubleWell()


@pytest.fixture(scope="module")
def run():
    """SGD on θ²/2 at equilibrium, for a noise variance, a batch size and a key; one program for each B."""

    def ends(variance=1.0, batch=BATCH, seed=0):
        problem = ss.problems.Quadratic(1.0, noise_variance=variance)
        process = ss.SGD(problem, ss.Hyperparameters(RATE, batch))
        return ss.run(process, chains=CHAINS, steps=STEPS, key=jax.random.key(seed)).samples()

    return ends


@pytest.fixture(scope="module")
def honest(run):
    return run()


def family(theta, temperature=RATE / BATCH):
    """SGD on θ²/2 with Gaussian noise is exactly N(0, T/(2 − η)), and hotter than T by the finite η."""
    law = stats.norm(0, np.sqrt(temperature / (2 - RATE)))
    return statistics.holm(
        {
            "temperature": statistics.temperature_test(theta, theta, temperature, learning_rate=RATE),
            "Kolmogorov-Smirnov": statistics.kolmogorov_smirnov(theta, law),
            "Anderson-Darling": statistics.anderson_darling(theta, law),
            "Cramér-von Mises": statistics.cramer_von_mises(theta, law),
        },
        ALARM,
    )


def test_an_honest_run_passes(honest, run):
    assert not family(honest).rejected
    other = run(seed=1)
    assert statistics.kolmogorov_smirnov(honest, other).p > ALARM
    # not only "no difference found": shown to be within 12 %, eight standard errors
    assert statistics.equivalence(honest, other, quantity="variance", margin=1.12, level=1e-3).equivalent


def test_t_over_two_for_t_is_caught(honest):
    assert len(family(honest, RATE / BATCH / 2).rejected) == 4
    assert len(family(honest, RATE / BATCH * 2).rejected) == 4


@pytest.mark.script
def test_t_over_two_for_t_in_the_gibbs_law_is_caught(key):
    """exp(−L/T) for exp(−2L/T) on the double well, where the SDE is right to O(η)."""
    hyper = ss.Hyperparameters(0.01)
    noisy = ss.problems.DoubleWell(noise_variance=20.0)
    twice = ss.problems.DoubleWell(noise_variance=40.0)
    theta = ss.run(ss.Langevin(noisy, hyper), chains=4000, steps=700, key=key).samples()
    right, wrong = (ss.theory.gibbs(problem, hyper) for problem in (noisy, twice))
    assert statistics.anderson_darling(theta, right).p > ALARM
    assert statistics.anderson_darling(theta, wrong).p < ALARM
    slope = jax.vmap(jax.grad(WELL.loss))(jnp.asarray(theta))
    assert statistics.temperature_test(theta, slope, 0.2, learning_rate=0.01).p > ALARM
    assert statistics.temperature_test(theta, slope, 0.4, learning_rate=0.01).p < ALARM


@pytest.mark.parametrize("variance", [2.0, 0.5])
def test_a_wrong_root_two_is_caught(variance, run):
    """σ√2 or σ/√2 in the noise."""
    assert len(family(run(variance)).rejected) == 4


@pytest.mark.parametrize("batch", [BATCH - 1, BATCH + 1])
def test_batch_size_off_by_one_is_caught(batch, run):
    caught = family(run(batch=batch)).rejected
    assert "temperature" in caught
    assert "Anderson-Darling" in caught


@pytest.mark.script
def test_no_shuffle_is_caught():
    """Shuffled epochs on ℓ_n = (w − y_n)²/2: the variance at epoch ends is known, 2.6 times less than
    with replacement.

    η² s² n/(n−1) [Σ a^{2j} − (Σ a^j)²/n]/(1 − a^{2n}),  a = 1 − η, n = N/B steps an epoch
    """
    size, batch, rate, chains = 32, 4, 0.3, 8000
    targets = np.random.default_rng(0).normal(size=size)
    problem = ss.problems.linear_regression(ss.data.Dataset(np.ones((size, 1)), targets))
    steps = size // batch
    spread = targets.var() / batch * (size - batch) / (size - 1)
    powers = (1 - rate) ** np.arange(steps)
    variance = rate**2 * spread * steps / (steps - 1)
    variance *= ((powers**2).sum() - powers.sum() ** 2 / steps) / (1 - (1 - rate) ** (2 * steps))
    found = {}
    for sampling in ("shuffle", "replacement", "subset"):
        process = ss.SGD(problem, ss.Hyperparameters(rate, batch), sampling=sampling)
        theta = ss.run(process, chains=chains, steps=8 * steps, key=jax.random.key(3)).samples()
        theta = np.asarray(jax.tree.leaves(theta)[0], np.float64).reshape(chains)
        slope = theta - targets.mean()
        found[sampling] = statistics.temperature_test(theta, slope, 2 * variance, centre=targets.mean())
    assert found["shuffle"].p > ALARM
    assert found["replacement"].p < ALARM
    assert found["subset"].p < ALARM


def advance(numbers, key):
    """Langevin chains that start at N(0, 1), with the random numbers of the chains `numbers`."""
    process = ss.Langevin(BOWL, ss.Hyperparameters(RATE, BATCH), **ONE_EULER_STEP)
    start = jax.random.normal(jax.random.key(9), numbers.shape)
    return _advance(process, process.init(start, numbers), key).theta


@jax.jit
def _advance(process, state, key):
    return process.advance(state, start=0, steps=STEPS, key=key)


def test_shared_noise_between_chains_is_caught(key):
    """All chains on one path; and a hundred paths, each shared by two hundred chains."""
    own = ss.random.chain_numbers(CHAINS)
    assert not family(advance(own, key)).rejected
    assert len(family(advance(jnp.zeros_like(own), key)).rejected) == 4
    assert "Kolmogorov-Smirnov" in family(advance(own % 100, key)).rejected


def test_shared_noise_between_two_runs_is_caught(honest, run):
    """The key of one run used again: each ensemble is right, but they are not two.

    Same laws differ by chance; copies do not. p is then too near 1, which its twin 1 − p says.
    """
    assert 1 - statistics.anderson_darling(honest, run()).p < ALARM
    assert 1 - statistics.anderson_darling(honest, run(seed=1)).p > ALARM
