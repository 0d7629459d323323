"""Short paths from many places at once: whether each reaches the next level before it falls back."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from sde_sgd import _tree, random
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Observable
from sde_sgd.escape._outside import Outside
from sde_sgd.escape._renewal import put_back
from sde_sgd.processes._base import ChainState, Process
from sde_sgd.processes._loops import alone


class Ways(eqx.Module):
    """What the trials of a splitting share.

    Attributes:
        process: whose chains they are.
        start: parameters of one chain at the bottom of the well.
        outside: where they are to get.
        level: how far a chain has got, from the parameters of one.
    """

    process: Process
    start: PyTree
    outside: Outside
    level: Observable

    def levels(self, theta: PyTree) -> Float[Array, " chains"]:
        """Of every chain; infinite outside."""
        found = jax.vmap(self.level)(theta)
        return jnp.where(self.outside(theta), jnp.inf, found.astype(jnp.result_type(float)))


class Flux(eqx.Module):
    """What comes up out of a well.

    Attributes:
        crossings: of each chain, how often it has come from below `home` to the first level.
        states: where each was at one of them, any with equal chance; only where `crossings` > 0. The last
            ones would be those that long ways out follow more often than others.
    """

    state: ChainState
    from_home: Bool[Array, " chains"]
    crossings: Int[Array, " chains"]
    states: PyTree


class Trial(eqx.Module):
    """The state of trials, one for each chain.

    Attributes:
        going: neither up nor home.
        up: has reached the level.
        highest: the furthest that it got.
    """

    state: ChainState
    going: Bool[Array, " chains"]
    up: Bool[Array, " chains"]
    highest: Float[Array, " chains"]


@_traces.jit
def begin(ways: Ways, chain: Array) -> ChainState:
    """All at the bottom of the well."""
    size = chain.shape[0]
    theta = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (size, *leaf.shape)), ways.start)
    return ways.process.init(theta, chain)


@_traces.jit
def relax(
    ways: Ways, state: ChainState, key: Key[Array, ""], steps: Int[Array, ""]
) -> tuple[ChainState, Array]:
    """Steps within the well, and the levels at the end. What gets outside is put back."""
    words = ways.process.streams(key)

    def one(step: Int[Array, ""], state: ChainState) -> ChainState:
        moved = alone(lambda number, old: ways.process.step(old, number, words), step, state)
        theta, extra = put_back(ways.process, ways.start, moved, ways.outside(moved.theta))
        return ChainState(theta, state.chain, extra)

    state = lax.fori_loop(0, steps, one, state)
    return state, ways.levels(state.theta)


@_traces.jit
def flux(
    ways: Ways, before: Flux, key: Key[Array, ""], steps: Int[Array, ""], home: Array, first: Array
) -> Flux:
    """Crossings of the first level by chains that were below `home` since they last crossed it."""
    words = ways.process.streams(key)
    choice = random.stream(jax.random.fold_in(key, 1), random.Stream.INITIAL)

    def one(step: Int[Array, ""], old: Flux) -> Flux:
        moved = alone(lambda number, at: ways.process.step(at, number, words), step, old.state)
        level = ways.levels(moved.theta)
        crossed = old.from_home & (level >= first)
        crossings = old.crossings + crossed.astype(jnp.int32)
        drawn = random.uniform(random.bits(random.at(choice, step), moved.chain, ())[0])
        taken = crossed & (drawn * crossings.astype(drawn.dtype) <= 1)
        states = _chosen(taken, (moved.theta, moved.extra), old.states)
        theta, extra = put_back(ways.process, ways.start, moved, jnp.isinf(level))
        from_home = (old.from_home & ~crossed) | (level < home) | jnp.isinf(level)
        return Flux(
            ChainState(theta, moved.chain, extra),
            from_home,
            old.crossings + crossed.astype(jnp.int32),
            states,
        )

    result: Flux = lax.fori_loop(0, steps, one, before)
    return result


def no_flux(state: ChainState, levels: Array, home: Array) -> Flux:
    """Before any crossing."""
    none = jnp.zeros(state.chain.shape, jnp.int32)
    return Flux(state, levels < home, none, (state.theta, state.extra))


@_traces.jit
def trials(
    ways: Ways, state: ChainState, key: Key[Array, ""], home: Array, level: Array, most: Int[Array, ""]
) -> tuple[Trial, Int[Array, ""]]:
    """Steps until every chain has reached the level, or is below `home`; and how many were made."""
    words = ways.process.streams(key)
    here = ways.levels(state.theta)
    up = here >= level

    def goes_on(carry: tuple[Int[Array, ""], Trial]) -> Bool[Array, ""]:
        return carry[1].going.any() & (carry[0] < most)

    def one(carry: tuple[Int[Array, ""], Trial]) -> tuple[Int[Array, ""], Trial]:
        step, old = carry
        moved = alone(lambda number, at: ways.process.step(at, number, words), step, old.state)
        found = ways.levels(moved.theta)
        theta, extra = _chosen(old.going, (moved.theta, moved.extra), (old.state.theta, old.state.extra))
        up = old.up | (old.going & (found >= level))
        going = old.going & (found < level) & (found >= home)
        highest = jnp.where(old.going, jnp.maximum(old.highest, found), old.highest)
        return step + 1, Trial(ChainState(theta, moved.chain, extra), going, up, highest)

    first = Trial(state, ~up & (here >= home), up, here)
    step, last = lax.while_loop(goes_on, one, (jnp.zeros((), jnp.int32), first))
    return last, step


def _chosen(which: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda one, other: jnp.where(_tree.column(which, one), one, other), new, old)
