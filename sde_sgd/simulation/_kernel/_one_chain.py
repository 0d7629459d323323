"""The steps of one chain as a traced program."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from sde_sgd import _tree
from sde_sgd._platform import _devices
from sde_sgd.processes._base import ChainState, Process
from sde_sgd.simulation._kernel import _lanes


@dataclass(frozen=True)
class OneChain:
    """The steps of one chain, traced.

    Attributes:
        program: a closed jaxpr of what is `given`, to the chain's parameters and what else it carries.
        per_chain: which inputs have one entry for each chain, on the leading axis.
    """

    program: Any
    per_chain: tuple[bool, ...]


def given(
    process: Process, state: ChainState, begin: Any, end: Any, words: Any
) -> tuple[Any, ChainState, Any, Any, Any]:
    """What goes into the program: all of it, but of the process the arrays alone."""
    return eqx.filter(process, eqx.is_array), state, begin, end, words


def one_chain(process: Process, state: ChainState) -> OneChain:
    """Trace `process.steps` for one chain of its ensemble.

    Args:
        process: whose steps are meant.
        state: the shapes of the ensemble.

    Raises:
        NoLanesError: if they do what cannot be done to many chains number by number.
    """
    words = jax.eval_shape(process.streams, _tree.key_shape())
    clock = jax.ShapeDtypeStruct((), jnp.int32)
    arrays, *others = given(process, state, clock, clock, words)
    rest, chains = eqx.filter(process, eqx.is_array, inverse=True), state.chain.shape[0]

    def of_chains(path: Any, leaf: Any) -> bool:
        return _devices.is_per_chain(jax.tree_util.keystr(path), leaf, chains)

    own = [
        jax.tree_util.tree_map_with_path(of_chains, arrays),
        *(jax.tree.map(lambda _, own=part is state: own, part) for part in others),
    ]

    def one(leaf: Any, own: bool) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((1, *leaf.shape[1:]) if own else leaf.shape, leaf.dtype)

    def steps(
        arrays: Any, state: ChainState, begin: Int[Array, ""], end: Int[Array, ""], words: Any
    ) -> tuple[Any, Any]:
        moved = eqx.combine(arrays, rest).steps(state, begin, end, words)
        return moved.theta, moved.extra

    traced = jax.make_jaxpr(steps)(*jax.tree.map(one, [arrays, *others], own))
    chain = OneChain(traced, tuple(jax.tree.leaves(own)))
    _try(chain)
    return chain


def _try(chain: OneChain) -> None:
    """Go through the program with lanes of two chains, by shapes alone."""
    inputs = list(zip(chain.program.in_avals, chain.per_chain, strict=True))

    def once(columns: list[list[Array]]) -> list[Any]:
        cells = [
            _lanes.filled(value.shape, numbers) for (value, _), numbers in zip(inputs, columns, strict=True)
        ]
        return [list(result.flat) for result in _lanes.evaluate(chain.program, cells)]

    jax.eval_shape(
        once,
        [[jax.ShapeDtypeStruct((2,) if own else (), value.dtype)] * value.size for value, own in inputs],
    )
