"""How batches are drawn from N examples: processes of different noise."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, PyTree

from sde_sgd import _checks, random
from sde_sgd._samplings import SAMPLINGS, last_batch
from sde_sgd.problems._base import FreshSampler, Sampler
from sde_sgd.random import Chains, Words

Batches = Int[Array, "chains batch"]
Order = Int[Array, "chains examples"]


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


class ReplacementSampler(FreshSampler):
    """B independent examples a step. The batch gradient has covariance C/B."""

    batch_size: int = eqx.field(static=True)
    dataset_size: int = eqx.field(static=True)

    def fresh(self, words: dict[str, Words], step: Array, chain: Chains) -> Batches:
        here = random.at(words["minibatch"], step)
        first, _ = random.bits(here, chain, (self.batch_size,))
        return random.below(first, self.dataset_size)


class SubsetSampler(FreshSampler):
    """A fresh subset of B different examples a step: covariance (C/B)(N − B)/(N − 1).

    Floyd's algorithm: every subset is equally likely, in O(B²) comparisons and no sort.
    """

    batch_size: int = eqx.field(static=True)
    dataset_size: int = eqx.field(static=True)

    def fresh(self, words: dict[str, Words], step: Array, chain: Chains) -> Batches:
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
        result: Batches = lax.fori_loop(0, self.batch_size, pick, empty)
        return result


class EpochSampler(Sampler):
    """A new order of the data every epoch, cut into batches; the order is kept from step to step."""

    batch_size: int = eqx.field(static=True)
    dataset_size: int = eqx.field(static=True)

    @property
    @abc.abstractmethod
    def batches(self) -> int:
        """How many batches an epoch has."""

    @abc.abstractmethod
    def cut(self, order: Order, position: Int[Array, ""]) -> PyTree:
        """The batches at this position of the epoch, from 0, out of the orders of the chains."""

    def init(self, chain: Chains) -> Order:
        order = jnp.arange(self.dataset_size, dtype=jnp.int32)
        return jnp.broadcast_to(order, (chain.shape[0], self.dataset_size))

    def draw(
        self, state: Order, words: dict[str, Words], step: Array, chain: Chains, origin: Array | int = 0
    ) -> tuple[PyTree, Order]:
        position = (step - origin) % self.batches

        def shuffle(order: Order) -> Order:
            here = random.at(words["shuffle"], step)
            first, second = random.bits(here, chain, order.shape[1:])
            identity = lax.broadcasted_iota(jnp.int32, order.shape, 1)
            return lax.sort((first, second, identity), dimension=1, num_keys=2)[2]

        order = lax.cond(position == 0, shuffle, lambda order: order, state)
        return self.cut(order, position), order


class ShuffleSampler(EpochSampler):
    """A new order every epoch, cut into ⌊N/B⌋ batches; the last N mod B examples sit out.

    A different process from the other two: successive batches are anti-correlated, and the
    stationary variance drops well below (η/B)C unless ηhN/B ≫ 1. No white-noise SDE matches it.
    """

    @property
    def batches(self) -> int:
        return self.dataset_size // self.batch_size

    def cut(self, order: Order, position: Int[Array, ""]) -> Batches:
        return lax.dynamic_slice_in_dim(order, position * self.batch_size, self.batch_size, axis=1)


class PartialBatch(eqx.Module):
    """A batch that may hold fewer examples than there is room for.

    Attributes:
        indices: of the examples. Those from `count` on are the last one again, so that the room
            is filled with losses no worse than theirs, and belong to no mean.
        count: how many there are, 1 ≤ count ≤ B.
    """

    indices: Int[Array, "*chains batch"]
    count: Int[Array, "*chains"]


class ShuffleAllSampler(EpochSampler):
    """A new order every epoch, cut into ⌈N/B⌉ batches, the last of which has N mod B examples.

    Every example comes once an epoch. B does not divide N, else it is `ShuffleSampler`.
    """

    @property
    def batches(self) -> int:
        return -(-self.dataset_size // self.batch_size)

    def cut(self, order: Order, position: Int[Array, ""]) -> PartialBatch:
        start = jnp.asarray(position * self.batch_size, jnp.int32)
        count = jnp.minimum(self.batch_size, self.dataset_size - start)
        places = start + jnp.arange(self.batch_size, dtype=jnp.int32)
        indices = jnp.take(order, places, axis=1, mode="clip")  # beyond the last example, the last
        return PartialBatch(indices, jnp.broadcast_to(count, order.shape[:1]))
