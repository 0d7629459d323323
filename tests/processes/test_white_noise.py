"""White-noise gradient descent and SGLD: variances that are exact at any η."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_agree, bound, ensemble, refused

import sde_sgd as ss

CHAINS = 50_000


@jax.jit
def advance(process, state, begin, steps, key):
    return process.advance(state, start=begin, steps=steps, key=key)


def variance(process, chains=CHAINS, steps=200):
    """The variance of θ after `steps`, and its standard error for a Gaussian."""
    theta = ensemble(jnp.zeros(()), chains)
    state = process.init(theta, ss.random.chain_numbers(chains))
    value = float(np.var(np.asarray(advance(process, state, 0, steps, jax.random.key(1)).theta, np.float64)))
    return value, value * np.sqrt(2 / chains)


def tilted(noise_variance=0.6, examples=8):
    return ss.problems.TiltedNoiseData(
        ss.problems.Quadratic(1.0),
        dataset_size=examples,
        noise_variance=noise_variance,
        key=jax.random.key(2),
    )


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_chosen_temperature_sets_the_variance(momentum):
    """Exactly T(1+m)/(h(2(1+m) − ηh)): T/(h(2 − ηh)) without momentum. B and σ² have no part in it."""
    hyper = ss.Hyperparameters(0.4, 3, momentum)
    process = ss.WhiteNoiseGD(ss.problems.Quadratic(1.0, noise_variance=7.0), hyper, temperature=0.3)
    found, error = variance(process)
    expected = 0.3 * (1 + momentum) / (2 * (1 + momentum) - 0.4)
    assert_agree(found, expected, error)
    # planted: T for T/2 in the noise, or T left as it is with momentum
    assert abs(found - expected / 2) > 50 * error
    assert abs(found - expected / (1 - momentum)) > 50 * error or momentum == 0


@pytest.mark.parametrize("on_data", [False, True])
def test_the_default_temperature_is_that_of_sgd(on_data):
    """The variance of heavy-ball SGD, ησ²(1+m)/(B h (1 − m)(2(1+m) − ηh)), also where minibatches have it."""
    problem = tilted() if on_data else ss.problems.Quadratic(1.0, noise_variance=0.6)
    found, error = variance(ss.WhiteNoiseGD(problem, ss.Hyperparameters(0.4, 3, 0.5)))
    assert_agree(found, 0.4 * 0.6 / 3 * 1.5 / (0.5 * (3 - 0.4)), error, count=2)


@pytest.mark.script
def test_temperatures_of_minibatches_and_of_injected_noise_add():
    """(T + ησ²/B)/(h(2 − ηh)); neither of the two alone."""
    hyper = ss.Hyperparameters(0.4, 3)
    found, error = variance(ss.SGLD(tilted(), hyper, temperature=0.1))
    minibatch = 0.4 * 0.6 / 3
    assert_agree(found, (0.1 + minibatch) / 1.6, error)
    for planted in (0.1, minibatch, 0.2 + minibatch):
        assert abs(found - planted / 1.6) > bound() * error


@pytest.mark.script
def test_posterior_sampling_at_a_small_step():
    """T = 2/N, η = εN/2: the variance tends to that of exp(−NL), 1/(Nh), from (2/N + ησ²/B)/(h(2 − ηh))."""
    size = 64
    problem = tilted(noise_variance=1.0, examples=size)
    rate = 1e-3 * size / 2
    process = ss.SGLD(problem, ss.Hyperparameters(rate, 8), temperature=2 / size)
    found, error = variance(process, chains=20_000, steps=300)
    assert_agree(found, (2 / size + rate / 8) / (2 - rate), error)
    assert abs(found / (1 / size) - 1) < 0.2
    # planted: the noise variance ε taken for the temperature
    assert abs(found - (1e-3 + rate / 8) / 2) > 50 * error


def test_sgld_at_zero_temperature_is_sgd():
    """With the same batches, here shuffled ones."""
    hyper = ss.Hyperparameters(0.1, 3, 0.5)
    start, chain = jnp.linspace(-1, 1, 8), ss.random.chain_numbers(8)
    one, other = (
        advance(p, p.init(start, chain), 0, 20, jax.random.key(3)).theta
        for p in (
            ss.SGD(tilted(), hyper, sampling="shuffle"),
            ss.SGLD(tilted(), hyper, sampling="shuffle", temperature=0.0),
        )
    )
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize(("temperature", "factor"), [(None, 0.25**2), (0.3, 0.25)])
def test_a_schedule_moves_the_default_temperature_and_leaves_a_given_one(temperature, factor):
    """One step at a quarter of η: its variance ηT falls by 4 if T stays and by 16 if T falls with η."""
    process = ss.WhiteNoiseGD(
        ss.problems.Quadratic(1e-6, noise_variance=0.6),
        ss.Hyperparameters(0.4, 2),
        temperature=temperature,
        schedule=lambda k: jnp.where(k < 1, 1.0, 0.25),
    )
    full = 0.4 * (0.4 * 0.6 / 2 if temperature is None else temperature)
    state = process.init(jnp.zeros((CHAINS,)), ss.random.chain_numbers(CHAINS))
    for begin, expected in ((0, full), (1, factor * full)):
        step = np.asarray(advance(process, state, begin, 1, jax.random.key(4)).theta, np.float64)
        assert_agree(step.var(), expected, expected * np.sqrt(2 / CHAINS), count=2)


def test_bad_input():
    hyper = ss.Hyperparameters(0.1)
    well = ss.problems.DoubleWell()
    with refused(match="temperature must be finite and >= 0, got -1"):
        ss.WhiteNoiseGD(well, hyper, temperature=-1.0)
    with refused(match=r"temperature must be one number, got an array of shape \(2,\)"):
        ss.SGLD(well, hyper, temperature=[0.1, 0.2])
    with pytest.raises(ss.problems.NotKnownError, match="PositionDependent"):
        ss.WhiteNoiseGD(ss.problems.DoubleWell(noise=ss.problems.PositionDependent(jnp.square)), hyper)
    with refused(match="sampling must be 'replacement'"):
        ss.SGLD(well, hyper, temperature=0.1, sampling="shuffle")
    with refused(match="schedule must be a function"):
        ss.WhiteNoiseGD(well, hyper, schedule=0.5)
    with refused(match=r"one factor for a step.* shape \(2,\)"):
        ss.WhiteNoiseGD(well, hyper, schedule=lambda step: jnp.ones(2) * step)
    with refused(match="problem"):
        ss.SGLD(None, hyper, temperature=0.1)
