"""The models that come with the package: losses, accuracies and starts by hand."""

import copy
import copyreg
import math
import pickle
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_agree, class_data, ensemble, facts, losses_of, quick_jit, ravel, regression_data
from scipy import special

from sde_sgd import SGD, Hyperparameters, problems
from sde_sgd.data import Dataset
from sde_sgd.problems import EmpiricalRisk
from sde_sgd.problems._losses import cross_entropy, squared_error

KEY = jax.random.key(5)
LINEAR = regression_data(20, 5)
CLASSES = class_data(12, 2, 3)
TWO_CLASSES = class_data(10, 3, 2, seed=1)


@quick_jit
def accuracies(problem: EmpiricalRisk, theta: Any) -> tuple[jax.Array, jax.Array]:
    """On the training and on the test set."""
    return problem.training_accuracy(theta), problem.accuracy(theta)


IMAGES = Dataset(np.random.default_rng(0).normal(size=(6, 8, 8)), np.arange(6) % 3, classes=3)


@pytest.mark.parametrize(
    "problem",
    [
        problems.linear_regression(LINEAR),
        problems.logistic_regression(TWO_CLASSES, l2=0.1),
        problems.softmax_regression(CLASSES),
        problems.mlp(CLASSES, hidden=(4,), l2=0.1, l2_mask=lambda path: "bias" not in path),
        problems.resnet(IMAGES, depth=8, width=4, groups=2),
    ],
)
def test_pickled_models_are_the_same_models(problem: EmpiricalRisk) -> None:
    """As a pool of processes needs them, and so the processes over them."""
    process = pickle.loads(pickle.dumps(SGD(problem, Hyperparameters(0.1, 2))))
    same = pickle.loads(pickle.dumps(problem))
    assert type(process) is SGD
    for model in (same, process.problem):
        assert type(model) is EmpiricalRisk
        theta, again = problem.init(KEY), model.init(KEY)
        found = (again, *jax.value_and_grad(model.loss)(again))
        expected = (theta, *jax.value_and_grad(problem.loss)(theta))
        jax.tree.map(np.testing.assert_array_equal, found, expected)


class Secretive(eqx.Module):
    """Its method has one name inside the class and another outside."""

    def __hidden(self) -> int:
        return 1

    def given(self) -> Any:
        return self.__hidden


def test_methods_of_other_modules_are_copied_and_pickled_as_equinox_has_it() -> None:
    method = Secretive().given()
    assert type(method) not in copyreg.dispatch_table
    assert copy.deepcopy(method)() == 1
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(method)


def test_linear_regression_by_hand() -> None:
    x, y = np.asarray(LINEAR.inputs), np.asarray(LINEAR.targets)
    problem = problems.linear_regression(LINEAR, l2=0.3)
    w = np.arange(5.0, dtype=np.float32)
    theta = [{"weight": jnp.asarray(w[:, None])}]
    assert jax.eval_shape(problem.init, KEY)[0]["weight"].shape == (5, 1)
    losses = 0.5 * (x @ w - y) ** 2 + 0.15 * w @ w
    np.testing.assert_allclose(losses_of(problem, theta), losses, rtol=1e-5)
    loss, gradient, hessian = facts(problem, ensemble(theta, 1))
    np.testing.assert_allclose(loss, [losses.mean()], rtol=1e-5)
    expected = x.T @ (x @ w - y) / len(y) + 0.3 * w
    np.testing.assert_allclose(ravel(gradient), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(hessian[0], x.T @ x / len(y) + 0.3 * np.eye(5), rtol=1e-4, atol=1e-5)


def test_logistic_regression_by_hand() -> None:
    x, y = np.asarray(TWO_CLASSES.inputs, np.float64), np.asarray(TWO_CLASSES.targets)
    problem = problems.logistic_regression(TWO_CLASSES)
    theta = [{"weight": jnp.asarray([[1.0], [-2.0], [0.5]]), "bias": jnp.asarray([0.3])}]
    p = special.expit(x @ [1.0, -2.0, 0.5] + 0.3)
    losses = -np.where(y == 1, np.log(p), np.log1p(-p))
    np.testing.assert_allclose(losses_of(problem, theta), losses, rtol=1e-5)
    by_hand = accuracy_by_hand(theta, TWO_CLASSES)
    np.testing.assert_allclose(accuracies(problem, theta)[1], by_hand)


def accuracy_by_hand(theta: Any, dataset: Dataset) -> float:
    weight, bias = np.asarray(theta[0]["weight"]), np.asarray(theta[0]["bias"])
    outputs = np.asarray(dataset.test_inputs) @ weight + bias
    guess = outputs[:, 0] > 0 if outputs.shape[1] == 1 else outputs.argmax(axis=1)
    return float(np.mean(guess == np.asarray(dataset.test_targets)))


def test_softmax_regression_by_hand() -> None:
    x, y = np.asarray(CLASSES.inputs, np.float64), np.asarray(CLASSES.targets)
    problem = problems.softmax_regression(CLASSES)
    weight = np.array([[1.0, -0.5, 0.2], [0.0, 2.0, -1.0]])
    theta = [{"weight": jnp.asarray(weight, jnp.float32), "bias": jnp.asarray([0.1, 0.0, -0.1])}]
    probability = special.softmax(x @ weight + [0.1, 0.0, -0.1], axis=1)
    losses = -np.log(probability[np.arange(12), y])
    np.testing.assert_allclose(losses_of(problem, theta), losses, rtol=1e-4)
    right = probability.argmax(axis=1) == y
    by_hand = right.mean(), accuracy_by_hand(theta, CLASSES)
    np.testing.assert_allclose(accuracies(problem, theta), by_hand)
    tests = np.asarray(CLASSES.test_inputs) @ weight + [0.1, 0.0, -0.1]
    test_losses = special.logsumexp(tests, axis=1) - tests[np.arange(12), y]
    np.testing.assert_allclose(quick_jit(problem.test_loss)(theta), test_losses.mean(), rtol=1e-5)


def test_two_logits_and_one_are_the_same_model() -> None:
    one = problems.logistic_regression(TWO_CLASSES)
    two = problems.softmax_regression(TWO_CLASSES)
    w, b = np.array([[1.0], [-2.0], [0.5]], np.float32), np.array([0.3], np.float32)
    half = [{"weight": jnp.asarray(w), "bias": jnp.asarray(b)}]
    both = [{"weight": jnp.asarray(np.hstack([0 * w, w])), "bias": jnp.asarray([0.0, 0.3])}]
    np.testing.assert_allclose(losses_of(one, half), losses_of(two, both), rtol=1e-5)
    np.testing.assert_allclose(accuracies(one, half), accuracies(two, both))


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "softplus"])
def test_mlp_by_hand(activation: str) -> None:
    function = {
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0),
        "gelu": lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
        "softplus": lambda z: np.log1p(np.exp(z)),
    }[activation]
    problem = problems.mlp(CLASSES, hidden=(4, 3), activation=activation, loss="squared_error")
    rng = np.random.default_rng(0)
    theta = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype),
        jax.eval_shape(problem.init, KEY),
    )
    hidden = np.asarray(CLASSES.inputs)
    for layer in theta[:-1]:
        hidden = function(hidden @ np.asarray(layer["weight"]) + np.asarray(layer["bias"]))
    outputs = hidden @ np.asarray(theta[-1]["weight"]) + np.asarray(theta[-1]["bias"])
    losses = 0.5 * ((outputs - np.eye(3)[np.asarray(CLASSES.targets)]) ** 2).sum(axis=1)
    np.testing.assert_allclose(losses_of(problem, theta), losses, rtol=1e-4)


def test_cross_entropy_is_finite_for_large_logits() -> None:
    outputs = jnp.asarray([[1e4, 0.0], [-1e4, 0.0]])
    np.testing.assert_allclose(cross_entropy(outputs, jnp.asarray([0, 0])), [0, 1e4])
    np.testing.assert_allclose(cross_entropy(outputs[:, :1], jnp.asarray([1, 1])), [0, 1e4])


def test_squared_error_of_several_outputs() -> None:
    outputs, targets = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    expected = 0.5 * ((outputs - targets) ** 2).sum(axis=1)
    np.testing.assert_allclose(squared_error(jnp.asarray(outputs), jnp.asarray(targets)), expected)


def test_initial_weights_have_variance_one_over_fan_in() -> None:
    """Null: N(0, gain²/fan_in); the variance of n weights has relative standard error √(2/n)."""
    problem = problems.mlp(class_data(6, 50, 3), hidden=(80,), gain=1.7)
    for layer in quick_jit(problem.init)(KEY):
        weight = np.asarray(layer["weight"])
        scaled = weight.var() * weight.shape[0] / 1.7**2
        assert_agree(scaled, 1, math.sqrt(2 / weight.size), count=2)
        np.testing.assert_array_equal(layer["bias"], np.zeros(weight.shape[1]))


def test_a_model_that_fits_is_counted_right() -> None:
    data = Dataset(np.eye(3), [0, 1, 2], np.eye(3)[[0, 1, 1]], [0, 1, 2], classes=3)
    problem = problems.softmax_regression(data, bias=False)
    theta = [{"weight": jnp.eye(3)}]
    np.testing.assert_allclose(accuracies(problem, theta), [1, 2 / 3])
