"""What a diagnosis is asked, and what it says where there is nothing to say."""

import jax
import numpy as np
import pytest
from helpers import class_data, refused

import sde_sgd as ss
from sde_sgd import validity
from sde_sgd.validity._causes import _all_examples, _is_silent
from sde_sgd.validity._finer import finer

WELL, HYPER = ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 1}, "steps must be an integer >= 2, got 1. Or give pilot_steps"),
        ({"steps": 0, "pilot_steps": 10}, "steps must be an integer >= 1, got 0"),
        ({"initial": np.zeros(2)}, "initial must be the parameters of one chain, of shapes"),
        ({"initial": 1}, "initial has dtype int"),
        ({"initial": "here"}, "initial must be the parameters of one chain, of shapes"),
    ],
)
def test_a_diagnosis_names_what_was_given(change, message, key):
    with refused(match=message):
        validity.diagnose(WELL, HYPER, **{"steps": 50, "key": key, **change})


@pytest.mark.slow
def test_a_number_is_a_start(key):
    options = {"steps": 40, "key": key, "chains": 4, "progress": False}
    one, other = (validity.diagnose(WELL, HYPER, initial=at, **options) for at in (1.0, np.float32(1.0)))
    np.testing.assert_array_equal(one.pilot.loss, other.pilot.loss)


@pytest.mark.script
def test_batches_of_all_examples_leave_nothing_unexplained(key):
    """There is no noise: the order of the examples is why SGD is not its SDE, and it alone is named."""
    net = ss.problems.softmax_regression(class_data(size=12), l2=0.1)
    found = validity.diagnose(
        net, ss.Hyperparameters(0.1, 12), steps=60, sampling="shuffle", key=key, chains=4, progress=False
    )
    assert found.worst("sde").name == "sampling"
    (unexplained,) = [cause for cause in found.causes if cause.name == "unexplained"]
    assert unexplained.holds
    assert "all examples" in unexplained.text


def test_only_batches_of_all_examples_are_silent():
    assert _is_silent(ss.Hyperparameters(0.1, 12), "shuffle", 12)
    assert _is_silent(ss.Hyperparameters(0.1, 12), "subset", 12)
    assert not _is_silent(ss.Hyperparameters(0.1, 12), "replacement", 12)
    assert not _is_silent(ss.Hyperparameters(0.1, 6), "shuffle", 12)
    assert _all_examples().holds


@pytest.mark.parametrize(("sharpest", "words"), [(0.0, "1 substep"), (1e3, "substeps")])
def test_one_substep_is_one(sharpest, words):
    net = ss.problems.softmax_regression(class_data(size=12))
    found = finer(net, ss.Hyperparameters(0.01, 4), sharpest, steps=10, numbers=8)
    assert found is not None
    assert found.name.endswith(words)


def test_keys_are_typed():
    with refused(match="key must be one typed key"):
        validity.diagnose(WELL, HYPER, steps=50, key=jax.random.key_data(jax.random.key(0)))
