"""Rates of escape against the exact mean passage of the chain."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused
from scipy import stats

import sde_sgd as ss
from sde_sgd import escape
from sde_sgd.escape import _rate

KEY = jax.random.key(3)
HYPER = ss.Hyperparameters(0.05, 1)
# ΔL/D = 5 with D = ησ²/(2B)
WELL = ss.problems.DoubleWell(noise_variance=2.0)
SGD = ss.SGD(WELL, HYPER)
BORDER = 0.5


def outside(x):
    return x > BORDER


def exact(problem=WELL, hyper=HYPER):
    return ss.theory.chain_passage_time(problem, hyper, target=BORDER, start=-1.0).steps


def renewal(**options):
    return escape.Renewal(SGD, start=-1.0, outside=outside, **options)


def run(process, **options):
    return ss.run(process, **{"chains": 500, "key": KEY, "initial": -1.0, "progress": False, **options})


def test_the_rate_is_one_over_the_mean_passage_of_the_chain():
    found = escape.by_renewal(
        SGD, start=-1.0, outside=outside, chains=2_000, exits=8_000, key=KEY, progress=False
    )
    assert abs(found.rate * exact() - 1) < 4 * found.relative_error
    assert found.relative_error < 0.02
    assert found.exponential.p > 1e-3
    assert found.time == pytest.approx(0.05 * found.steps)
    low, high = found.steps_interval
    assert low < found.steps < high


@pytest.mark.script
def test_rates_of_data_momentum_and_the_sde():
    data = ss.problems.TiltedNoiseData(WELL, dataset_size=64, noise_variance=2.0, key=jax.random.key(1))
    sde = ss.Langevin(WELL, HYPER, solver=diffrax.Euler(), substeps=1)
    for process in (ss.SGD(data, HYPER), sde):
        found = escape.by_renewal(
            process, start=-1.0, outside=outside, chains=1_000, exits=2_000, key=KEY, progress=False
        )
        assert abs(found.rate * exact() - 1) < 5 * found.relative_error + 0.03
    heavy = ss.SGD(WELL, ss.Hyperparameters(0.025, 1, 0.5))  # η/(1 − m) as before
    found = escape.by_renewal(
        heavy, start=-1.0, outside=outside, chains=1_000, exits=1_000, key=KEY, progress=False
    )
    assert found.learning_rate == pytest.approx(0.05)
    assert 0.5 < found.rate * exact() < 1.5


@pytest.mark.script
def test_intervals_hold_and_p_values_are_uniform():
    covered, p_values = 0, []
    process = renewal(burn_in=200)
    for number in range(200):
        found = escape.rate(run(process, chains=300, steps=1_400, key=jax.random.key(number)))
        covered += found.interval[0] <= 1 / exact() <= found.interval[1]
        p_values.append(found.exponential.p)
    assert 180 <= covered <= 198
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.script
def test_a_chain_that_is_put_back_on_the_border_is_seen():
    at_border = escape.Renewal(SGD, start=BORDER - 0.01, outside=outside, burn_in=200)
    found = escape.rate(run(at_border, steps=5_000))
    assert found.exponential.p < 1e-6


def test_a_border_inside_the_well_is_told():
    with pytest.warns(UserWarning, match="outside may lie within the well"):
        escape.by_renewal(
            SGD, start=-1.0, outside=lambda x: x > -0.95, chains=2_000, steps=300, key=KEY, progress=False
        )


def test_without_an_exit_there_is_a_bound():
    calm = ss.SGD(ss.problems.DoubleWell(noise_variance=0.1), HYPER)
    process = escape.Renewal(calm, start=-1.0, outside=outside)
    found = escape.rate(run(process, chains=100, steps=100), level=0.9)
    assert np.isnan(found.rate)
    assert np.isnan(found.relative_error)
    assert found.interval == (0.0, pytest.approx(np.log(10) / 10_000))
    assert found.steps_interval == (pytest.approx(10_000 / np.log(10)), np.inf)
    assert found.exponential is None
    assert "no exit" in repr(found)


def test_an_interval_of_exits_is_exact():
    """Its ends are where so few, or so many, exits have the chance α/2."""
    low, high = _rate.poisson_interval(7, 100, 0.9)
    assert stats.poisson.sf(6, 100 * low) == pytest.approx(0.05)
    assert stats.poisson.cdf(7, 100 * high) == pytest.approx(0.05)


def test_exits_are_counted_one_by_one():
    hot = ss.SGD(ss.problems.DoubleWell(noise_variance=8.0), HYPER)
    process = escape.Renewal(hot, start=-1.0, outside=outside, burn_in=30)
    seen = run(process, chains=256, steps=200, record={"x": lambda x: x}, every=1)
    inside = np.asarray(seen.record["x"])
    assert inside.max() <= BORDER
    # put back to exactly the start, which no step of a continuous law hits by itself
    back = inside[1:] == -1.0
    number = back[30:].sum(axis=0)
    np.testing.assert_array_equal(seen.state.extra.number, number)
    assert back[:30].any()
    first = np.where(number > 0, back[30:].argmax(axis=0) + 31, -1)
    np.testing.assert_array_equal(seen.state.extra.first, first)


def test_what_diverges_has_left():
    wild = ss.SGD(ss.problems.DoubleWell(noise_variance=50.0), ss.Hyperparameters(0.4, 1))
    process = escape.Renewal(wild, start=-1.0, outside=lambda x: x > 1e30)
    result = run(process, steps=200)
    assert result.diverged == 0
    assert escape.rate(result).exits > 0


def test_a_run_goes_on_and_chains_of_one_rate_are_told_apart():
    process = renewal(burn_in=50)
    whole = escape.rate(run(process, steps=1_000))
    halves = run(process, steps=1_000 - 400, initial=run(process, steps=400))
    assert escape.rate(halves).exits == whole.exits
    rates = np.repeat([0.05, 0.1], 250)
    both = escape.Renewal(ss.SGD(WELL, ss.Hyperparameters(rates, 1)), start=-1.0, outside=outside, burn_in=50)
    result = run(both, steps=1_000)
    slow, fast = (escape.rate(result, chains=rates == rate) for rate in (0.05, 0.1))
    assert slow.exits + fast.exits == int(np.asarray(result.state.extra.number).sum())
    assert fast.rate > 2 * slow.rate
    with refused("chains must be of one learning rate"):
        escape.rate(result)
    with refused("chains must choose some of 500 chains"):
        escape.rate(result, chains=[500])


@pytest.mark.script
def test_a_loss_may_be_the_border():
    by_loss = escape.Renewal(SGD, start=-1.0, outside=0.2)
    by_place = escape.Renewal(SGD, start=-1.0, outside=lambda x: WELL.loss(x) >= 0.2)
    first, second = (run(process, steps=500) for process in (by_loss, by_place))
    np.testing.assert_array_equal(first.state.extra.number, second.state.extra.number)
    assert escape.rate(first).exits > 0


@pytest.mark.script
def test_first_exits_are_censored_and_keep_their_places():
    few = escape.by_first_exit(
        SGD, start=-1.0, outside=outside, chains=1_000, steps=8_000, key=KEY, progress=False
    )
    assert few.exits + few.censored == 1_000
    assert min(few.exits, few.censored) > 200
    assert abs(few.rate * exact() - 1) < 4 / few.exits**0.5
    assert few.interval[0] < few.rate < few.interval[1]
    assert few.points.shape == (few.exits,)
    assert few.points.min() > BORDER
    along = few.coordinates(jnp.ones(1))
    np.testing.assert_allclose(along[:, 0], few.points + 1.0, rtol=1e-6)
    with refused("directions must have shapes"):
        few.coordinates(np.ones((2, 3)))


@pytest.mark.script
def test_exits_of_the_plane_leave_over_its_saddle():
    plane = ss.problems.MullerBrown(noise_variance=1.0)
    process = ss.SGD(plane, ss.Hyperparameters(2e-4, 1))
    start = plane.minima()[0]
    pairs = ss.curvature.top_eigenpairs(plane, start, 2, key=KEY)
    found = escape.by_first_exit(
        process, start=start, outside=lambda at: plane.loss(at) > plane.loss(start) + 0.02, chains=50,
        steps=400, key=KEY, progress=False,
    )  # fmt: skip
    assert found.coordinates(pairs).shape == (found.exits, 2)


def test_a_grid_has_named_dimensions():
    found = escape.rates(
        ss.SGD, lambda noise: escape.Well(ss.problems.DoubleWell(noise_variance=noise), -1.0, outside),
        parameters={"noise": [2.0, 3.0]}, learning_rate=[0.05, 0.1], batch_size=1, chains=500, exits=300,
        key=KEY, progress=False,
    )  # fmt: skip
    assert dict(found.sizes) == {"noise": 2, "batch_size": 1, "learning_rate": 2}
    for noise in (2.0, 3.0):
        for rate in (0.05, 0.1):
            at = found.sel(noise=noise, learning_rate=rate, batch_size=1)
            wanted = exact(ss.problems.DoubleWell(noise_variance=noise), ss.Hyperparameters(rate, 1))
            assert abs(float(at.rate) * wanted - 1) < 5 / float(at.exits) ** 0.5
            assert float(at.low) < float(at.rate) < float(at.high)
    with refused("at noise=0.1, batch_size=1, learning_rate=1.5: learning_rate must be < 1"):
        escape.rates(
            ss.SGD, lambda noise: escape.Well(ss.problems.DoubleWell(noise_variance=noise), -1.0, outside),
            parameters={"noise": [0.1]}, learning_rate=1.5, chains=5, steps=5, key=KEY,
        )  # fmt: skip
    with refused("parameters must be name → values"):
        escape.rates(
            ss.SGD,
            escape.Well(WELL, -1.0, outside),
            parameters={"batch_size": [1]},
            learning_rate=0.1,
            key=KEY,
        )
    with refused("well must be"):
        escape.rates(
            ss.SGD, escape.Well(WELL, -1.0, outside), parameters={"k": [1]}, learning_rate=0.1, key=KEY
        )
