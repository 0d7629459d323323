"""Saturated units, counted by hand."""

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sde_sgd as ss
from sde_sgd import curvature

KEY = jax.random.key(3)
INPUTS = np.array([[1.0], [2.0], [4.0], [8.0]])
DATA = ss.data.Dataset(INPUTS, np.array([0.0, 1.0, 0.0, 1.0]))


def network(activation="tanh", **options):
    return ss.problems.mlp(DATA, hidden=(2, 2), activation=activation, loss="squared_error", **options)


def parameters(first, second):
    """Weights of two hidden layers of two units; the units of the second see the sum of the first."""
    zeros = jnp.zeros(2)
    layers = [jnp.array([first]), jnp.tile(jnp.array(second), (2, 1)), jnp.ones((2, 1))]
    return [
        {"weight": weight, "bias": zeros[: weight.shape[1]]}
        for weight in (jnp.asarray(one, jnp.float32) for one in layers)
    ]


def test_tanh_units_by_hand():
    """|tanh| > .99 beyond 2.65: unit 1 sees 1, 2, 4, 8; unit 2 a tenth. Then 9 x and .1 x of their sum."""
    found = curvature.saturation(network(), parameters([1.0, 0.1], [9.0, 0.1]))
    np.testing.assert_allclose(found.layers, [2 / 8, 4 / 8])
    np.testing.assert_allclose(found.always, [0, 1 / 2])
    assert float(found.fraction) == pytest.approx(6 / 16)


def test_a_threshold_of_ones_own_and_both_signs():
    """|tanh| > .75 from .973 on: all of unit 1; of unit 2, of −.5, −1, −2, −4, three."""
    theta = parameters([1.0, -0.5], [0.1, 0.1])
    found = curvature.saturation(network(), theta, threshold=0.75)
    np.testing.assert_allclose(found.layers, [7 / 8, 0])
    np.testing.assert_allclose(found.always, [1 / 2, 0])


def test_dead_rectified_units():
    """One of two is dead in the first layer; the second is dead where its weights are negative."""
    found = curvature.saturation(network("relu"), parameters([1.0, -1.0], [2.0, -1.0]))
    np.testing.assert_allclose(found.layers, [1 / 2, 1 / 2])
    np.testing.assert_allclose(found.always, [1 / 2, 1 / 2])
    theta = parameters([1.0, 1.0], [1.0, 1.0])
    theta[0]["bias"] = jnp.array([-3.0, 0.0])  # 0 for two examples of four
    found = curvature.saturation(network("relu"), theta)
    np.testing.assert_allclose(found.layers, [2 / 8, 0])
    np.testing.assert_allclose(found.always, [0, 0])
    only = curvature.saturation(network("relu"), theta, subset=[0, 1])
    np.testing.assert_allclose(only.always, [1 / 2, 0])


def test_along_a_direction():
    """At θ + a e with e the first weight of the first layer: a unit sees (1 + a) x."""
    theta = parameters([1.0, 0.0], [0.0, 0.0])
    along = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape)), theta)
    along[0]["weight"] = along[0]["weight"].at[0, 0, 0].set(1.0)
    found = curvature.saturation(network(), theta, vectors=along, displacements=[-1.0, 0.0, 1.0, 2.0])
    assert found.fraction.shape == (1, 4)
    assert found.layers.shape == (1, 4, 2)
    np.testing.assert_allclose(found.layers[0, :, 0], [0, 2 / 8, 3 / 8, 4 / 8])
    here = curvature.saturation(network(), theta)
    np.testing.assert_array_equal(found.layers[0, 1], here.layers)


def test_a_network_of_ones_own_with_positions():
    """Channels are units, pixels count as examples; layers weigh by their units."""

    def activations(theta, inputs):
        pixels = theta * inputs[:, :, None] - jnp.array([0.0, 3.0, 9.0])  # (4, 1, 3): three channels
        return [jax.nn.relu(pixels), jax.nn.relu(theta * inputs)]

    problem = ss.problems.EmpiricalRisk(
        lambda theta, inputs: theta * inputs,
        DATA_OF_ROWS,
        init=lambda key: jnp.ones(()),
        loss="squared_error",
    )
    found = curvature.saturation(problem, jnp.ones(()), activations=activations, kind="relu")
    np.testing.assert_allclose(found.layers, [(0 + 2 + 4) / 12, 0])
    np.testing.assert_allclose(found.always, [1 / 3, 0])
    assert float(found.fraction) == pytest.approx(6 / 16)


DATA_OF_ROWS = ss.data.Dataset(INPUTS, INPUTS)


def test_by_blocks_it_is_the_same():
    """Three blocks of which the last is shorter."""
    inputs = np.asarray(jax.random.normal(KEY, (11, 3)))
    data = ss.data.Dataset(inputs, np.arange(11) % 2, classes=2)
    whole = ss.problems.mlp(data, hidden=5, activation="relu")
    blocks = ss.problems.EmpiricalRisk(whole.predict, data, init=whole.initial, block=4)
    theta = whole.init(KEY)
    one, other = curvature.saturation(whole, theta), curvature.saturation(blocks, theta)
    assert 0 < float(one.fraction) < 1
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_what_is_no_number_is_not_called_dead():
    theta = parameters([1.0, np.nan], [1.0, 1.0])
    found = curvature.saturation(network("relu"), theta)
    assert np.isnan(found.fraction)
    assert np.isnan(found.always).all()


def test_a_regression_in_both_precisions():
    theta = parameters([1.0, 0.1], [9.0, 0.1])
    with helpers.float64():
        data = ss.data.Dataset(INPUTS, np.arange(4.0))
        wide = ss.problems.mlp(data, hidden=(2, 2), loss="squared_error")
        found = curvature.saturation(wide, jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), theta))
        assert found.layers.dtype == jnp.float64
        np.testing.assert_array_equal(found.layers, [2 / 8, 4 / 8])
    assert curvature.saturation(network(), theta).layers.dtype == jnp.float32


@pytest.mark.script
def test_in_a_run_and_mapped_over_chains():
    net = network()
    process = ss.SGD(net, ss.Hyperparameters(0.1, 2))
    watch = {"s": lambda theta: curvature.saturation(net, theta, threshold=0.5).fraction}
    result = ss.run(process, chains=3, steps=4, every=2, record=watch, key=KEY, progress=False)
    assert result.record["s"].shape == (3, 3)
    mapped = jax.jit(jax.vmap(lambda theta: curvature.saturation(net, theta, threshold=0.5)))(result.theta)
    np.testing.assert_allclose(mapped.fraction, result.record["s"][-1], rtol=1e-6)
    assert 0 < float(mapped.fraction.mean()) < 1


THETA = parameters([1.0, 0.1], [9.0, 0.1])
UNIT = jax.tree.map(lambda leaf: leaf[None], THETA)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"problem": ss.problems.DoubleWell(), "theta": 0.5},
            "problem must be an EmpiricalRisk, .*DoubleWell",
        ),
        ({"problem": network("gelu")}, "activations must be given for this network"),
        ({"activations": lambda theta, x: [x]}, "kind must be one of 'tanh', 'relu', got None"),
        ({"activations": lambda theta, x: x, "kind": "relu"}, "activations must return a list"),
        ({"activations": lambda theta, x: [x[:2]], "kind": "relu"}, "activations must .* 4 examples"),
        ({"activations": lambda theta, x: x["a"], "kind": "relu"}, "activations.theta, inputs. failed"),
        ({"kind": "relu"}, "kind must be 'tanh' for this network, got 'relu'"),
        ({"threshold": 1.0}, "threshold must be finite and > 0 and < 1, got 1"),
        ({"problem": network("relu"), "threshold": 0.9}, "threshold is that of |tanh|"),
        ({"vectors": UNIT}, "displacements must be given with vectors"),
        ({"displacements": [1.0]}, "vectors must be given with displacements"),
        ({"vectors": UNIT, "displacements": 1.0}, "displacements must be a list of numbers"),
        ({"vectors": THETA, "displacements": [1.0]}, "vectors must be shaped as the parameters"),
        ({"subset": 2}, "subset must be an array of indices here"),
    ],
)
def test_wrong_arguments(options, message):
    given = {"problem": network(), "theta": THETA} | options
    with helpers.refused(message):
        curvature.saturation(given.pop("problem"), given.pop("theta"), **given)
