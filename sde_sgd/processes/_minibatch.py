"""What processes have in common whose gradient is that of a minibatch."""

import equinox as eqx
import jax
from jaxtyping import Array, Int, Key, PyTree

from sde_sgd import random
from sde_sgd._types import Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem, Sampler
from sde_sgd.processes._base import ChainState, RateSchedule, SingleProcess
from sde_sgd.random import Stream, Words


class MinibatchProcess(SingleProcess):
    """A process that draws B examples for every step, as `sampling` says.

    Attributes:
        sampling: "replacement", "subset", "shuffle" or "shuffle_all", as `SGD` explains.
    """

    sampling: Sampling = eqx.field(static=True)

    def __init__(
        self, problem: Problem, hyper: Hyperparameters, schedule: RateSchedule | None, sampling: Sampling
    ):
        super().__init__(problem, hyper, schedule)
        problem.sampler(sampling, hyper.batch_size)
        self.sampling = sampling

    @property
    def examples_per_gradient(self) -> int:
        return self.hyper.batch_size

    @property
    def sampler(self) -> Sampler:
        """Draws the batches."""
        return self.problem.sampler(self.sampling, self.hyper.batch_size)

    def streams(self, key: Key[Array, ""]) -> dict[str, Words]:
        return minibatch_streams(key)

    def gradient(
        self, state: ChainState, order: PyTree, step: Int[Array, ""], words: dict[str, Words]
    ) -> tuple[PyTree, PyTree]:
        """ĝ_B of every chain at its parameters, and the sampler's state after it."""
        batch, order = self.sampler.draw(order, words, step, state.chain, self.origin)
        return jax.vmap(self.problem.batch_gradient)(state.theta, batch), order


def minibatch_streams(key: Key[Array, ""]) -> dict[str, Words]:
    """The random streams from which the samplers of all problems draw."""
    return random.streams(
        key, minibatch=Stream.MINIBATCH, shuffle=Stream.SHUFFLE, gradient_noise=Stream.GRADIENT_NOISE
    )
