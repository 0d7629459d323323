"""Where the covariance is looked at: models on random halves of their data, trained and at their start.

A half of the examples drawn without replacement, again and again, is the delete-half jackknife: what comes
out scatters as it would over data sets twice as large (Shao, Wu 1989). Each replicate has a start, batches
and a half of its own, so their spread is that of one model trained on all examples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import sde_sgd as ss
from paper_checks._context import Context

COMPONENTS = 6
RATE, BATCH = 0.1, 16
LABELS = 42  # key of the label noise


@dataclass(frozen=True)
class Arm:
    """A model and its data.

    Attributes:
        model: "logistic regression" or "network".
        label_noise: fraction of the labels redrawn uniformly.
    """

    model: str
    label_noise: float

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.model}, {f'{self.label_noise:.0%} random' if self.label_noise else 'clean'} labels"


LOGISTIC, NETWORK = "logistic regression", "network"
ARMS = tuple(Arm(model, noise) for model in (LOGISTIC, NETWORK) for noise in (0.0, 0.25))


def on_a_half(context: Context, arm: Arm, replicate: int) -> ss.problems.EmpiricalRisk:
    """The problem on a random half of the examples."""
    size = context.pick(smoke=320, quick=1280, full=1796)
    data = _breast_cancer() if arm.model == LOGISTIC else ss.data.digits(size)
    if arm.label_noise:
        data = ss.data.with_label_noise(data, arm.label_noise, key=jax.random.key(LABELS))
    order = jax.random.permutation(context.key_for(f"half {arm.name} {replicate}"), data.size)
    half = np.asarray(order)[: data.size // 2]
    inputs, targets = np.asarray(data.inputs)[half], np.asarray(data.targets)[half]
    return _model(context, arm)(ss.data.Dataset(inputs, targets, classes=data.classes))


def _model(context: Context, arm: Arm) -> Callable[[ss.data.Dataset], ss.problems.EmpiricalRisk]:
    if arm.model == LOGISTIC:
        return ss.problems.logistic_regression
    hidden = context.pick(smoke=(16,), quick=(32,), full=(64, 64))
    return lambda data: ss.problems.mlp(data, hidden=hidden)


def random_point(context: Context, arm: Arm, problem: ss.problems.EmpiricalRisk, replicate: int) -> Any:
    """θ from N(0, 1/fan_in), biases 0."""
    return problem.init(context.key_for(f"start {arm.name} {replicate}"))


def trained_point(context: Context, arm: Arm, problem: ss.problems.EmpiricalRisk, replicate: int) -> Any:
    """The minimum of a regression, by Newton's method; a network after SGD whose η falls to 0."""
    start = random_point(context, arm, problem, replicate)
    if arm.model == LOGISTIC:
        return ss.theory.refine_minimum(problem, jax.tree.map(jnp.zeros_like, start))
    steps = context.pick(smoke=2000, quick=8000, full=40_000)
    process = context.sgd(
        problem, ss.Hyperparameters(RATE, BATCH), schedule=optax.cosine_decay_schedule(1.0, steps)
    )
    result = context.run(f"{arm.name} {replicate}", process, chains=1, steps=steps, initial=start)
    return jax.tree.map(lambda leaf: leaf[0], result.theta)


def with_labels_of_the_model(
    problem: ss.problems.EmpiricalRisk, theta: Any, copies: int, key: jax.Array
) -> ss.problems.EmpiricalRisk:
    """The same inputs, each so many times, with labels drawn from the model's own probabilities at θ."""
    inputs = jnp.concatenate([problem.inputs] * copies)
    outputs = problem.predict(theta, inputs)
    if outputs.shape[1] == 1:
        outputs = jnp.concatenate([jnp.zeros_like(outputs), outputs], axis=1)
    targets = np.asarray(jax.random.categorical(key, outputs), np.int32)
    data = ss.data.Dataset(np.asarray(inputs), targets, classes=outputs.shape[1])
    return ss.problems.EmpiricalRisk(problem.predict, data, init=problem.initial)


def _breast_cancer() -> ss.data.Dataset:
    """On its first principal components: on all 30 features the classes can be told apart without error."""
    data = ss.data.breast_cancer(560)
    inputs = np.asarray(data.inputs, np.float64)
    axes = np.linalg.svd(inputs - inputs.mean(axis=0), full_matrices=False)[2][:COMPONENTS]
    return ss.data.Dataset(inputs @ axes.T, data.targets, classes=2, name=data.name)
