"""The points of a sweep: how settings are completed and how many steps they take; what a sweep refuses."""

import functools

import jax
import numpy as np
import optax
import pytest
from helpers import bare, refused

import sde_sgd as ss
from sde_sgd.schedules import cyclic, nearest, piecewise
from sde_sgd.simulation._points import Clock, complete, make_point, settings

WELL = ss.problems.DoubleWell()
TILTED = ss.problems.TiltedNoiseData(ss.problems.Quadratic(1.0), dataset_size=10, key=jax.random.key(2))
BOTH = {"learning_rate": 0.1, "batch_size": 2}


def position(x):
    return x


def test_a_grid_has_its_last_axis_fastest():
    axes, points = settings({"learning_rate": [0.1, 0.2], "batch_size": range(1, 3), "momentum": 0.5})
    assert axes == {"learning_rate": [0.1, 0.2], "batch_size": [1, 2]}
    assert [(one["learning_rate"], one["batch_size"]) for one in points] == [
        (0.1, 1),
        (0.1, 2),
        (0.2, 1),
        (0.2, 2),
    ]
    assert all(one["momentum"] == 0.5 for one in points)


@pytest.mark.parametrize("momentum", [0.0, 0.75])
def test_the_ratio_sets_the_third(momentum):
    for rate, size in ((0.04, 4), (0.3, 7), (1.6, 128)):
        ratio = rate / (size * (1 - momentum))
        known = {"learning_rate": rate, "batch_size": size, "ratio": ratio}
        for left_out in known:
            given = {name: value for name, value in known.items() if name != left_out}
            found = complete({**given, "momentum": momentum})
            assert found["batch_size"] == size
            np.testing.assert_allclose(found["learning_rate"], rate, rtol=1e-12)
    single = complete({"ratio": np.float32(0.01), "learning_rate": np.float32(0.7)})
    assert single["batch_size"] == 70


def sample_steps(problem, clock, rate=0.1, size=2, momentum=0.0, schedule=None):
    values = {"learning_rate": rate, "batch_size": size, "momentum": momentum}
    return make_point(("", problem), schedule, values, clock).sample_steps


@pytest.mark.parametrize("size", [1, 3, 4, 7, 10])
def test_equal_epochs_in_whole_steps_that_do_not_drift(size):
    """Epoch e ends at the step nearest to N e/B, at every one of 60, in one stage or in many."""
    exact = np.arange(61) * 10 / size
    clock = Clock("epochs", 60, 1)
    steps = sample_steps(TILTED, clock, size=size)
    np.testing.assert_array_equal(steps, np.floor(exact + 0.5 + 1e-9))
    stages = cyclic(60, every=1.2, learning_rate=[0.1, 0.2], batch_size=size)
    np.testing.assert_array_equal(sample_steps(TILTED, clock, schedule=stages), steps)
    assert steps[-1] == stages.updates(10)


def test_epochs_of_cyclic_batches_do_not_drift():
    """The steps of all stages before add up as real numbers: 2.5 and 10/3 in turn."""
    clock = Clock("epochs", 60, 1)
    stages = cyclic(60, every=1, learning_rate=0.1, batch_size=[4, 3])
    exact = np.concatenate([[0], np.cumsum(np.tile([10 / 4, 10 / 3], 30))])
    steps = sample_steps(TILTED, clock, schedule=stages)
    np.testing.assert_array_equal(steps, nearest(exact))
    assert steps[-1] == 175


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("rate", [0.01, 0.03, 0.1])
def test_equal_time_in_whole_steps(rate, momentum):
    steps = sample_steps(WELL, Clock("time", 12, 3), rate, momentum=momentum)
    np.testing.assert_array_equal(steps, nearest(np.arange(5) * 3 * (1 - momentum) / rate))


def test_the_end_is_a_sample_where_every_divides_the_length():
    """0.1 is no binary fraction, and yet 0.3 holds it three times."""
    assert sample_steps(WELL, Clock("time", 0.3, 0.1)).tolist() == [0, 1, 2, 3]
    assert sample_steps(WELL, Clock("time", 0.8, 0.2)).tolist() == [0, 2, 4, 6, 8]


def test_the_end_is_a_sample_where_every_does_not_divide_the_length():
    assert sample_steps(WELL, Clock("time", 0.7, 0.2)).tolist() == [0, 2, 4, 6, 7]
    assert sample_steps(WELL, Clock("steps", 10, 4)).tolist() == [0, 4, 8, 10]


# Refusals

ADAM = functools.partial(ss.SGD, optimizer=optax.adam)
SHUFFLED = functools.partial(ss.SGD, sampling="shuffle")


def sweep_refused(message, process=ss.SGD, problem=WELL, **options):
    with refused(match=message):
        bare(ss.sweep)(process, problem, **{"key": jax.random.key(0), "steps": 4, **options})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "give two of learning_rate, batch_size and ratio .*, got none"),
        ({"batch_size": 4}, r"give two of .*, got \['batch_size'\]"),
        ({**BOTH, "ratio": 0.05}, r"give two of .*'learning_rate', 'batch_size', 'ratio'"),
        ({"learning_rate": [0.1, -0.1], "batch_size": 2}, "learning_rate must be finite and > 0, got -0.1"),
        ({"learning_rate": 0.1, "ratio": -0.1}, "ratio must be finite and > 0, got -0.1"),
        ({"learning_rate": 0.1, "ratio": 0.03}, "ask for batch_size 3.33333, which must be an integer"),
        ({"learning_rate": 0.1, "ratio": 10}, "ask for batch_size 0.01, which must be an integer"),
        ({"learning_rate": 0.1, "batch_size": 2.5}, "batch_size must be an integer >= 1, got 2.5"),
        ({"learning_rate": 0.1, "batch_size": [0, 1]}, "batch_size must be finite and > 0, got 0"),
        ({**BOTH, "momentum": 1.0}, "momentum must be finite and >= 0 and < 1, got 1"),
        ({"learning_rate": "fast", "batch_size": 2}, "learning_rate must be a real number"),
        ({"learning_rate": [], "batch_size": 2}, "learning_rate must not be empty"),
        ({"learning_rate": [0.1, 0.1], "batch_size": 2}, "learning_rate must not hold a value twice"),
        ({"learning_rate": [[0.1, 0.2]], "batch_size": 2}, "learning_rate must be one number"),
        ({**BOTH, "seeds": 0}, "seeds must be an integer >= 1, got 0"),
        ({**BOTH, "chunk": 0}, "chunk must be an integer >= 1, got 0"),
        ({**BOTH, "devices": []}, "devices must be a list"),
        ({**BOTH, "data_devices": 3}, "data_devices must divide the number of devices"),
        ({**BOTH, "key": 0}, "key must be one typed key"),
        ({**BOTH, "resume": True}, "resume=True needs checkpoint"),
        ({**BOTH, "stop_loss": np.nan}, "stop_loss must be finite"),
        ({**BOTH, "record": ["lss"]}, "record: DoubleWell has no method 'lss' to observe"),
        ({**BOTH, "record": ["tilt"]}, "record: DoubleWell has no method 'tilt' to observe"),
        ({**BOTH, "record": 3}, "record must be name → function .*or a list of names of methods"),
        ({**BOTH, "record": {"seed": position}}, r"record: \['seed'\] name something else"),
        ({**BOTH, "record": {"ratio": position}}, r"record: \['ratio'\] name something else"),
        ({**BOTH, "process": ss.SGD(WELL, ss.Hyperparameters(0.1))}, "the sweep makes the hyperparameters"),
        ({**BOTH, "process": lambda problem, hyper: 3}, "process must make a process from .*, got 3"),
        ({**BOTH, "problem": 3}, "problem must be a sde_sgd problem such as .* got 3"),
        ({**BOTH, "problem": {"a": WELL, "b": 3}}, "problem 'b' must be a sde_sgd problem such as .* got 3"),
        (
            {**BOTH, "problem": [WELL, WELL]},
            "problem must be one problem or name → problem, such as {'clean'",
        ),
        ({**BOTH, "problem": {}}, "problem must not be empty"),
        (
            {**BOTH, "process": ADAM, "momentum": 0.5},
            "momentum is set in hyper and an optimizer",
        ),
        ({**BOTH, "epochs": 2}, r"give one of epochs, time and steps, got \['epochs', 'steps'\]"),
        ({**BOTH, "steps": None}, "give one of epochs, time and steps, got none"),
        ({**BOTH, "steps": None, "epochs": 2}, "no data set, hence no epochs; give time=... or steps=..."),
        ({**BOTH, "steps": None, "epochs": [1, 2]}, "epochs must be one number"),
        ({**BOTH, "steps": 2.5}, "steps must be an integer >= 1, got 2.5"),
        ({**BOTH, "every": 0.5}, "every must be an integer >= 1, got 0.5"),
        ({**BOTH, "every": 5}, "every must be at most the length, 4 steps, got 5"),
        ({**BOTH, "steps": None, "time": 2, "every": 0.04}, "every = 0.04 time must be at least one step"),
        ({**BOTH, "steps": None, "time": 0.04}, "must be at least one step, but at .* a step is 0.1"),
    ],
)
def test_bad_input(change, message):
    sweep_refused(message, **change)


def test_a_fault_of_the_last_job_is_seen_before_the_first_is_run():
    """Hours of other jobs are not lost to it."""

    def never(_theta):
        raise AssertionError("it was run")

    sizes = {"learning_rate": 0.1, "batch_size": [2, 16], "record": {"x": never}}
    sweep_refused("batch_size must be <= 10", SHUFFLED, TILTED, **sizes)
    problems = {"data": TILTED, "well": WELL}
    sweep_refused(
        "DoubleWell has no method 'example_losses'", problem=problems, **BOTH, record=["example_losses"]
    )


@pytest.mark.parametrize(
    ("runs", "change", "message"),
    [
        ([], {}, "runs must hold at least one setting"),
        ([{"lr": 0.1, "batch_size": 2}], {}, r"runs: \['lr'\] is no setting"),
        ([0.1], {}, "runs must be a list of settings"),
        ({"a": BOTH}, {}, "runs must be a list of settings"),
        ([{"learning_rate": [0.1, 0.2], "batch_size": 2}], {}, "learning_rate must be one number"),
        ([{"learning_rate": 0.1}], {"batch_size": [1, 2]}, r"give one value for \['batch_size'\]"),
        ([BOTH], {"problem": {"a": WELL}}, r"each needs its problem, one of \['a'\], got None"),
        ([{**BOTH, "problem": "b"}], {"problem": {"a": WELL}}, r"one of \['a'\], got 'b'"),
        ([{**BOTH, "problem": "b"}], {}, "'problem' is a name, which needs problem="),
        ([BOTH], {"schedule": piecewise([4], **BOTH)}, "schedule sets η, B and m itself; leave out runs"),
    ],
)
def test_bad_lists(runs, change, message):
    sweep_refused(message, runs=runs, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"time": 1e9},
            r"time = 1e\+09 must be at most 2147483647 steps, but is 1e\+10: .* larger learning_rate",
        ),
        ({"time": 1e9, "every": 1e-6}, r"time = 1e\+09 must be at most 2147483647 steps"),
        ({"steps": 2**31}, r"steps = .* must be at most 2147483647 steps, but is 2147483648"),
        ({"epochs": 1e9, "problem": TILTED}, r"epochs = .* but is 5000000000: .* or a larger batch_size"),
        ({"time": 1.0, "every": 1e-12}, "every = 1e-12 time must be at least one step"),
    ],
)
def test_a_sweep_beyond_the_clock_is_refused_before_it_starts(change, message):
    sweep_refused(message, **{**BOTH, "steps": None, **change})


@pytest.mark.parametrize("unit", ["steps", "epochs"])
def test_stages_that_end_beyond_the_clock_together_are_refused(unit):
    long = piecewise([2**29] * 4, learning_rate=0.1, batch_size=10, unit=unit)
    sweep_refused("must be at most 2147483647 steps", problem=TILTED, schedule=long, steps=None)
    fits = piecewise([2**29] * 3, learning_rate=0.1, batch_size=10, unit=unit)
    (*_, last) = sample_steps(TILTED, Clock(unit, 3 * 2**29, 3 * 2**29), schedule=fits)
    assert last == 3 * 2**29
