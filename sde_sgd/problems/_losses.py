"""Losses of one example's outputs against its target, and what counts as right."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

Losses = Callable[[Array, Array], Float[Array, " batch"]]


def squared_error(outputs: Array, targets: Num[Array, "batch ..."]) -> Float[Array, " batch"]:
    """½|f(x) − y|² summed over outputs; integer labels count as one-hot vectors."""
    if jnp.issubdtype(targets.dtype, jnp.integer):
        if targets.ndim != 1:
            raise ValueError(
                f"targets must be floats for the squared error of several outputs, got {targets.dtype} of "
                f"shape {targets.shape}. Give the Dataset y.astype(float)."
            )
        targets = jax.nn.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype)
    if outputs.ndim == targets.ndim + 1 and outputs.shape[-1] == 1:
        outputs = outputs[..., 0]
    if outputs.shape != targets.shape:
        raise ValueError(
            f"predict must return one number per target: outputs have shape {outputs.shape}, "
            f"targets {targets.shape}."
        )
    square = (outputs - targets) ** 2
    return 0.5 * jnp.sum(square.reshape(square.shape[0], -1), axis=1)


def cross_entropy(outputs: Array, targets: Num[Array, "batch ..."]) -> Float[Array, " batch"]:
    """−ln softmax(f(x))_y. With a single output, the logistic loss ln(1 + e^{f}) − y f."""
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise ValueError(
            f"targets must be integer class labels for the cross-entropy, got {targets.dtype}. For real "
            f"targets give loss='squared_error'; for classes give the Dataset integers, y.astype(int)."
        )
    if targets.ndim != 1:
        raise ValueError(
            f"targets must be one class label for each example for the cross-entropy, shape (batch,), got "
            f"{targets.shape}. From one-hot rows take y.argmax(axis=1); for sequences give your own loss."
        )
    if outputs.ndim != 2:
        raise ValueError(
            f"predict must return one row of outputs per example, shape (batch, outputs), for the "
            f"cross-entropy, got {outputs.shape}. A single logit needs shape (batch, 1)."
        )
    if outputs.shape[-1] == 1:
        logit = outputs[..., 0]
        return jax.nn.softplus(logit) - targets.astype(logit.dtype) * logit
    labels = jax.nn.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype)
    return jax.nn.logsumexp(outputs, axis=-1) - jnp.sum(labels * outputs, axis=-1)


LOSSES: dict[str, Losses] = {"squared_error": squared_error, "cross_entropy": cross_entropy}


def right(outputs: Array, targets: Array) -> Float[Array, " batch"]:
    """1 where an example is classified right, else 0."""
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise ValueError(f"accuracy needs integer class labels, but the targets are {targets.dtype}.")
    if outputs.shape[-1] == 1:
        guess = (outputs[..., 0] > 0).astype(targets.dtype)
    else:
        guess = jnp.argmax(outputs, axis=-1).astype(targets.dtype)
    return (guess == targets).astype(outputs.dtype)
