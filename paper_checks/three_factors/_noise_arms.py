"""The third factor on data: gradient variance varied by data, label noise and parameterisation."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy import optimize

import sde_sgd as ss
from paper_checks._context import Context

RATE, BATCH = 0.05, 16
L2 = 0.05
STEPS = 2400  # the first half, six relaxation times of the flattest variance, is left out
COPIES = 4


@dataclass(frozen=True)
class Arm:
    """Stationary SGD on one convex problem.

    Attributes:
        name: of the problem.
        trace: Tr C at the minimum, measured.
        parameters: d.
        excess: ⟨L⟩ − L*, ± `error`.
    """

    name: str
    trace: float
    parameters: int
    excess: float
    error: float
    chains: int

    @property
    def predicted(self) -> float:
        """(η/4B) Tr C: half of Tr HΣ with HΣ + ΣH = (η/B) C."""
        return RATE / (4 * BATCH) * self.trace


def regression(data: str, label_noise: float, scale: float) -> ss.problems.EmpiricalRisk:
    """Softmax regression; `scale` multiplies the inputs, which is a change of the weights' unit."""
    clean = {"digits": ss.data.digits, "breast cancer": ss.data.breast_cancer, "wine": ss.data.wine}[data]()
    noisy = ss.data.with_label_noise(clean, label_noise, key=jax.random.key(42))
    scaled = ss.data.Dataset(scale * noisy.inputs, noisy.targets, classes=noisy.classes, name=data)
    return ss.problems.softmax_regression(scaled, l2=L2)


def arm(context: Context, data: str, label_noise: float, scale: float, chains: int) -> Arm:
    """SGD started at the minimum, and what it adds to the loss."""
    problem = regression(data, label_noise, scale)
    minimum = _minimum(problem)
    name = f"{data}, {label_noise:.0%} random, inputs × {scale:g}"
    result = context.run(
        name,
        context.sgd(problem, ss.Hyperparameters(RATE, BATCH)),
        chains=chains,
        steps=STEPS,
        initial=minimum,
        moments={"loss": problem.loss},
        every=40,
        burn_in=STEPS // 2,
    )
    loss = result.moments["loss"]
    rows = np.asarray(problem.example_gradients(minimum), np.float64)
    return Arm(
        name=name,
        trace=float(rows.var(axis=0).sum()),
        parameters=rows.shape[1],
        excess=float(loss.mean) - float(problem.loss(minimum)),
        error=float(loss.standard_error),
        chains=chains,
    )


def _minimum(problem: ss.problems.EmpiricalRisk) -> Any:
    start = problem.init(jax.random.key(0))
    flat, unravel = ravel_pytree(start)
    slope = jax.jit(jax.value_and_grad(lambda at: problem.loss(unravel(at))))

    def function(at: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = slope(jnp.asarray(at, jnp.float32))
        return float(value), np.asarray(gradient, np.float64)

    found = optimize.minimize(function, np.zeros(flat.size), jac=True, method="L-BFGS-B")
    return unravel(jnp.asarray(found.x, jnp.float32))


def soft_cross_entropy(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """−Σ_k p_k ln softmax(f(x))_k for label probabilities p."""
    return -jnp.sum(targets * jax.nn.log_softmax(outputs), axis=-1)


def same_loss(data: ss.data.Dataset, hidden: tuple[int, ...]) -> tuple[Any, Any]:
    """Two networks with one L(θ) and different gradient noise.

    Every input occurs four times, each time with a label of its own, half of them drawn at random; or it
    occurs once, with the mean of these labels. The cross-entropy is linear in the label, so the mean loss is
    the same function of θ; in the second the disagreement of the labels makes no noise.

    Returns:
        With mean labels, and with drawn ones.
    """
    classes = data.classes
    assert classes is not None
    drawn = [
        ss.data.with_label_noise(data, 0.5, key=jax.random.fold_in(jax.random.key(42), copy)).targets
        for copy in range(COPIES)
    ]
    rows = np.asarray(jax.nn.one_hot(jnp.stack(drawn), classes))
    network = ss.problems.mlp(data, hidden=hidden)
    inputs = np.asarray(data.inputs)
    tables = (inputs, rows.mean(axis=0)), (np.tile(inputs, (COPIES, 1)), rows.reshape(-1, classes))
    soft, hard = (
        ss.problems.EmpiricalRisk(
            network.predict, ss.data.Dataset(x, y), init=network.initial, loss=soft_cross_entropy
        )
        for x, y in tables
    )
    return soft, hard


def covariance_trace(problem: ss.problems.EmpiricalRisk, thetas: Any) -> float:
    """Tr C(θ) = ⟨|∇ℓ_n|²⟩ − |∇L|², mean over chains."""

    def one(theta: Any) -> jax.Array:
        rows = problem.example_gradients(theta)
        return jnp.sum(jnp.var(rows, axis=0))

    return float(jnp.mean(jax.jit(lambda many: jax.lax.map(one, many))(thetas)))
