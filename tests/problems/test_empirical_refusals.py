"""What does not fit an empirical risk is refused by name."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import REFUSED, bare, class_data, refused, regression_data

from sde_sgd import problems
from sde_sgd.data import Dataset
from sde_sgd.problems import EmpiricalRisk
from sde_sgd.problems._losses import cross_entropy

KEY = jax.random.key(5)
LINEAR = regression_data(20, 5)
CLASSES = class_data(12, 2, 3)
TWO_CLASSES = class_data(10, 3, 2, seed=1)
EMPTY = Dataset(np.ones((6, 0)), np.zeros(6), name="nothing")


def predict_with(*shape: int) -> Callable[..., Any]:
    return lambda theta, x: x @ theta.reshape(2, *shape)


def risk(theta: Any, predict: Any = None, data: Any = CLASSES, **more: Any) -> Any:
    return EmpiricalRisk(predict or predict_with(3), data, init=lambda key: theta, **more)


BAD: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: risk(jnp.ones((2, 3), int)),
        "init must return floating-point parameters, got int32",
    ),
    (
        lambda: risk({"w": jnp.ones(6), "steps": jnp.asarray(0)}, lambda th, x: x @ th["w"]),
        "init must return floating-point parameters, got float32, int32",
    ),
    (lambda: risk(jnp.ones(6), loss="hinge"), "loss must be one of .*, got 'hinge'"),
    (lambda: risk(jnp.ones(6), l2=-1.0), "l2 must be finite and >= 0, got -1"),
    (lambda: risk(jnp.ones(6), l2=np.nan), "l2 must be finite and >= 0, got nan"),
    (lambda: risk(jnp.ones(4), predict_with(2)), "one output for each of the 3 classes.* got 2"),
    (lambda: risk(jnp.ones(2), predict_with(1)), "one output for each of the 3 classes.* got 1"),
    (lambda: risk(jnp.ones(2), predict_with()), r"one row of outputs per example.*got \(12,\)"),
    (
        lambda: risk(jnp.ones(4), predict_with(2), loss="squared_error"),
        "one output for each of the 3 classes.* got 2",
    ),
    (
        lambda: risk(jnp.ones(4), predict_with(2), regression_data(12, 2), loss="squared_error"),
        r"predict must return one number per target: outputs have shape \(12, 2\)",
    ),
    (lambda: problems.mlp(CLASSES, activation="sin"), "activation must be one of .*, got 'sin'"),
    (lambda: problems.mlp(CLASSES, hidden=(3, 0)), "hidden must be an integer >= 1, got 0"),
    (lambda: problems.mlp(EMPTY), r"'nothing' must have inputs with at least one number .*\(6, 0\)"),
    (lambda: problems.linear_regression(EMPTY), r"'nothing' must have inputs .* got shape \(6, 0\)"),
    (
        lambda: problems.linear_regression(Dataset(np.ones((6, 2)), np.ones((6, 0)))),
        r"must have targets with at least one number for each example, got shape \(6, 0\)",
    ),
    (lambda: problems.mlp(CLASSES, gain=0.0), "gain must be finite and > 0, got 0"),
    (lambda: problems.linear_regression(CLASSES), "has class labels; linear_regression needs real"),
    (lambda: problems.logistic_regression(CLASSES), "needs 2 classes, dataset 'data' has 3"),
    (lambda: problems.logistic_regression(LINEAR), "needs 2 classes, dataset 'data' has None"),
    (lambda: problems.softmax_regression(LINEAR), "needs classes, dataset 'data' has real targets"),
    (lambda: problems.linear_regression(LINEAR).test_loss(jnp.ones(5)), "has no test examples"),
    (lambda: problems.linear_regression(LINEAR).accuracy(jnp.ones(5)), "has no test examples"),
]


@pytest.mark.parametrize(("build", "message"), BAD)
def test_bad_values_are_refused(build: Callable[[], Any], message: str) -> None:
    with refused(match=message):
        build()


@pytest.mark.parametrize(
    "build",
    [
        lambda: EmpiricalRisk(None, CLASSES, init=lambda key: jnp.ones(6)),
        lambda: EmpiricalRisk(predict_with(3), CLASSES, init=jnp.ones(6)),
        lambda: EmpiricalRisk(predict_with(3), CLASSES.inputs, init=lambda key: jnp.ones(6)),
        lambda: problems.mlp(LINEAR),  # a cross-entropy of real targets
        lambda: risk(jnp.ones(6), loss=lambda outputs, targets: jnp.sum(outputs)),
        lambda: risk(jnp.ones(6), loss=lambda outputs, targets: outputs),
    ],
)
def test_what_does_not_fit_is_refused(build: Callable[[], Any]) -> None:
    with pytest.raises(REFUSED):
        build()


def test_cross_entropy_of_real_targets_has_its_own_message() -> None:
    with refused(match="targets must be integer class labels"):
        bare(cross_entropy)(jnp.ones((4, 2)), jnp.ones(4))


def test_accuracy_of_real_targets_is_refused() -> None:
    problem = problems.linear_regression(LINEAR)
    with refused(match="accuracy needs integer class labels"):
        problem.training_accuracy(problem.init(KEY))


def test_one_logit_and_more_outputs_than_classes_are_accepted() -> None:
    problems.logistic_regression(TWO_CLASSES)
    wide = risk(jnp.ones(8), predict_with(4))
    assert wide.example_losses(jnp.ones(8)).shape == (12,)
