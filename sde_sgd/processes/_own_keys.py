"""The random keys that an optimiser carries in its state: one for each chain, and none overlooked."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from sde_sgd._platform import _jaxpr
from sde_sgd.random import Chains, Words


def plain(memory: PyTree) -> Any:
    """A state with the data of its typed keys in their place, which can be stored."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_typed(leaf) else leaf, memory)


def of_each_chain(memory: PyTree, like: PyTree, words: Words, chain: Chains) -> Any:
    """The state of an ensemble's optimisers with its keys mixed with the run's key and the chain's number.

    Done before every step: what a key becomes in a step is mixed again in the next.

    Args:
        memory: the state as `plain` leaves it.
        like: the shapes of the state as the optimiser wants it.
        words: of the run's key.
        chain: the numbers of the chains.
    """

    def mixed(key: Array, number: Array) -> Array:
        for data in (words[0], words[1], number):
            key = jax.random.fold_in(key, data)
        return key

    def one(path: Any, wanted: Any, leaf: Array) -> Array:
        if not _is_key(path, wanted):
            return leaf
        keys = jax.vmap(mixed)(jax.random.wrap_key_data(leaf, impl="threefry2x32"), chain)
        return keys if _is_typed(wanted) else jax.random.key_data(keys)

    return jax.tree_util.tree_map_with_path(one, like, memory)


def check(update: Callable[..., Any], rate: Array, theta: PyTree, memory: PyTree) -> None:
    """Refuse an optimiser whose random numbers would be the same in every chain.

    Raises:
        ValueError: if it draws some and no key is found in its state, or one whose numbers depend on how
            many chains there are.
    """
    keys = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(memory) if _is_key(path, leaf)]
    for key in keys:
        typed = _is_typed(key)
        kind = str(jax.random.key_impl(key)) if typed else "threefry2x32"
        if kind != "threefry2x32" or (not typed and key.shape[1:] != (2,)):
            raise ValueError(
                f"optimizer carries a random key of shape {key.shape[1:]} and kind {kind}, whose numbers "
                f"depend on how many chains there are; give it jax.random.key(seed, impl='threefry2x32')."
            )
    if not keys and _jaxpr.draws(jax.make_jaxpr(update)(rate, theta, theta, memory).jaxpr):
        raise ValueError(
            "optimizer draws random numbers, but its state holds no key that can be told for one, so they "
            "would be the same in every chain; keep a key in the state under the name 'rng_key', as "
            "optax.add_noise does, or add the noise by WhiteNoiseGD or SGLD."
        )


def _is_typed(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _is_key(path: Any, leaf: Any) -> bool:
    """Typed keys are known by their dtype, raw ones by their name."""
    if _is_typed(leaf):
        return True
    name = str(getattr(path[-1], "name", getattr(path[-1], "key", ""))) if path else ""
    return leaf.dtype == jnp.uint32 and leaf.ndim > 1 and any(word in name.lower() for word in ("key", "rng"))
