"""The contract of every law of motion: configuration apart from state, all chains at once."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree, UInt32

from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.random import Words


class ChainState(eqx.Module):
    """An ensemble: parameters with a leading axis of chains, and what else the process carries."""

    theta: PyTree[Float[Array, "chains ..."]]
    chain: UInt32[Array, " chains"]
    extra: PyTree


class Process(eqx.Module):
    """One law for the same step. One unit of the clock is one SGD step for every process.

    A process acts on the whole ensemble. What may vary from chain to chain (learning rate,
    momentum) is an array leaf; only what sets shapes is static, so a new η, T, seed or starting
    point is not compiled again.
    """

    problem: eqx.AbstractVar[Problem]
    hyper: eqx.AbstractVar[Hyperparameters]

    @abc.abstractmethod
    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: UInt32[Array, " chains"]) -> ChainState:
        """State of an ensemble that starts at `theta`; `chain` keys its random numbers."""

    @abc.abstractmethod
    def streams(self, key: Key[Array, ""]) -> dict[str, Words]:
        """The random streams of this process."""

    @abc.abstractmethod
    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        """One unit of the clock, from `step` to `step + 1`."""

    def advance(
        self,
        state: ChainState,
        *,
        start: Int[Array, ""] | int,
        steps: Int[Array, ""] | int,
        key: Key[Array, ""],
    ) -> ChainState:
        """`steps` units of the clock from `start`. Neither is compiled in."""
        words = self.streams(key)
        begin = jnp.asarray(start, jnp.int32)

        def body(step: Int[Array, ""], state: ChainState) -> ChainState:
            return self.step(state, step, words)

        return lax.fori_loop(begin, begin + jnp.asarray(steps, jnp.int32), body, state)


def check_hyper(problem: object, hyper: object) -> None:
    """Refuse a process built from anything but a problem and its hyperparameters."""
    if not isinstance(problem, Problem):
        raise ValueError(f"problem must be a sde_sgd problem such as problems.DoubleWell(), got {problem!r}.")
    if not isinstance(hyper, Hyperparameters):
        raise ValueError(f"hyper must be Hyperparameters(learning_rate, batch_size), got {hyper!r}.")
