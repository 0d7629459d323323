"""Token ids through everything that looks at examples: batches, the SDE, curvature, devices, memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import quick_jit, ravel

import sde_sgd as ss
from sde_sgd.data import Dataset, with_label_noise

KEY = jax.random.key(0)
VOCABULARY, WIDTH = 12, 3


def tokens(size=32):
    """Sequences of five tokens; their class is whether the first is among the lower half."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, VOCABULARY, (size, 5))
    return Dataset(ids, (ids[:, 0] < VOCABULARY // 2).astype(int), ids[:8], (ids[:8, 0] < 6).astype(int))


def embedded(theta, ids):
    return theta["table"][ids].mean(axis=1) @ theta["weight"]


def one_hot(theta, ids):
    return (jax.nn.one_hot(ids, VOCABULARY) @ theta["table"]).mean(axis=1) @ theta["weight"]


def start(key):
    first, second = jax.random.split(key)
    return {
        "table": jax.random.normal(first, (VOCABULARY, WIDTH)),
        "weight": jax.random.normal(second, (WIDTH, 2)),
    }


@pytest.fixture(scope="module")
def problem():
    return ss.problems.EmpiricalRisk(embedded, tokens(), init=start)


@pytest.fixture(scope="module")
def twin():
    """The same function of θ without an index."""
    return ss.problems.EmpiricalRisk(one_hot, tokens(), init=start)


@pytest.fixture(scope="module")
def theta(problem):
    return problem.init(KEY)


@pytest.mark.script
def test_the_covariance_and_the_curvature_are_those_of_the_same_model_without_an_index(problem, twin, theta):
    def facts(one):
        covariance = quick_jit(one.gradient_covariance)(theta)
        operators = (ss.curvature.hvp, ss.curvature.gauss_newton_product, ss.curvature.covariance_product)
        return covariance, *[ravel(operator(one, theta, theta)) for operator in operators]

    for found, expected in zip(facts(problem), facts(twin), strict=True):
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(found, expected, atol=1e-5)


def trained(problem, process, data_devices):
    return ss.run(
        process(problem, ss.Hyperparameters(learning_rate=0.5, batch_size=8)),
        chains=2,
        steps=10,
        key=KEY,
        record={"loss": problem.loss, "accuracy": problem.accuracy},
        data_devices=data_devices,
    )


@pytest.mark.parametrize(("process", "data_devices"), [(ss.SGD, 2), (ss.Langevin, 1)])
def test_an_embedding_is_trained(problem, process, data_devices):
    """Of two devices each holds half of the ids."""
    loss = trained(problem, process, data_devices).record["loss"]
    assert (loss[-1] < loss[0]).all()


@pytest.mark.script
@pytest.mark.parametrize(("process", "data_devices"), [(ss.SGD, 1), (ss.SGD, 2), (ss.Langevin, 1)])
def test_an_embedding_goes_where_its_twin_goes(problem, twin, process, data_devices):
    """With the same key both draw the same batches or noise."""
    one, other = (trained(made, process, data_devices) for made in (problem, twin))
    np.testing.assert_allclose(one.record["loss"], other.record["loss"], rtol=1e-4)
    np.testing.assert_allclose(ravel(one.theta), ravel(other.theta), atol=1e-4)


def test_memory_is_predicted(problem):
    process = ss.SGD(problem, ss.Hyperparameters(learning_rate=0.5, batch_size=8))
    assert ss.predict_memory(process, chains=2, steps=10).total > problem.inputs.nbytes


def test_labels_of_sequences_may_be_made_wrong():
    data = tokens()
    noisy = with_label_noise(data, 0.25, key=KEY, to="other")
    np.testing.assert_array_equal(noisy.inputs, data.inputs)
    assert noisy.inputs.dtype == jnp.int32
    assert int((noisy.targets != data.targets).sum()) == 8
