"""Schedules that grow B: how far they may, and how far momentum sets a stage back."""

import re
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import bare, refused

import sde_sgd as ss
from sde_sgd.schedules import Schedule, decay, piecewise

ONE = jax.devices()[:1]
N = 40


def slope_one(theta, inputs, _):
    """A loss whose gradient is 1 everywhere."""
    return jnp.sum(theta * inputs)


EXAMPLES = ss.data.Dataset(jnp.ones((N, 1)), jnp.zeros(N))
DATA = ss.problems.from_loss(slope_one, EXAMPLES, init=lambda key: jnp.zeros(1))


def x(theta):
    return theta[0]


def ends(schedule, key, **options):
    """θ at the end of every stage."""
    marks = list(np.cumsum([stage.length for stage in schedule.stages]))
    result = ss.sweep(
        partial(ss.SGD, **options),
        DATA,
        schedule=schedule,
        seeds=1,
        every=marks,
        record={"x": x},
        key=key,
        devices=ONE,
    )
    return result["x"].values[0]


def test_lags_are_those_of_a_run(key):
    """Under a constant gradient, up, down and up again; every stage is long enough for its buffer."""
    rates, momenta, sizes, lengths = [0.01, 0.02, 0.03], [0.9, 0.5, 0.95], [2, 4, 4], [20, 10, 60]
    schedule = piecewise(lengths, learning_rate=rates, batch_size=sizes, momentum=momenta)
    steps = np.array([stage.steps("epochs", N) for stage in schedule.stages])
    full = np.array(rates) / (1 - np.array(momenta))
    behind = steps - -np.diff(ends(schedule, key)) / full
    lags = np.array(schedule.momentum_lags(N))
    np.testing.assert_allclose(behind * np.array(sizes) / N, lags, atol=1e-3 * lags.max())
    # m/(1 − m) steps of B/N epochs; then ahead, since the buffer was fuller; then behind again
    np.testing.assert_allclose(lags, [9 * 2 / N, -4 * 4 / N, 19 * 0.9 * 4 / N], rtol=1e-12)


def test_lags_of_epochs_that_leave_no_example_out(key):
    """40 examples in batches of 16 are three steps: a lag of m/(1 − m) steps is that of a run."""
    schedule = piecewise([30], learning_rate=0.01, batch_size=16, momentum=0.9)
    (behind,) = 90 - -np.diff(ends(schedule, key, sampling="shuffle_all")) / 0.1
    (lag,) = schedule.momentum_lags(N, sampling="shuffle_all")
    assert behind / 3 == pytest.approx(lag, rel=1e-3)
    assert lag == pytest.approx(9 / 3, rel=1e-3)
    with refused(match="sampling must be one of"):
        schedule.momentum_lags(N, sampling="all")


def behind(lengths, momenta):
    """By a loop: k − (1 − m) Σ v of each stage."""
    lags, buffer = [], 0.0
    for length, m in zip(lengths, momenta, strict=True):
        total = 0.0
        for _ in range(length):
            buffer = m * buffer + 1
            total += buffer
        lags.append(length - (1 - m) * total)
    return lags


@pytest.mark.parametrize(
    ("lengths", "momenta"),
    [
        ([100, 100], [0.0, 0.75]),
        ([10, 100], [0.99, 0.99]),
        ([5, 5, 50], [0.0, 0.9, 0.9]),
        ([7, 3], [0.9, 0.2]),
    ],
)
def test_lags_are_those_of_a_loop(lengths, momenta):
    """Of stages that end before the buffer is full too: what is left of it is behind in the next."""
    schedule = piecewise(lengths, learning_rate=0.1, batch_size=1, momentum=momenta, unit="steps")
    np.testing.assert_allclose(schedule.momentum_lags(), behind(lengths, momenta), atol=1e-9)


def test_without_momentum_there_is_no_lag():
    assert piecewise([4], learning_rate=0.1, batch_size=1).momentum_lags(10) == (0.0,)


def test_a_lag_of_a_tenth_of_a_stage_is_told(key):
    """m = .9 at B = 4: 9 steps, .9 epochs. Told of 8.9 epochs, not of 9.1, and not of an SDE."""
    options = {"learning_rate": 0.001, "batch_size": 4, "momentum": 0.9}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ends(piecewise([9.1], **options), key)
        short = piecewise([8.9], **options)
        ss.sweep(ss.Langevin, DATA, schedule=short, seeds=1, key=key, devices=ONE)
    told = re.escape(
        "takes about B/(N(1 − m)) = 1 epochs to fill, which sets the stage back by 0.9 of its 8.9"
    )
    with pytest.warns(UserWarning, match=told):
        ends(short, key)


def growing(**change):
    return decay([2, 2, 2], learning_rate=0.001, batch_size=2, factor=2, by="batch_size", **change)


def test_a_batch_that_grows_beyond_a_tenth_of_the_examples_is_refused(key):
    """B = 2, 4, 8 of 40; what was asked for is done, and a first stage may have any B."""
    message = "schedule must keep B <= 0.1 N = 4 where B grows, and has B = 8 in stage 3 of 3"
    with refused(match=re.escape(message)):
        ends(growing(), key)
    with refused(match="schedule 'grow' must keep"):
        ss.sweep(ss.SGD, DATA, schedule={"grow": growing()}, seeds=1, key=key)
    for allowed in (growing(largest_fraction=None), growing(largest_fraction=0.2)):
        assert np.isfinite(ends(allowed, key)).all()
    by_rate = decay([2, 2], learning_rate=0.001, batch_size=20, factor=2)
    assert np.isfinite(ends(by_rate, key)).all()
    assert growing().largest_fraction == 0.1 and piecewise([1], learning_rate=1, batch_size=1)


def test_a_fraction_is_not_missed_by_rounding():
    """.29 of 100 is 28.999999999999996 in floats."""
    options = {"learning_rate": 0.1, "batch_size": 1, "factor": 29, "by": "batch_size"}
    decay([1, 1], **options, largest_fraction=0.29).check_fits(100)


def test_the_problem_that_is_too_small_is_named(key):
    few = ss.problems.from_loss(
        slope_one, ss.data.Dataset(jnp.ones((20, 1)), jnp.zeros(20)), init=lambda key: jnp.zeros(1)
    )
    many = ss.problems.from_loss(
        slope_one, ss.data.Dataset(jnp.ones((200, 1)), jnp.zeros(200)), init=lambda key: jnp.zeros(1)
    )
    with refused(match="schedule for problem 'few' must keep"):
        ss.sweep(ss.SGD, {"many": many, "few": few}, schedule=growing(), seeds=1, key=key)


@pytest.mark.parametrize("size", [0, -5, 2.5, "100", [100], float("nan")])
def test_bad_sizes_of_a_data_set(size):
    for ask in (growing().momentum_lags, growing().updates, growing().check_fits):
        with refused(match="dataset_size must be an integer >= 1"):
            ask(size)


@pytest.mark.parametrize("schedule", [{}, {"a": None}, "decay"])
def test_what_is_no_schedule(schedule, key):
    with refused(match="schedule must be a Schedule"):
        ss.sweep(ss.SGD, DATA, schedule=schedule, seeds=1, key=key)


@pytest.mark.parametrize(
    ("fraction", "message"),
    [(0, "largest_fraction must be finite and > 0, got 0"), (1.5, "largest_fraction must be <= 1, got 1.5")],
)
def test_bad_fractions(fraction, message):
    with refused(match=message):
        growing(largest_fraction=fraction)
    with refused(match=message):
        bare(Schedule.__init__)(object.__new__(Schedule), growing().stages, "epochs", fraction)
