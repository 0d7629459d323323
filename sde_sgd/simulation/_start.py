"""Where chains start: the problem's own law, given parameters, or the end of another run."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._platform import _devices
from sde_sgd._platform._devices import Layout
from sde_sgd._platform.reading import _traces
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import ChainState, Process
from sde_sgd.random import Stream, stream


def abstract_start(process: Process, chains: int, key: Key[Array, ""], initial: PyTree | None) -> ChainState:
    """The shapes of `start`, without any of its memory; refuses parameters that do not fit."""
    number = jax.ShapeDtypeStruct((chains,), jnp.uint32)
    if initial is None:
        theta = _own_start.shapes(process.problem, key, number)
        _checks.check_floating("init", theta)
    else:
        template = _traces.parameter_shapes(process.problem.init)
        _is_one(template, initial, chains)
        theta = jax.tree.map(lambda want: jax.ShapeDtypeStruct((chains, *want.shape), want.dtype), template)
    result: ChainState = begin.shapes(process, theta, number)
    return result


def start(
    process: Process,
    layout: Layout,
    numbers: np.ndarray,
    key: Key[Array, ""],
    initial: PyTree | None,
    places: np.ndarray | None = None,
    total: int | None = None,
) -> ChainState:
    """The ensemble at step 0, each chain made where it will run.

    Args:
        process: whose state it is.
        layout: which device holds which chain.
        numbers: the chain numbers that key the random numbers.
        key: of the starting points.
        initial: parameters of one chain or of all, or None for the problem's own law.
        places: the numbers that key the starting points, where they are not the chain numbers: chains
            of one such number start at one point.
        total: how many chains there are in all, where these are some of them.

    Raises:
        ValueError: if a parameter or a loss is not finite.
    """
    keying = numbers if places is None else places
    pair = layout.pad((np.asarray(numbers, np.uint32), np.asarray(keying, np.uint32)))
    # of a formula no bit depends on how chains are divided
    here = layout.leaves_on_host(pair) and _devices.lanes(process.problem) > 1 and initial is None
    chain, place = pair if here else layout.place(pair, _devices.CHAINS)
    if initial is None:
        theta = _own_start(process.problem, key, place)
    else:
        theta = given_start(process.problem, _checks.floating("initial", initial), layout.chains)
        theta = layout.place(layout.pad(theta), _devices.CHAINS)
    finite = layout.to_host(_finite_start(process.problem, theta))
    if not finite.all():
        some = f"chains {numbers[0]} to {numbers[-1]} of {total}"
        these = f"{len(finite)} chains" if total in (None, len(finite)) else some
        raise ValueError(
            f"initial parameters of {int((~finite).sum())} of {these} have diverged already: "
            f"the loss or a parameter is not finite (first at chain {numbers[finite.argmin()]}). Start "
            f"closer to a minimum, or scale the loss down."
        )
    result: ChainState = begin(_devices.map_per_chain(layout.pad, process, layout.chains), theta, chain)
    return result


def given_start(problem: Problem, given: PyTree, chains: int) -> PyTree:
    """One set of parameters for every chain, or one for each, in the problem's own dtypes."""
    template = _traces.parameter_shapes(problem.init)
    if _is_one(template, given, chains):
        return jax.tree.map(
            lambda leaf, want: jnp.broadcast_to(leaf.astype(want.dtype), (chains, *want.shape)),
            given,
            template,
        )
    return jax.tree.map(lambda leaf, want: leaf.astype(want.dtype), given, template)


def _is_one(template: PyTree, given: PyTree, chains: int) -> bool:
    """Whether these are the parameters of one chain, and not of every one.

    Raises:
        ValueError: if they are neither.
    """
    if _tree.same_structure(given, template):
        wanted = [leaf.shape for leaf in jax.tree.leaves(template)]
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(given)]
        if shapes == wanted:
            return True
        if shapes == [(chains, *shape) for shape in wanted]:
            return False
    raise ValueError(
        f"initial has shapes {_tree.describe(given)}; this problem's parameters have "
        f"{_tree.describe(template)}. Give one such set, or the same with a leading axis of "
        f"{chains} chains."
    )


def same_shapes(state: PyTree, expected: PyTree) -> bool:
    """Whether a state has the structure and shapes that a process expects."""
    return _tree.same_structure(state, expected) and all(
        old.shape == new.shape and old.dtype == new.dtype
        for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True)
    )


@_traces.jit
def _own_start(problem: Problem, key: Key[Array, ""], chain: Any) -> PyTree:
    root = jax.random.fold_in(key, int(Stream.INITIAL))
    if str(jax.random.key_impl(key)) != "threefry2x32":
        # what other generators draw for one key of many depends on how many there are
        root = jax.random.wrap_key_data(stream(key, Stream.INITIAL), impl="threefry2x32")
    return jax.vmap(lambda number: problem.init(jax.random.fold_in(root, number)))(chain)


@_traces.jit
def begin(process: Process, theta: PyTree, chain: Any) -> ChainState:
    """The state of an ensemble that starts at `theta`."""
    return process.init(theta, chain)


@_traces.jit
def _finite_start(problem: Problem, theta: PyTree) -> Array:
    size = problem.dataset_size
    if size is None:
        losses = jax.vmap(problem.loss)(theta)
    else:  # the activations of a large data set for many chains at once would not fit
        losses = lax.map(problem.loss, theta, batch_size=max(1, 2**20 // size))
    return _tree.finite_chains(theta) & jnp.isfinite(losses)
