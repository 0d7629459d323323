"""A process whose chains are put back where they came from when they leave."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._samplings import is_shuffled
from sde_sgd._samplings import of as sampling_of
from sde_sgd._types import Observable, Scalar
from sde_sgd.escape._outside import Outside, outside_of, start_inside
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import LAST_STEP, ChainState, Process, RateSchedule
from sde_sgd.processes._loops import alone
from sde_sgd.random import Chains, Words


class Exits(eqx.Module):
    """What a `Renewal` carries along beside the process.

    Attributes:
        extra: what the process itself carries.
        number: exits of each chain after the burn-in.
        first: the step of the clock of the first of them, −1 before.
    """

    extra: PyTree
    number: Int[Array, " chains"]
    first: Int[Array, " chains"]


class Renewal(Process):
    r"""Any process whose chains are put back at the bottom of their well once they have left it.

    The exits of a chain are a renewal process: between two of them lies one passage from the start to the
    outside, of mean E T steps. So over a horizon K ≫ the time to forget the start

        E[exits in K steps] = K/E T

    with no chain idle and no loop of unknown length: `rate` gives 1/E T with an exact interval. What is
    outside is looked at after every step of the clock.

        renewal = escape.Renewal(SGD(problem, hyper), start=0.0, outside=lambda x: x > 1, burn_in=1_000)
        result = run(renewal, chains=10_000, steps=50_000, key=key, initial=0.0)
        escape.rate(result)

    Args:
        process: with independent steps: no schedule, no shuffled epochs, and no optimizer that counts.
        start: parameters of one chain, inside: where chains are put back, with nothing carried along.
        outside: true for the parameters of one chain that has left, or a loss at which it has.
        burn_in: steps of the clock before exits are counted, so that where chains began does not matter.

    Raises:
        ValueError: for another kind of process, a start that is outside, or numbers out of range.
    """

    process: Process
    start: PyTree
    outside: Outside
    burn_in: Int[Array, ""]

    def __init__(self, process: Process, *, start: PyTree, outside: Observable | Scalar, burn_in: int = 0):
        self.outside = outside_of(process, outside)
        check_independent(process, "Renewal")
        self.process = process
        self.start = start_inside(process, start, self.outside)
        most = _checks.integer("burn_in", burn_in, at_least=0, at_most=LAST_STEP)
        self.burn_in = jnp.asarray(most, jnp.int32)

    @property
    def problem(self) -> Problem:  # type: ignore[misc, override]
        return self.process.problem

    @property
    def hyper(self) -> Hyperparameters:  # type: ignore[misc, override]
        return self.process.hyper

    @property
    def schedule(self) -> RateSchedule | None:  # type: ignore[misc, override]
        return self.process.schedule

    @property
    def origin(self) -> Int[Array, ""]:  # type: ignore[misc, override]
        return self.process.origin

    @property
    def examples_per_gradient(self) -> int | None:
        return self.process.examples_per_gradient

    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: Chains) -> ChainState:
        state = self.process.init(theta, chain)
        none = jnp.zeros_like(chain, jnp.int32)
        return ChainState(state.theta, chain, Exits(state.extra, none, none - 1))

    def streams(self, key: Key[Array, ""]) -> dict[str, Words]:
        return self.process.streams(key)

    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        chain, exits = state.chain, state.extra
        inner = ChainState(state.theta, chain, exits.extra)
        moved = alone(lambda number, state: self.process.step(state, number, words), step, inner)
        left = self.outside(moved.theta)
        theta, extra = put_back(self.process, self.start, moved, left)
        counted = left & (step >= self.burn_in)
        first = jnp.where(counted & (exits.first < 0), step + 1, exits.first)
        number = exits.number + counted.astype(jnp.int32)
        return ChainState(theta, chain, Exits(extra, number, first))


def put_back(process: Process, start: PyTree, state: ChainState, which: Array) -> tuple[Any, Any]:
    """θ and what is carried along, with some of the chains at the start again."""
    chains = state.chain.shape[0]
    theta = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (chains, *leaf.shape)), start)
    new = process.init(theta, state.chain)

    def one(fresh: Array, old: Array) -> Array:
        return jnp.where(_tree.column(which, old), fresh, old)

    pair = (new.theta, new.extra), (state.theta, state.extra)
    theta, extra = jax.tree.map(one, *pair)
    return theta, extra


def check_independent(process: Process, name: str) -> None:
    """Refuse a process whose law changes as time goes by.

    Raises:
        ValueError: with a schedule, shuffled epochs, or for one that is itself made for exits.
    """
    if isinstance(process, Renewal):
        raise ValueError(f"process must be the one whose chains leave, got {type(process).__name__} itself.")
    if process.schedule is not None:
        raise ValueError(
            f"schedule must be None for {name}, got {_checks.short(process.schedule)}: a rate of escape "
            f"belongs to one η."
        )
    sampling = sampling_of(process)
    if sampling is not None and is_shuffled(sampling):
        raise ValueError(
            f"sampling must be 'replacement' or 'subset' for {name}, got {sampling!r}: within an epoch the "
            f"steps of a chain depend on those before."
        )
