"""How batches are drawn from N examples: three processes with three noise levels."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, UInt32

from sde_sgd import _checks, random
from sde_sgd.problems._base import SAMPLINGS, Sampler
from sde_sgd.random import Words

Batches = Int[Array, "chains batch"]


def index_sampler(sampling: str, batch_size: int, dataset_size: int) -> Sampler:
    """The sampler of that name for B of N examples.

    Raises:
        ValueError: for an unknown name, or for B > N without replacement.
    """
    _checks.choice("sampling", sampling, SAMPLINGS)
    if sampling == "replacement":
        return ReplacementSampler(batch_size, dataset_size)
    if batch_size > dataset_size:
        raise ValueError(
            f"batch_size must be <= {dataset_size} examples with sampling={sampling!r}, got "
            f"{batch_size}. Use a smaller batch or sampling='replacement'."
        )
    sampler = SubsetSampler if sampling == "subset" else ShuffleSampler
    return sampler(batch_size, dataset_size)


class ReplacementSampler(Sampler):
    """B independent examples a step. The batch gradient has covariance C/B."""

    batch_size: int = eqx.field(static=True)
    dataset_size: int = eqx.field(static=True)

    def init(self, chain: UInt32[Array, " chains"]) -> None:
        del chain

    def draw(
        self,
        state: None,
        words: dict[str, Words],
        step: Array,
        chain: UInt32[Array, " chains"],
        origin: Array | int = 0,
    ) -> tuple[Batches, None]:
        here = random.at(words["minibatch"], step)
        first, _ = random.bits(here, chain, (self.batch_size,))
        return random.below(first, self.dataset_size), state


class SubsetSampler(Sampler):
    """A fresh subset of B different examples a step: covariance (C/B)(N − B)/(N − 1).

    Floyd's algorithm: every subset is equally likely, in O(B²) comparisons and no sort.
    """

    batch_size: int = eqx.field(static=True)
    dataset_size: int = eqx.field(static=True)

    def init(self, chain: UInt32[Array, " chains"]) -> None:
        del chain

    def draw(
        self,
        state: None,
        words: dict[str, Words],
        step: Array,
        chain: UInt32[Array, " chains"],
        origin: Array | int = 0,
    ) -> tuple[Batches, None]:
        here = random.at(words["minibatch"], step)
        first, _ = random.bits(here, chain, (self.batch_size,))
        lowest = self.dataset_size - self.batch_size

        def pick(i: Int[Array, ""], chosen: Batches) -> Batches:
            candidate = random.below(lax.dynamic_index_in_dim(first, i, 1, False), lowest + i + 1)
            taken = jnp.any(chosen == candidate[:, None], axis=1)
            new = jnp.where(taken, lowest + i, candidate)
            return lax.dynamic_update_index_in_dim(chosen, new, i, 1)

        empty = jnp.full((chain.shape[0], self.batch_size), -1, jnp.int32)
        return lax.fori_loop(0, self.batch_size, pick, empty), state


class ShuffleSampler(Sampler):
    """A new order every epoch, cut into ⌊N/B⌋ batches; the last N mod B examples sit out.

    A different process from the other two: successive batches are anti-correlated, and the
    stationary variance drops well below (η/B)C unless ηhN/B ≫ 1. No white-noise SDE matches it.
    """

    batch_size: int = eqx.field(static=True)
    dataset_size: int = eqx.field(static=True)

    def init(self, chain: UInt32[Array, " chains"]) -> Int[Array, "chains examples"]:
        order = jnp.arange(self.dataset_size, dtype=jnp.int32)
        return jnp.broadcast_to(order, (chain.shape[0], self.dataset_size))

    def draw(
        self,
        state: Any,
        words: dict[str, Words],
        step: Array,
        chain: UInt32[Array, " chains"],
        origin: Array | int = 0,
    ) -> tuple[Batches, Any]:
        batches = self.dataset_size // self.batch_size
        position = (step - origin) % batches

        def shuffle(order: Array) -> Array:
            here = random.at(words["shuffle"], step)
            first, second = random.bits(here, chain, (self.dataset_size,))
            identity = lax.broadcasted_iota(jnp.int32, order.shape, 1)
            return lax.sort((first, second, identity), dimension=1, num_keys=2)[2]

        order = lax.cond(position == 0, shuffle, lambda order: order, state)
        start = position * self.batch_size
        return lax.dynamic_slice_in_dim(order, start, self.batch_size, axis=1), order
