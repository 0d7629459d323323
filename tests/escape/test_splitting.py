"""Rare escapes against the exact mean passage of the chain, over many decades."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd import escape
from sde_sgd.escape import _splitting, _trials
from sde_sgd.escape._outside import outside_of

KEY = jax.random.key(3)
HYPER = ss.Hyperparameters(0.05, 1)
BORDER = 0.5


def outside(x):
    return x > BORDER


def well(noise):
    return ss.problems.DoubleWell(noise_variance=noise)


def split(noise, **options):
    given = {"start": -1.0, "outside": outside, "climb": lambda x: x, "key": KEY, **options}
    return escape.by_splitting(ss.SGD(well(noise), HYPER), **given)


def exact(noise):
    return 1 / ss.theory.chain_passage_time(well(noise), HYPER, target=BORDER, start=-1.0).steps


# 1e-4 to 2e-14 a step
@pytest.mark.script
@pytest.mark.parametrize("noise", [2.0, 1.0, 0.6, 0.4])
def test_rates_over_ten_decades(noise):
    found = split(noise)
    assert abs(found.rate / exact(noise) - 1) < 4 * found.standard_error / found.rate
    assert found.standard_error / found.rate < 0.15
    assert len(found.levels) == len(found.shares)
    assert np.all(np.diff(found.levels) > 0)
    assert np.all((found.shares > 0.1) & (found.shares <= 1))
    assert found.time == pytest.approx(0.05 / found.rate)


@pytest.mark.script
def test_intervals_hold():
    covered, ratios = 0, []
    for number in range(200):
        found = split(0.7, chains=4_096, key=jax.random.key(number))
        covered += found.interval[0] <= exact(0.7) <= found.interval[1]
        ratios.append(found.rate / exact(0.7))
    assert 180 <= covered <= 198
    # no replica is biased, whatever the levels
    assert abs(np.mean(ratios) - 1) < 3 * np.std(ratios) / 200**0.5


@pytest.mark.script
def test_counting_and_splitting_agree_in_the_plane():
    """On Müller and Brown's surface; where paths cross a level matters for what comes after."""
    plane = ss.problems.MullerBrown(noise_variance=120.0)
    start, _, between = plane.minima()

    def distance(at):
        return ((at - between) ** 2).sum()

    process = ss.SGD(plane, ss.Hyperparameters(0.004, 1))
    place = {"start": start, "outside": lambda at: distance(at) < 0.04, "key": KEY}
    counted = escape.by_renewal(process, chains=1_000, exits=4_000, progress=False, **place)
    found = escape.by_splitting(process, climb=lambda at: -distance(at), chains=8_192, **place)
    error = np.hypot(counted.relative_error, found.standard_error / found.rate)
    assert error < 0.12
    assert abs(found.rate / counted.rate - 1) < 4 * error


@pytest.mark.script
def test_crossings_are_taken_without_favour():
    """How far they go beyond the level, beside all of them; the last ones go further than others."""
    process = ss.SGD(ss.problems.Quadratic(), ss.Hyperparameters(0.2, 1))
    ways = _trials.Ways(process, jnp.float32(0.0), outside_of(process, lambda x: x > 99.0), lambda x: x)
    state = _trials.begin(ways, ss.random.chain_numbers(200_000))
    state, levels = _trials.relax(ways, state, jax.random.key(1), jnp.int32(100))
    home, first = jnp.float32(0.0), jnp.float32(0.3)

    def crossed(before, key, steps):
        return _trials.flux(ways, before, key, jnp.int32(steps), home, first)

    begin = _trials.no_flux(state, levels, home)
    some = crossed(begin, KEY, 60)
    weights = np.asarray(some.crossings, np.float64)
    assert weights.mean() > 2
    every = []
    for number in range(60):
        begin = crossed(begin, jax.random.fold_in(KEY, number), 1)
        every.append(np.asarray(begin.states[0])[np.asarray(begin.crossings) > 0])
        begin = eqx.tree_at(lambda at: at.crossings, begin, jnp.zeros_like(begin.crossings))
    whole = np.concatenate(every)
    values = np.asarray(some.states[0])
    taken = np.average(values, weights=weights)
    error = np.hypot(values[weights > 0].std() / 300, whole.std() / len(whole) ** 0.5)
    assert abs(taken - whole.mean()) < 4 * error
    assert abs(weights.mean() * len(values) / len(whole) - 1) < 0.02


@pytest.mark.script
def test_a_climb_that_falls_on_the_way_is_told():
    with pytest.warns(UserWarning, match="climb does not rise all the way"):
        found = split(1.0, climb=None)
    assert abs(np.log(found.rate / exact(1.0))) < 1.0


@pytest.mark.script
def test_replicas_that_differ_are_told(monkeypatch):
    monkeypatch.setattr(_splitting, "_FAR_APART", 0.2)
    with pytest.warns(UserWarning, match="replicas differ by"):
        found = split(0.7, chains=1_024)
    assert found.replicas.std(ddof=1) / found.rate > 0.2


def test_what_splitting_cannot_do_is_refused():
    with refused("solver must use each random number once"):
        escape.by_splitting(ss.Langevin(well(1.0), HYPER), start=-1.0, outside=outside, key=KEY)
    with refused("climb must tell chains in the well apart"):
        split(1.0, climb=lambda x: 0 * x)
    with refused("most_steps must be larger than 5"):
        split(1.0, most_steps=5)
    with refused("climb must be a function"):
        split(1.0, climb="loss")
    with refused("climb must give one real number"):
        split(1.0, climb=lambda x: x > 0)
    with refused("replicas must be an integer >= 4"):
        split(1.0, replicas=2)
    with refused("chains must be an integer >= 512"):
        split(1.0, chains=100)
    with refused("learning_rate and momentum must be one number"):
        process = ss.SGD(well(1.0), ss.Hyperparameters(np.asarray([0.1, 0.2]), 1))
        escape.by_splitting(process, start=-1.0, outside=outside, key=KEY)
    with refused("replica . has none left"):
        split(1.0, climb=lambda x: -x, chains=512)


def test_euler_of_the_sde_is_split():
    sde = ss.Langevin(well(2.0), HYPER, solver=diffrax.Euler(), substeps=1)
    found = escape.by_splitting(sde, start=-1.0, outside=outside, climb=lambda x: x, chains=4_096, key=KEY)
    assert abs(found.rate / exact(2.0) - 1) < 4 * found.standard_error / found.rate
