"""How batches are drawn from N examples: processes of different noise."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, UInt32

from sde_sgd import _checks, random
from sde_sgd._samplings import SAMPLINGS, last_batch
from sde_sgd.problems._base import Sampler
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
    if sampling == "subset":
        return SubsetSampler(batch_size, dataset_size)
    if sampling == "shuffle" or last_batch(batch_size, dataset_size) == batch_size:
        return ShuffleSampler(batch_size, dataset_size)
    return ShuffleAllSampler(batch_size, dataset_size)


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
            result: Batches = lax.dynamic_update_index_in_dim(chosen, new, i, 1)
            return result

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
        position, order = _order(state, words, step, chain, origin, self.dataset_size // self.batch_size)
        start = position * self.batch_size
        return lax.dynamic_slice_in_dim(order, start, self.batch_size, axis=1), order


class PartialBatch(eqx.Module):
    """A batch that may hold fewer examples than there is room for.

    Attributes:
        indices: of the examples. Those from `count` on are the last one again, so that the room
            is filled with losses no worse than theirs, and belong to no mean.
        count: how many there are, 1 ≤ count ≤ B.
    """

    indices: Int[Array, "*chains batch"]
    count: Int[Array, "*chains"]


class ShuffleAllSampler(Sampler):
    """A new order every epoch, cut into ⌈N/B⌉ batches, the last of which has N mod B examples.

    Every example comes once an epoch. B does not divide N, else it is `ShuffleSampler`.
    """

    batch_size: int = eqx.field(static=True)
    dataset_size: int = eqx.field(static=True)

    def init(self, chain: UInt32[Array, " chains"]) -> Int[Array, "chains examples"]:
        return ShuffleSampler(self.batch_size, self.dataset_size).init(chain)

    def draw(
        self,
        state: Any,
        words: dict[str, Words],
        step: Array,
        chain: UInt32[Array, " chains"],
        origin: Array | int = 0,
    ) -> tuple[PartialBatch, Any]:
        position, order = _order(state, words, step, chain, origin, -(-self.dataset_size // self.batch_size))
        start = jnp.asarray(position * self.batch_size, jnp.int32)
        count = jnp.minimum(self.batch_size, self.dataset_size - start)
        places = start + jnp.arange(self.batch_size, dtype=jnp.int32)
        indices = jnp.take(order, places, axis=1, mode="clip")  # beyond the last example, the last
        return PartialBatch(indices, jnp.broadcast_to(count, chain.shape)), order


def _order(
    order: Int[Array, "chains examples"],
    words: dict[str, Words],
    step: Array,
    chain: UInt32[Array, " chains"],
    origin: Array | int,
    batches: int,
) -> tuple[Int[Array, ""], Int[Array, "chains examples"]]:
    """Which batch of its epoch a step takes, and the order of the data, new where an epoch begins."""
    position = (step - origin) % batches

    def shuffle(order: Array) -> Array:
        here = random.at(words["shuffle"], step)
        first, second = random.bits(here, chain, order.shape[1:])
        identity = lax.broadcasted_iota(jnp.int32, order.shape, 1)
        return lax.sort((first, second, identity), dimension=1, num_keys=2)[2]

    return position, lax.cond(position == 0, shuffle, lambda order: order, order)
