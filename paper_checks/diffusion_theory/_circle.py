"""Real minibatches that carry a model of one parameter over a barrier: the direction of a regression.

    f(θ, x) = R x·(cos θ, sin θ)

on the two leading components x of real data, whitened. Targets are of θ = 0, so that the loss has its minimum
there and its top at π; around the circle it is one barrier after another. Square loss with normal noise in
the targets, or cross-entropy with labels of the model itself. Each input comes with several targets, evenly
spaced quantiles of their law, so that nothing but the minibatch is random.
"""

import functools
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy import stats

import sde_sgd as ss

COPIES = 16
TOP = np.pi
BEYOND = 1.4  # where a chain has left, in units of the way to the top


class Direction(eqx.Module):
    """The prediction, shape `(examples, 1)`."""

    length: Float[Array, ""]

    def __call__(self, theta: Float[Array, ""], inputs: Float[Array, "examples 2"]) -> Array:
        """Of each input."""
        across = inputs[:, 0] * jnp.cos(theta) + inputs[:, 1] * jnp.sin(theta)
        return (self.length * across)[:, None]


class Left(eqx.Module):
    """Whether a chain is past the top, on either side."""

    def __call__(self, theta: Float[Array, ""]) -> Bool[Array, ""]:
        """Of one chain."""
        return jnp.abs(theta) > BEYOND * TOP


def square_loss(ratio: float) -> ss.problems.EmpiricalRisk:
    """R = 1 and noise in the targets such that L(π)/L(0) is this."""
    inputs, quantiles = _inputs()
    noise = stats.norm.ppf(quantiles)
    targets = inputs[:, 0] + 2 / np.sqrt(ratio - 1) * noise / noise.std()
    return _problem("squared_error", 1.0, ss.data.Dataset(inputs, targets))


def cross_entropy(length: float) -> ss.problems.EmpiricalRisk:
    """Labels by the model's own probabilities, of logits ± this for inputs of length 1."""
    inputs, quantiles = _inputs()
    labels = quantiles < 1 / (1 + np.exp(-length * inputs[:, 0]))
    return _problem("cross_entropy", length, ss.data.Dataset(inputs, labels.astype(np.int32), classes=2))


@jax.jit
def measured(problem: ss.problems.EmpiricalRisk) -> tuple[Array, ...]:
    """L(0), L(π), the curvature at 0, that at π without its sign, and C(0)."""
    low, high = jnp.zeros(()), jnp.full((), TOP)
    curvatures = [jnp.reshape(problem.hessian(at), ()) for at in (low, high)]
    noise = jnp.reshape(problem.gradient_covariance(low), ())
    return problem.loss(low), problem.loss(high), curvatures[0], -curvatures[1], noise


def _problem(
    loss: Literal["squared_error", "cross_entropy"], length: float, data: ss.data.Dataset
) -> ss.problems.EmpiricalRisk:
    return ss.problems.EmpiricalRisk(Direction(jnp.asarray(length)), data, init=_bottom, loss=loss)


def _bottom(key: jax.Array) -> Float[Array, ""]:
    del key
    return jnp.zeros(())


@functools.cache
def _inputs() -> tuple[np.ndarray, np.ndarray]:
    """Two whitened components of breast cancer, each example so many times, and the quantile of each copy."""
    inputs = np.asarray(ss.data.breast_cancer(560).inputs, np.float64)
    white = np.linalg.svd(inputs - inputs.mean(axis=0), full_matrices=False)[0][:, :2] * len(inputs) ** 0.5
    return np.repeat(white, COPIES, axis=0), np.tile((np.arange(COPIES) + 0.5) / COPIES, len(inputs))
