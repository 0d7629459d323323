"""Samples where they were asked for: dense early, sparse late."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss

NET = ss.problems.softmax_regression(ss.data.wine())  # 128 training examples
HYPER = ss.Hyperparameters(0.05, 16)
EPOCH = 8  # steps


@pytest.mark.parametrize("places", [[1, 2, 5], (1.0, 2.0, 5.0, 10.0), np.array([1, 2, 5])])
def test_places_in_epochs(places, key):
    """They, the start and the end; what is there is what even samples of the same chains are."""
    options = {"chains": 3, "epochs": 10, "key": key, "record": ["loss"]}
    even = ss.run(ss.SGD(NET, HYPER), every=1, **options)
    found = ss.run(ss.SGD(NET, HYPER), every=places, **options)
    assert found.record_steps.tolist() == [EPOCH * epoch for epoch in (0, 1, 2, 5, 10)]
    np.testing.assert_array_equal(found.record["loss"], even.record["loss"][[0, 1, 2, 5, 10]])
    np.testing.assert_array_equal(jax.tree.leaves(found.theta)[0], jax.tree.leaves(even.theta)[0])


def test_places_in_steps_and_in_time(key):
    options = {"chains": 2, "key": key, "record": ["loss"]}
    in_steps = ss.run(ss.SGD(NET, HYPER), steps=12, every=[1, 3, 4], **options)
    in_time = ss.run(ss.SGD(NET, HYPER), time=12 * 0.05, every=[0.05, 0.15, 0.2], **options)
    assert in_steps.record_steps.tolist() == in_time.record_steps.tolist() == [0, 1, 3, 4, 12]
    np.testing.assert_array_equal(in_steps.record["loss"], in_time.record["loss"])


def test_even_places_are_a_distance(key):
    options = {"chains": 2, "steps": 9, "key": key, "record": ["loss"]}
    one = ss.run(ss.SGD(NET, HYPER), every=3, **options)
    other = ss.run(ss.SGD(NET, HYPER), every=[3, 6, 9], **options)
    np.testing.assert_array_equal(one.record["loss"], other.record["loss"])


@pytest.mark.parametrize("places", [[5], [5, 10], [4, 8, 12], [1, 2]])
def test_even_places_end_where_the_list_does(places, key, tmp_path):
    """Also where chains stop at a loss, and where a shorter run is made longer."""
    options = {"chains": 4, "key": key, "record": ["loss"], "every": places}
    found = ss.run(ss.SGD(NET, HYPER), steps=20, **options)
    assert found.record_steps.tolist() == [0, *places, 20]
    ss.run(ss.SGD(NET, HYPER), steps=14, checkpoint=tmp_path / "run", **options)
    longer = ss.run(ss.SGD(NET, HYPER), steps=20, checkpoint=tmp_path / "run", resume=True, **options)
    assert longer.record_steps.tolist() == found.record_steps.tolist()
    np.testing.assert_array_equal(longer.record["loss"], found.record["loss"])
    level = float(found.record["loss"].max(axis=1)[1])
    stopped = ss.run(ss.SGD(NET, HYPER), steps=20, stop_loss=level, **options)
    assert set(stopped.stopped_at.tolist()) <= {0, *places, 20}


def test_places_may_be_of_float32(key):
    places = jnp.linspace(0.05, 0.55, 11)
    found = ss.run(ss.SGD(NET, HYPER), time=0.55, every=places, chains=1, key=key, record=["loss"])
    assert found.record_steps.tolist() == list(range(12))


def test_a_run_that_was_stopped_goes_on_to_the_same_places(key, tmp_path):
    options = {"chains": 2, "epochs": 10, "key": key, "record": ["loss"], "every": [1, 2, 3, 7]}
    whole = ss.run(ss.SGD(NET, HYPER), **options)
    short = {**options, "epochs": 3, "every": [1, 2, 3]}
    ss.run(ss.SGD(NET, HYPER), checkpoint=tmp_path / "run", **short)
    longer = ss.run(ss.SGD(NET, HYPER), checkpoint=tmp_path / "run", resume=True, **options)
    assert longer.record_steps.tolist() == whole.record_steps.tolist()
    np.testing.assert_array_equal(longer.record["loss"], whole.record["loss"])


def test_places_in_a_sweep(key):
    """Of two batch sizes: places are epochs, the same for both."""
    options = {"learning_rate": 0.05, "batch_size": [16, 32], "seeds": 2, "epochs": 8, "key": key}
    even = ss.sweep(ss.SGD, NET, every=0.5, **options)
    found = ss.sweep(ss.SGD, NET, every=[0.5, 1, 4], **options)
    assert found["epoch"].values.tolist() == [0, 0.5, 1, 4, 8]
    np.testing.assert_array_equal(found["loss"].values, even["loss"].sel(epoch=[0, 0.5, 1, 4, 8]).values)
    in_steps = ss.sweep(ss.SGD, NET, every=[4, 8, 32], steps=64, **{**options, "epochs": None})
    assert in_steps["step"].values.tolist() == [0, 4, 8, 32, 64]


def test_places_over_the_stages_of_a_schedule(key):
    stages = [ss.schedules.Stage(2, 0.05, 16), ss.schedules.Stage(6, 0.02, 32)]
    found = ss.sweep(
        ss.SGD, NET, schedule=ss.schedules.Schedule(stages), every=[1, 2, 3, 8], seeds=2, key=key
    )
    assert found["epoch"].values.tolist() == [0, 1, 2, 3, 8]
    assert found["updates"].values.tolist() == [0, 8, 16, 20, 40]


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([], "every must be one distance, or rising places"),
        ([2, 1], "rising places of samples such as"),
        ([1, 1], "rising places of samples such as"),
        ([1, 11], "every must hold places up to the length, 10 epochs, got 11"),
        ([0, 1], "every must be finite and > 0, got 0"),
        ([1, np.nan], "every must be finite"),
        (["a"], "every must be a real number"),
        ([0.01, 0.02], "at least one step"),
    ],
)
def test_places_that_are_none(places, said, key):
    with refused(match=said):
        ss.run(ss.SGD(NET, HYPER), chains=2, epochs=10, every=places, key=key)
    with refused(match=said):
        ss.sweep(ss.SGD, NET, learning_rate=0.05, batch_size=16, seeds=2, epochs=10, every=places, key=key)


def test_steps_are_whole(key):
    with refused(match=r"every must be an integer"):
        ss.run(ss.SGD(NET, HYPER), chains=2, steps=10, every=[1, 2.5], key=key)
    with refused(match=r"every must be an integer"):
        ss.sweep(ss.SGD, NET, learning_rate=0.1, batch_size=16, seeds=1, steps=10, every=[1, 2.5], key=key)


def test_statistics_want_even_samples(key):
    with refused(match=r"every must be one distance for moments and histograms, .*got \[1, 3\]"):
        ss.run(ss.SGD(NET, HYPER), chains=2, steps=10, every=[1, 3], moments=["loss"], key=key)
