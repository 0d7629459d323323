"""Small helpers for pytrees of parameters and for ensembles (a leading axis of chains)."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def column(values: Float[Array, ""] | Float[Array, " chains"] | Bool[Array, " chains"], leaf: Array) -> Array:
    """Broadcast a scalar or one number (or flag) per chain against a leaf whose first axis is chains."""
    values = values if values.dtype == bool else values.astype(leaf.dtype)
    return values if values.ndim == 0 else values.reshape(values.shape + (1,) * (leaf.ndim - 1))


def chain_count(tree: Any) -> int:
    """Length of the leading axis shared by all leaves of an ensemble."""
    return jax.tree.leaves(tree)[0].shape[0]


def squared_norm(tree: Any) -> Array:
    """Sum of squares over all leaves of one parameter pytree."""
    return jax.tree.reduce(jnp.add, jax.tree.map(lambda leaf: jnp.sum(leaf * leaf), tree))


def finite_chains(tree: Any) -> Bool[Array, " chains"]:
    """One flag per chain: are all its numbers finite?"""
    flags = [jnp.all(jnp.isfinite(leaf), axis=tuple(range(1, leaf.ndim))) for leaf in jax.tree.leaves(tree)]
    return jnp.stack(flags).all(axis=0)


def same_structure(a: Any, b: Any) -> bool:
    """Whether two pytrees have the same nodes and number of leaves."""
    first: Any = jax.tree.structure(a)
    return bool(first == jax.tree.structure(b))


def describe(tree: Any) -> str:
    """The shapes of a pytree, for error messages."""
    return str(jax.tree.map(lambda leaf: tuple(jnp.shape(leaf)), tree))


def shapes(function: Callable[..., Any], *args: Any) -> Any:
    """The shapes of what a function returns now: `jax.eval_shape` keeps those that it once returned."""
    return jax.eval_shape(lambda *given: function(*given), *args)  # noqa: PLW0108 - a new one each time


def dtypes(tree: Any) -> str:
    """The dtypes of a pytree, for error messages."""
    return ", ".join(sorted({str(leaf.dtype) for leaf in jax.tree.leaves(tree)}))


class Function(eqx.Module):
    """A plain function as a pytree without leaves, so that what holds it can enter `jax.jit`."""

    function: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


def as_module(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` itself if it is a pytree (an Equinox module), else wrapped into one."""
    return function if isinstance(function, eqx.Module) else Function(function)
