"""White noise in the wells of Styblinski and Tang: the exact time of the chain, its limit, and d ways out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import some_as_scripts

import sde_sgd as ss
from sde_sgd import escape

# the higher minimum of one coordinate, the top between it and the lower one, and a place well beyond
START, BORDER, BARRIER = 2.7468, -2.5, 25.2246


def setting(rate, height):
    """One coordinate at barrier/D = height."""
    noise = 2 * BARRIER / height / rate
    return ss.problems.StyblinskiTang(1, noise_variance=noise), ss.Hyperparameters(rate, 1)


def counted(rate, height, *, dimension=1, exits, chains=2_000):
    """The rate of escape at barrier/D = height, and the setting of one coordinate."""
    one, hyper = setting(rate, height)
    noise = float(one.noise_variance())
    process = ss.SGD(ss.problems.StyblinskiTang(dimension, noise_variance=noise), hyper)
    found = escape.by_renewal(
        process, start=jnp.full(dimension, START), outside=lambda x: (x < BORDER).any(), chains=chains,
        exits=exits, key=jax.random.key(int(1e4 * rate + height + dimension)), progress=False,
    )  # fmt: skip
    return found, one, hyper


@pytest.mark.parametrize("height", some_as_scripts([4, 5, 6], [4]))
def test_the_time_is_that_of_the_chain(height):
    found, one, hyper = counted(0.004, height, exits=15_000)
    exact = ss.theory.chain_passage_time(one, hyper, target=BORDER, start=START).steps
    off = found.steps / exact - 1
    assert found.relative_error < 0.01
    assert abs(off) < 3 * found.relative_error
    assert abs(off) < 0.03


def test_the_time_of_the_sde_is_the_limit_in_proportion_to_the_rate():
    rates, offs = np.asarray([0.000625, 0.00125, 0.0025]), []
    for rate in rates:
        one, hyper = setting(rate, 6)
        exact, limit = (
            passage(one, hyper, target=BORDER, start=START).time
            for passage in (ss.theory.chain_passage_time, ss.theory.mean_passage_time)
        )
        offs.append(exact / limit - 1)
    slope, _ = np.polyfit(np.log(rates), np.log(np.abs(offs)), 1)
    assert slope == pytest.approx(1, abs=0.15)


@pytest.mark.script
def test_what_a_finite_rate_does_is_seen_in_a_simulation():
    found, one, hyper = counted(0.005, 6, exits=150_000, chains=20_000)
    exact, limit = (
        passage(one, hyper, target=BORDER, start=START).time
        for passage in (ss.theory.chain_passage_time, ss.theory.mean_passage_time)
    )
    error = found.relative_error
    assert abs(found.time / exact - 1) < 4 * error
    assert abs(found.time / limit - 1) > 4 * error


@pytest.mark.script
@pytest.mark.parametrize("dimension", [3, 10])
def test_d_coordinates_have_d_ways_out(dimension):
    one, _, _ = counted(0.004, 7, exits=10_000)
    many, _, _ = counted(0.004, 7, dimension=dimension, exits=10_000, chains=1_000)
    error = np.hypot(one.relative_error, many.relative_error)
    assert abs(many.rate / (dimension * one.rate) - 1) < 4 * error
