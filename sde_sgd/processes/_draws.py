"""Random numbers for a pytree of parameters, chain by chain."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from sde_sgd import random
from sde_sgd.random import Words


def one_chain(theta: PyTree) -> PyTree:
    """Shapes of the parameters of one chain."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), theta)


def normal(words: Words, chain: Array, shapes: PyTree, scale: float) -> PyTree:
    """Independent N(0, scale²) for every leaf; leaves are told apart by their number."""
    return _draw(words, shapes, lambda at, leaf: random.normal(at, chain, leaf.shape, leaf.dtype) * scale)


def signs(words: Words, chain: Array, shapes: PyTree) -> PyTree:
    """Independent random signs ±1 for every leaf."""
    return _draw(words, shapes, lambda at, leaf: random.signs(at, chain, leaf.shape, leaf.dtype))


def pairs(words: Words, chain: Array, shapes: PyTree) -> PyTree:
    """64 random bits for every number of every leaf: two words on the leading axis."""
    return _draw(words, shapes, lambda at, leaf: jnp.stack(random.bits(at, chain, leaf.shape)))


def _draw(words: Words, shapes: PyTree, draw: Any) -> PyTree:
    leaves, structure = jax.tree.flatten(shapes)
    drawn = [draw(random.at(words, number), leaf) for number, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, drawn)
