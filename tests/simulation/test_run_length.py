"""How long a run is: steps, epochs or time; that its end is seen; and what stops it before."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd.simulation._length import in_steps

WELL = ss.problems.DoubleWell()
HYPER = ss.Hyperparameters(0.05, 2)
NET = ss.problems.softmax_regression(ss.data.wine())  # 128 training examples


def identity(x):
    return x


def steps_of(process, **length):
    asked = {"steps": None, "epochs": None, "time": None, "every": None, "burn_in": 0, **length}
    return in_steps(process, **asked)


@pytest.mark.parametrize(
    ("every", "steps"), [(300, [0, 300, 600, 900, 1000]), (1000, [0, 1000]), (4000, [0, 1000])]
)
def test_the_end_of_a_run_is_recorded(every, steps, key):
    """And what comes before is as it was."""
    options = {"chains": 3, "key": key, "record": {"x": identity}}
    result = ss.run(ss.SGD(WELL, HYPER), steps=1000, every=every, **options)
    np.testing.assert_array_equal(result.record_steps, steps)
    assert result.record["x"].shape == (len(steps), 3)
    np.testing.assert_array_equal(result.record["x"][-1], result.theta)
    np.testing.assert_allclose(result.time, np.array(steps) * 0.05, rtol=1e-6)


def test_statistics_take_evenly_spaced_samples_only(key):
    """Samples at 30, 60 and 90 of 100 steps: the end is in the record and in no mean."""
    process = ss.SGD(WELL, HYPER)
    ask = {"moments": {"x": identity}, "histograms": ss.Histogram(-3, 3, 6), "record": {"x": identity}}
    cut = ss.run(process, chains=40, steps=100, every=30, key=key, **ask)
    even = ss.run(process, chains=40, steps=90, every=30, key=key, **ask)
    np.testing.assert_array_equal(cut.record_steps, [0, 30, 60, 90, 100])
    assert cut.moments["x"].count == even.moments["x"].count == 3
    np.testing.assert_array_equal(cut.moments["x"].mean_per_chain, even.moments["x"].mean_per_chain)
    np.testing.assert_array_equal(cut.histograms["theta"].counts, even.histograms["theta"].counts)
    assert cut.histograms["theta"].total == 40 * 3


def test_a_run_goes_on_after_an_end_between_samples(key):
    process = ss.SGD(WELL, HYPER)
    options = {"chains": 3, "key": key, "record": {"x": identity}, "every": 4}
    first = ss.run(process, steps=10, **options)
    second = ss.run(process, steps=7, initial=first, **options)
    np.testing.assert_array_equal(first.record_steps, [0, 4, 8, 10])
    np.testing.assert_array_equal(second.record_steps, [14, 17])
    whole = ss.run(process, steps=17, chains=3, key=key)
    np.testing.assert_array_equal(second.theta, whole.theta)


def test_the_end_of_chunks_side_by_side_is_joined(key):
    options = {"chains": 6, "steps": 50, "every": 20, "key": key, "record": {"x": identity}}
    whole = ss.run(ss.SGD(WELL, HYPER), **options)
    cut = ss.run(ss.SGD(WELL, HYPER), chunk=2, **options)
    np.testing.assert_array_equal(whole.record_steps, cut.record_steps)
    np.testing.assert_array_equal(whole.record["x"], cut.record["x"])


def test_a_loss_reached_at_the_end_is_seen(key):
    """From the first sample on, and the end is one."""
    process = ss.SGD(ss.problems.Quadratic(1.0, noise_variance=0.0), ss.Hyperparameters(0.1))
    # L = ½ (0.9^k)²: below .07 from step 10 on
    options = {"chains": 2, "steps": 12, "key": key, "initial": 1.0, "stop_loss": 0.07}
    result = ss.run(process, every=5, record={"x": identity}, moments={"x": identity}, **options)
    np.testing.assert_array_equal(result.stopped_at, [10, 10])
    late = ss.run(process, every=9, record={"x": identity}, moments={"x": identity}, **options)
    np.testing.assert_array_equal(late.stopped_at, [12, 12])
    np.testing.assert_array_equal(late.record_steps, [0, 9, 12])
    np.testing.assert_allclose(late.moments["x"].mean, 0.9**9, rtol=1e-6)


@pytest.mark.script
def test_a_sweep_sees_the_end(key):
    found = ss.sweep(ss.SGD, NET, learning_rate=[0.1, 0.2], batch_size=8, steps=10, every=4, key=key)
    np.testing.assert_array_equal(found.dataset["step"], [0, 4, 8, 10])
    found = ss.sweep(
        ss.SGD, NET, learning_rate=0.1, batch_size=[8, 128], epochs=1.5, every=1, key=key, record=["loss"]
    )
    np.testing.assert_allclose(found.dataset["epoch"], [0, 1, 1.5])
    np.testing.assert_array_equal(found.dataset["updates"], [[0, 16, 24], [0, 1, 2]])


@pytest.mark.script
def test_an_end_within_the_step_of_the_last_sample_is_that_sample(key):
    """At B = 128 a step is an epoch: the samples at 1 and 1.4 epochs are both the first step."""
    found = ss.sweep(
        ss.SGD, NET, learning_rate=0.1, batch_size=[8, 128], epochs=1.4, every=1, key=key, record=["loss"]
    )
    np.testing.assert_array_equal(found.dataset["updates"], [[0, 16, 22], [0, 1, 1]])
    loss = found.dataset["loss"].sel(batch_size=128).values.squeeze()
    assert loss[1] == loss[2] != loss[0]


def test_epochs_and_time_are_steps(key):
    process = ss.SGD(NET, ss.Hyperparameters(0.1, 16, 0.5))  # 8 steps an epoch, .2 of time each
    options = {"chains": 2, "key": key, "record": ["loss"]}
    runs = [
        ss.run(process, steps=20, every=8, **options),
        ss.run(process, epochs=2.5, every=1, **options),
        ss.run(process, time=4.0, every=1.6, **options),
    ]
    for result in runs:
        np.testing.assert_array_equal(result.record_steps, [0, 8, 16, 20])
        np.testing.assert_array_equal(result.record["loss"], runs[0].record["loss"])
    np.testing.assert_allclose(runs[1].epochs, [0, 1, 2, 2.5])
    np.testing.assert_allclose(runs[2].time, [0, 1.6, 3.2, 4.0], rtol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.7, 1 / 3])
def test_samples_of_a_rate_that_went_through_float32_stay_a_step_apart(rate):
    asked = steps_of(ss.SGD(WELL, ss.Hyperparameters(rate)), time=rate * 10**6, every=rate)
    assert asked.marks == range(1, 10**6 + 1)


def test_samples_of_epochs_that_are_no_whole_steps_lie_at_the_nearest():
    process = ss.SGD(NET, ss.Hyperparameters(0.1, 20))  # 6.4 steps an epoch
    asked = steps_of(process, epochs=5, every=1, burn_in=2)
    assert (asked.steps, asked.burn_in) == (32, 13)
    np.testing.assert_array_equal(asked.marks, [6, 13, 19, 26, 32])


@pytest.mark.parametrize(
    ("process", "length", "message"),
    [
        (ss.SGD(WELL, HYPER), {}, "give one of steps, epochs and time, got none"),
        (ss.SGD(WELL, HYPER), {"steps": 3, "time": 1.0}, "give one of .*, got steps and time"),
        (ss.SGD(WELL, HYPER), {"epochs": 3}, "epochs need a data set, which DoubleWell has not; give steps"),
        (ss.SGD(NET, HYPER), {"epochs": -1}, "epochs must be finite and > 0, got -1"),
        (ss.SGD(NET, HYPER), {"epochs": 1e-3}, "epochs must be at least one step, which is 0.015625 epochs"),
        (ss.SGD(NET, HYPER), {"epochs": 1, "every": 1e-3}, "every must be at least one step"),
        (
            ss.SGD(NET, HYPER),
            {"epochs": 1, "burn_in": 2},
            "burn_in must be at most the 64 steps.*got 2 epochs",
        ),
        (ss.SGD(NET, HYPER), {"epochs": 1e12}, "epochs must end by 2147483647 steps"),
        (ss.SGD(WELL, ss.Hyperparameters([0.1, 0.2])), {"time": 3}, "a learning rate or momentum for each"),
        (
            ss.SGD(WELL, HYPER, schedule=lambda k: 1.0 / (1 + k)),
            {"time": 3},
            "there is a schedule; give steps",
        ),
    ],
)
def test_a_length_that_is_none_is_refused(process, length, message):
    with refused(match=message):
        steps_of(process, **length)


def low(theta):
    return theta < 0.5


def loss_below(theta):
    return WELL.loss(theta) <= 0.02


@pytest.mark.filterwarnings("ignore:moments of .* chains stopped before the first")
def test_a_condition_stops_chains_as_a_loss_does(key):
    """The same chains at the same samples, and statistics take no more of them."""
    options = {"chains": 8, "steps": 60, "every": 5, "key": key, "record": ["loss"], "moments": ["loss"]}
    told = ss.run(ss.SGD(WELL, HYPER), stop=loss_below, **options)
    loss = ss.run(ss.SGD(WELL, HYPER), stop_loss=0.02, **options)
    assert (told.stopped_at >= 0).sum() > 0
    for name in ("stopped_at", "record_steps", "theta"):
        np.testing.assert_array_equal(getattr(told, name), getattr(loss, name))
    np.testing.assert_array_equal(told.record["loss"], loss.record["loss"])
    np.testing.assert_array_equal(told.moments["loss"].mean_per_chain, loss.moments["loss"].mean_per_chain)


def test_a_condition_of_the_parameters_and_a_loss_together(key):
    """θ = 0.9^k: below ½ from step 7 on, L below .07 from step 10 on, below .15 from step 6 on."""
    process = ss.SGD(ss.problems.Quadratic(1.0, noise_variance=0.0), ss.Hyperparameters(0.1))
    options = {"chains": 2, "steps": 30, "every": 1, "key": key, "initial": 1.0, "stop": low}
    for limit, step in ((None, 7), (0.07, 7), (0.15, 6)):
        result = ss.run(process, stop_loss=limit, **options)
        np.testing.assert_array_equal(result.stopped_at, [step, step])
        np.testing.assert_allclose(result.theta, 0.9**step, rtol=1e-6)


def test_a_sweep_stops_on_a_condition(key):
    quiet = ss.problems.Quadratic(1.0, noise_variance=0.0)
    found = ss.sweep(
        ss.SGD, quiet, learning_rate=[0.1, 0.01], batch_size=1, steps=20, every=1, key=key, record=["loss"],
        stop=lambda theta: jnp.abs(theta) < 0.2, seeds=3,
    )  # fmt: skip
    stopped = found.dataset["stopped_at"].values
    loss = np.moveaxis(found.dataset["loss"].transpose("learning_rate", "seed", "step").values, -1, 0)
    below = loss < 0.02
    expected = np.where(below.any(axis=0), below.argmax(axis=0), -1)
    np.testing.assert_array_equal(stopped, expected)


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        (0.1, "stop must be a function of one chain's parameters .*got 0.1. A loss to stop at is stop_loss"),
        (lambda theta: theta, r"stop must return one true or false .*got float32\[\]"),
        (lambda theta: (theta < 0, theta), "stop must return one true or false .*got tuple"),
        (lambda theta: theta.nothing, "stop failed on the parameters of one chain"),
    ],
)
def test_a_condition_that_is_none_is_refused(stop, message, key):
    with refused(match=message):
        ss.run(ss.SGD(WELL, HYPER), chains=2, steps=3, key=key, stop=stop)


def test_a_run_that_stops_on_a_condition_is_resumed_as_that(tmp_path, key):
    options = {"chains": 2, "steps": 8, "key": key, "checkpoint": tmp_path / "run"}
    first = ss.run(ss.SGD(WELL, HYPER), stop=low, **options)
    again = ss.run(ss.SGD(WELL, HYPER), stop=low, resume=True, **options)
    np.testing.assert_array_equal(first.theta, again.theta)
    with pytest.raises(ss.CheckpointError, match=r"recorder\.stop is"):
        ss.run(ss.SGD(WELL, HYPER), stop=loss_below, resume=True, **options)
