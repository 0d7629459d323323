"""The compiled part of a run: some samples, some steps apart, on every device its own chains."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Int, Key, PyTree

from sde_sgd import _tree
from sde_sgd._platform import _chain_kernel, _devices, _settings
from sde_sgd._platform._devices import Layout
from sde_sgd._platform.reading import _traces
from sde_sgd.problems._empirical_risk import EmpiricalRisk
from sde_sgd.processes._base import ChainState, Process
from sde_sgd.processes._loops import of_known_length
from sde_sgd.simulation._kernel._choice import kernel_of
from sde_sgd.simulation._recording import Recorder, going, room

KEPT_SPECS = {
    "record": _devices.SAMPLES_CHAINS,
    "block": _devices.CHAINS,
    "moments": _devices.CHAINS,
    "count": _devices.WHOLE,
    "merged": _devices.WHOLE,
    "given": _devices.CHAINS,
    "histograms": _devices.CHAINS,
    "diverged": _devices.CHAINS,
    "stopped": _devices.CHAINS,
}

# A CPU runs many steps of this much state before it takes the next: then it stays in the cache.
_TILE_BYTES = 2**18
# of state in bytes; more of it is a network
_SMALL_CHAIN = 2**10
# On other devices a loop of known length need not ask the host after every step whether to go on.
_STEPS_AT_ONCE = 32
_PROGRAMS: _traces.Store["Program"] = _traces.Store()
# methods of an `EmpiricalRisk` that give the same on devices which share its examples
_AVERAGING = ("loss", "gradient", "accuracy", "training_accuracy", "test_loss")


@dataclass
class Program:
    """A compiled chunk, ready to be called again and again.

    Attributes:
        call: the executable.
        arguments_bytes: held on one device before the call: data, parameters, records.
        chain_bytes: the part of it that grows with the number of chains.
        working_bytes: what one device needs beside them during the call.
        pace: steps it made in a second when it was last run, 0 if it never was.
    """

    call: Callable[..., tuple[ChainState, dict[str, Any]]]
    arguments_bytes: int
    chain_bytes: int
    working_bytes: int
    pace: float = 0.0


class Ensemble:
    """A process and its recorder laid out over devices, with the program that runs them.

    Args:
        layout: which device holds what.
        process: what is run; numbers per chain are padded to the slots of the layout.
        recorder: what is kept.
        key: of all random numbers.
    """

    def __init__(self, layout: Layout, process: Process, recorder: Recorder, key: Key[Array, ""]):
        self.layout = layout
        self._impl = jax.random.key_impl(key)
        pair = (_devices.map_per_chain(layout.pad, process, layout.chains), recorder)
        if layout.data_devices > 1:
            pair = _share_data(*pair, layout.data_devices)
        arrays, rest = eqx.partition(pair, eqx.is_array)
        # as a list: another object that is equal in all that is read has another structure
        self._arrays, self._structure = jax.tree.flatten(arrays)
        self._rest, self._mark = rest, _traces.mark(_traces.without_arrays(pair, eqx.is_array))
        shared = _shared_arrays(pair)

        def choose(name: str, leaf: Any) -> PartitionSpec:
            if name in shared:
                return _devices.EXAMPLES
            per_chain = _devices.is_per_chain(name, leaf, layout.slots)
            return _devices.CHAINS if per_chain else _devices.WHOLE

        named = jax.tree_util.tree_leaves_with_path(arrays)
        self._specs = [choose(jax.tree_util.keystr(path), leaf) for path, leaf in named]
        self._key_data = jax.random.key_data(key)
        self._kernel_asked = _chain_kernel.asked()
        self._placed: tuple[Any, Any] | None = None

    def program(self, state: PyTree, kept: PyTree) -> Program:
        """The program for a state and records of these shapes, compiled or found."""
        signature = self._signature(state, kept)
        program = None if signature is None else _PROGRAMS.get(signature)
        if program is None:
            program = self._compile(state, kept)
            if signature is not None:
                _PROGRAMS.keep(signature, program)
        return program

    def call(
        self, program: Program, state: ChainState, kept: dict[str, Any], counts: np.ndarray, keep: np.ndarray
    ) -> tuple[ChainState, dict[str, Any]]:
        """Run the program. The arrays of `state` and `kept` are given up to it."""
        if self._placed is None:
            every = [*self._arrays, self._key_data]
            if self.layout.leaves_on_host(every):
                placed = [np.asarray(leaf) for leaf in every]
            else:
                placed = self.layout.place(every, [*self._specs, _devices.WHOLE])
            self._placed = placed[:-1], placed[-1]
        return program.call(self._placed[0], state, kept, self._placed[1], counts, keep)

    def _signature(self, state: PyTree, kept: PyTree) -> Any:
        """What tells programs apart: shapes, and all that the functions in them read."""
        if self._mark is None:  # nobody can say what something in it will read
            return None
        leaves, structure = jax.tree.flatten((self._arrays, state, kept, self._key_data))
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        settings = (self._kernel_asked, *_settings.compiled_in().values())
        layout = (self.layout.mesh, tuple(self._specs))
        signature = (layout, self._impl, self._mark, structure, shapes, *settings)
        try:
            hash(signature)
        except TypeError:  # something in the parameters cannot be hashed: compile it every time
            return None
        return signature

    def _compile(self, state: PyTree, kept: PyTree) -> Program:
        abstract = (
            _abstract(self._arrays, self._specs, self.layout),
            _abstract(state, _devices.CHAINS, self.layout),
            _abstract(kept, KEPT_SPECS, self.layout),
            _abstract(self._key_data, _devices.WHOLE, self.layout),
            jax.ShapeDtypeStruct((4,), jnp.int32, sharding=self.layout.sharding(_devices.WHOLE)),
            jax.ShapeDtypeStruct((), bool, sharding=self.layout.sharding(_devices.WHOLE)),
        )
        layout, rest, impl, structure = self.layout, self._rest, self._impl, self._structure
        platform = layout.mesh.devices.flat[0].platform
        whole_process, _ = eqx.combine(jax.tree.unflatten(structure, self._arrays), rest)
        kernel = kernel_of(self._kernel_asked, whole_process, abstract[1], platform)
        advance = partial(_advance, tiled=platform == "cpu") if kernel is None else kernel.advance

        def here(
            arrays: Any, state: Any, kept: Any, key_data: Any, counts: Any, keep: Any
        ) -> tuple[ChainState, dict[str, Any]]:
            process, recorder = eqx.combine(jax.tree.unflatten(structure, arrays), rest)
            key = jax.random.wrap_key_data(key_data, impl=impl)
            return _chunk(process, recorder, state, kept, key, counts, keep, advance=advance)

        whole = _devices.WHOLE
        spread = jax.shard_map(
            here,
            mesh=layout.mesh,
            in_specs=(self._specs, _devices.CHAINS, KEPT_SPECS, whole, whole, whole),
            out_specs=(_devices.CHAINS, KEPT_SPECS),
            check_vma=False,
        )
        with of_known_length(0 if platform == "cpu" or kernel else _STEPS_AT_ONCE):
            compiled = jax.jit(spread, donate_argnums=(1, 2)).lower(*abstract).compile()
        memory = compiled.memory_analysis()
        if memory is None:  # a platform that does not tell
            return Program(compiled, 0, 0, 0)
        working = memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
        per_group = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(abstract[1:3]))
        return Program(compiled, memory.argument_size_in_bytes, per_group // layout.groups, max(working, 0))


def _abstract(tree: PyTree, spec: PyTree, layout: Layout) -> PyTree:
    def one(part: Any, under: Any) -> Any:
        sharding = layout.sharding(part)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), under
        )

    return jax.tree.map(one, spec, tree)


def _share_data(process: Process, recorder: Recorder, data_devices: int) -> tuple[Process, Recorder]:
    """The two with the problem's examples divided among the devices of a group."""
    problem: Any = process.problem
    if not isinstance(problem, EmpiricalRisk):
        raise ValueError(
            f"data_devices must be 1 for {type(problem).__name__}, got {data_devices}: only an "
            f"EmpiricalRisk has examples that devices can share."
        )
    spread = problem.shared_over(_devices.DATA_AXIS, data_devices, process.hyper.batch_size)

    def averages(node: Any) -> bool:
        # the problem's own methods take the mean over the devices; what a user makes of it does not
        return getattr(node, "__self__", None) is problem and node.__name__ in _AVERAGING

    recorder = jax.tree.map(
        lambda node: getattr(spread, node.__name__) if averages(node) else node, recorder, is_leaf=averages
    )
    return eqx.tree_at(lambda at: at.problem, process, spread), recorder


def _shared_arrays(pair: Any) -> set[str]:
    """Names of the arrays of examples that are divided."""

    def divided(node: Any) -> bool:
        return isinstance(node, EmpiricalRisk) and node.axis is not None

    return {
        jax.tree_util.keystr((*path, *below))
        for path, node in jax.tree_util.tree_leaves_with_path(pair, is_leaf=divided)
        if divided(node)
        for below, _ in jax.tree_util.tree_leaves_with_path(node)
        if below[0].name in ("inputs", "targets")
    }


def _chunk(
    process: Process,
    recorder: Recorder,
    state: ChainState,
    kept: dict[str, Any],
    key: Key[Array, ""],
    counts: Int[Array, "4"],
    keep: Bool[Array, ""],
    *,
    advance: Callable[..., ChainState],
) -> tuple[ChainState, dict[str, Any]]:
    """The chunk for the chains of one device. No count is compiled in."""
    start, block, size, burn_in = counts

    def sample(about: Any, number: Int[Array, ""], carry: tuple[Any, Any]) -> tuple[Any, Any]:
        old, kept = carry
        begin = start + number * block
        now = begin + block
        state = advance(process, old, begin, block, key)
        if recorder.stops:  # chains that have stopped stay where they were
            moves = going(kept)
            state = jax.tree.map(lambda new, was: jnp.where(_tree.column(moves, new), new, was), state, old)

        def update(kept: dict[str, Any]) -> dict[str, Any]:
            return recorder.update(kept, state.theta, number, now, now > burn_in, about)

        return state, lax.cond(keep, update, lambda kept: kept, kept)

    def some(carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        """As many samples as the block of moments has room for. What it goes into is not touched between."""
        number, state, kept = carry
        moments = kept["moments"]
        end = jnp.minimum(size, number + room(kept)) if recorder.moments else size
        kept = {name: entry for name, entry in kept.items() if name != "moments"}
        state, kept = lax.fori_loop(number, end, partial(sample, moments["mean"]), (state, kept))
        return end, state, recorder.merge({**kept, "moments": moments})

    _, state, kept = lax.while_loop(lambda carry: carry[0] < size, some, (jnp.zeros_like(size), state, kept))
    return state, kept


def _advance(
    process: Process,
    state: ChainState,
    begin: Int[Array, ""],
    block: Int[Array, ""],
    key: Key[Array, ""],
    *,
    tiled: bool,
) -> ChainState:
    """`block` steps of all chains; on a CPU a tile of chains at a time, if there are many.

    Chains do not depend on each other, so the order is free. The last tile may overlap the one
    before it: both start from the old state, so its chains come out the same twice.
    """
    chains = _tree.chain_count(state)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    tiles = round(size / _TILE_BYTES)
    if not tiled or tiles < 2 or (size // chains > _SMALL_CHAIN and not _gains_from_tiles(process)):
        return process.advance(state, start=begin, steps=block, key=key)
    lanes = _devices.lanes(process.problem)
    tile = min(chains, -(-chains // min(tiles, chains) // lanes) * lanes)
    tiles = -(-chains // tile)

    def one(number: Int[Array, ""], new: ChainState) -> ChainState:
        first = jnp.minimum(number * tile, chains - tile)

        def cut(leaf: Any) -> Any:
            return lax.dynamic_slice_in_dim(leaf, first, tile)

        some = _devices.map_per_chain(cut, process, chains)
        moved = some.advance(jax.tree.map(cut, state), start=begin, steps=block, key=key)
        result: ChainState = jax.tree.map(
            lambda whole, part: lax.dynamic_update_slice_in_dim(whole, part, first, 0), new, moved
        )
        return result

    result: ChainState = lax.fori_loop(0, tiles, one, state)
    return result


def _gains_from_tiles(process: Process) -> bool:
    """Whether a network is bound by memory, not by products, when many chains move together.

    Measured on MLPs: with few examples a step moves its parameters more than it multiplies (1.9
    times as fast in tiles at B = 4, no gain at B = 16, a loss of a tenth at B = 32), and with the
    whole data set its activations leave the cache (1.25 times).
    """
    examples = process.examples_per_gradient
    return examples is None or examples <= 8
