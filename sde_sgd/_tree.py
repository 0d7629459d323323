"""Small helpers for pytrees of parameters and for ensembles (a leading axis of chains)."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float


def column(values: Float[Array, ""] | Float[Array, " chains"] | Bool[Array, " chains"], leaf: Array) -> Array:
    """Broadcast a scalar or one number (or flag) per chain against a leaf whose first axis is chains."""
    values = values if values.dtype == bool else values.astype(leaf.dtype)
    return values if values.ndim == 0 else values.reshape(values.shape + (1,) * (leaf.ndim - 1))


def chain_count(tree: Any) -> int:
    """Length of the leading axis shared by all leaves of an ensemble."""
    result: int = jax.tree.leaves(tree)[0].shape[0]
    return result


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


def abstract(tree: Any) -> Any:
    """A pytree of arrays as shapes."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def key_shape() -> Any:
    """The shape of one key, for what is only to be looked at."""
    return _key_shape(getattr(jax.config, "jax_default_prng_impl"))  # noqa: B009 - not among its types


@functools.cache
def _key_shape(impl: str) -> Any:
    return jax.eval_shape(lambda: jax.random.key(0, impl=impl))


def dtypes(tree: Any) -> str:
    """The dtypes of a pytree, for error messages."""
    return ", ".join(sorted({str(leaf.dtype) for leaf in jax.tree.leaves(tree)}))


def structure_hash(tree: Any) -> int:
    """A hash of what a pytree is made of, but for the numbers in its arrays: equal pytrees have equal ones.

    Only where numbers are known, outside `jit`: inside it two pytrees cannot be told equal or not, and
    what finds equal functions by their hash would fail on that.

    Raises:
        TypeError: inside `jit`.
    """
    leaves, structure = jax.tree.flatten(tree)
    if any(isinstance(leaf, Tracer) for leaf in (*leaves, jax.lax.neg(np.float32(1)))):
        raise TypeError(
            f"unhashable inside jit: {type(tree).__name__}. What is jitted need not be jitted again: call "
            f"its method itself, problem.loss in place of jax.jit(problem.loss)."
        )
    kinds = tuple((leaf.shape, str(leaf.dtype)) if hasattr(leaf, "dtype") else type(leaf) for leaf in leaves)
    try:
        return hash((structure, kinds))
    except TypeError:  # a static field that has no hash
        return hash((type(tree), kinds))


class Hashed:
    """Has a hash although it holds arrays, which have none, so that its methods can be jitted."""

    def __hash__(self) -> int:
        return structure_hash(self)


class Function(eqx.Module):
    """A plain function as a pytree without leaves, so that what holds it can enter `jax.jit`."""

    function: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


def as_module(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` itself if it is a pytree (an Equinox module), else wrapped into one."""
    if isinstance(function, eqx.Module):
        assert callable(function)
        return function
    return Function(function)
