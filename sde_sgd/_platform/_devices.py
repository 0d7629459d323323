"""Spreading chains, and the batches of one chain, over devices and hosts."""

import math
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree
from typing_extensions import TypeAliasType

from sde_sgd import _checks

Device: TypeAlias = jax.Device  # pyright: ignore[reportInvalidTypeForm] - jaxlib comes without types
Devices = TypeAliasType("Devices", Sequence[Device])

CHAINS_AXIS, DATA_AXIS = "chains", "data"
CHAINS = PartitionSpec(CHAINS_AXIS)
SAMPLES_CHAINS = PartitionSpec(None, CHAINS_AXIS)
EXAMPLES = PartitionSpec(DATA_AXIS)
WHOLE = PartitionSpec()

# A CPU takes the chains of a device some at a time, and what is left over one by one, where products and
# sums may be rounded together that were not before. With nothing left over no bit depends on the number
# of chains.
_LANES = 8
# bytes
_LITTLE = 2**14


@dataclass(frozen=True)
class Layout:
    """Which device holds what.

    Attributes:
        mesh: devices in an array (groups, data devices): each group has its own chains, and the
            devices of a group share the examples of every batch.
        chains: number of chains asked for.
        slots: number of chains in the arrays: every group has the same number, so there may be
            some copies of the last chain at the end, which are left out of all results.
    """

    mesh: Mesh
    chains: int
    slots: int

    @property
    def groups(self) -> int:
        """Number of groups of devices, each with its own chains."""
        return int(self.mesh.shape[CHAINS_AXIS])

    @property
    def data_devices(self) -> int:
        """Number of devices that share the batches of one chain."""
        return int(self.mesh.shape[DATA_AXIS])

    def sharding(self, spec: PartitionSpec) -> NamedSharding:
        """The sharding of that spec on this mesh."""
        return NamedSharding(self.mesh, spec)

    def leaves_on_host(self, tree: PyTree) -> bool:
        """Whether a program that is given this lays it out in less time than it takes to place it."""
        if self.mesh.size == 1 or jax.process_count() > 1 or self.mesh.devices.flat[0].platform != "cpu":
            return False
        size: int = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
        return size <= _LITTLE

    def place(self, tree: PyTree, spec: PyTree) -> PyTree:
        """Lay a pytree out over the mesh; `spec` is a prefix of it."""
        specs = jax.tree.map(lambda part, under: jax.tree.map(lambda _: part, under), spec, tree)
        leaves, structure = jax.tree.flatten(tree)
        shardings = {part: self.sharding(part) for part in set(jax.tree.leaves(specs))}
        wanted = [shardings[part] for part in jax.tree.leaves(specs)]
        return jax.tree.unflatten(structure, _place(leaves, wanted))

    def filled(
        self, shapes: Mapping[str, PyTree], spec: Mapping[str, PartitionSpec], numbers: Mapping[str, int]
    ) -> dict[str, Any]:
        """Arrays of these shapes made where they are needed: the number of their name everywhere, or 0."""
        return {
            name: jax.tree.map(
                lambda like, name=name: jnp.full(
                    like.shape, numbers.get(name, 0), like.dtype, device=self.sharding(spec[name])
                ),
                under,
            )
            for name, under in shapes.items()
        }

    def pad(self, tree: PyTree, axis: int = 0) -> PyTree:
        """Repeat the last chain until there are `slots` of them; no change where there are."""

        def one(leaf: Any) -> Any:
            if leaf.shape[axis] == self.slots:
                return leaf
            last = np.minimum(np.arange(self.slots), self.chains - 1)
            return leaf.take(last, axis) if isinstance(leaf, np.ndarray) else jnp.take(leaf, last, axis=axis)

        return jax.tree.map(one, tree)

    def to_host(self, tree: PyTree, axis: int | None = 0) -> PyTree:
        """NumPy copies of the whole arrays on every host, without the padding along `axis`."""

        def one(leaf: Any) -> np.ndarray:
            whole = fetch(leaf)
            if axis is None or whole.shape[axis] == self.chains:
                return whole
            return whole.take(np.arange(self.chains), axis=axis)

        return jax.tree.map(one, tree)


def layout(chains: int, devices: Devices | None, data_devices: int = 1, multiple: int = 1) -> Layout:
    """Spread chains over as many groups of devices as shorten the work.

    Args:
        chains: number of chains.
        devices: to use; None for all of them (those of other hosts too, once `jax.distributed`
            is initialised), or the default device where one is set.
        data_devices: how many devices share the batches of one chain.
        multiple: the number of chains on a device is a multiple of it; see `lanes`.

    Raises:
        ValueError: for anything but a list of devices, or if `data_devices` does not divide it.
    """
    chosen = available(devices)
    data = _checks.integer("data_devices", data_devices, at_least=1)
    if len(chosen) % data:
        raise ValueError(
            f"data_devices must divide the number of devices, {len(chosen)}, got {data}. "
            f"Give a divisor of it, or choose `devices`."
        )
    groups = len(chosen) // data
    per_group = math.ceil(math.ceil(chains / groups) / multiple) * multiple
    if jax.process_count() == 1:  # every host must hold a part, but here idle devices may be left out
        groups = math.ceil(chains / per_group)
    grid = np.asarray(chosen[: groups * data]).reshape(groups, data)
    return Layout(Mesh(grid, (CHAINS_AXIS, DATA_AXIS)), chains, groups * per_group)


def device_name(device: Device | None = None) -> str:
    """What a device is, without the name of a machine or user: "NVIDIA H100 80GB HBM3", "AMD EPYC".

    Args:
        device: by default the first of `jax.devices()`.

    Returns:
        The kind of a GPU or TPU as its driver calls it; the model of the processor for a CPU.
    """
    one = jax.devices()[0] if device is None else device
    return processor_name() if one.platform == "cpu" else str(one.device_kind)


def processor_name() -> str:
    """The model of the processor as Linux calls it, elsewhere its architecture."""
    information = Path("/proc/cpuinfo")
    text = information.read_text(encoding="utf-8", errors="replace") if information.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.machine() or "unknown processor"


def lanes(problem: Any) -> int:
    """What the number of chains on a device should be a multiple of.

    Chains of a formula cost next to nothing, and so do a few more. Those of a network cost much, and
    their matrix products are equal to rounding only.
    """
    return _LANES if problem.dataset_size is None else 1


def available(devices: Devices | None) -> list[Device]:
    """The devices to use: those given, the default device where one is set, or all of all hosts."""
    if devices is not None:
        some = list(devices) if isinstance(devices, Sequence) or np.ndim(devices) == 1 else []
        if not some or not all(isinstance(device, jax.Device) for device in some):
            raise ValueError(
                f"devices must be a list such as jax.local_devices(), got {_checks.short(devices)}."
            )
        return some
    chosen = getattr(jax.config, "jax_default_device", None)
    if isinstance(chosen, str):
        result: list[Device] = jax.local_devices(backend=chosen)[:1]
        return result
    return jax.devices() if chosen is None else [chosen]


def _place(leaves: list[Any], shardings: list[NamedSharding]) -> list[Any]:
    """All in one call, but for those that lie there already."""
    away = [
        number
        for number, (leaf, sharding) in enumerate(zip(leaves, shardings, strict=True))
        if not (isinstance(leaf, jax.Array) and leaf.sharding.is_equivalent_to(sharding, leaf.ndim))
    ]
    moving, there = [leaves[number] for number in away], [shardings[number] for number in away]
    if jax.process_count() == 1:
        moved = jax.device_put(moving, there)
    else:
        moved = [
            _from_every_host(fetch(leaf), sharding) for leaf, sharding in zip(moving, there, strict=True)
        ]
    placed = list(leaves)
    for number, leaf in zip(away, moved, strict=True):
        placed[number] = leaf
    return placed


def _from_every_host(whole: np.ndarray, sharding: NamedSharding) -> jax.Array:
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def fetch(leaf: Any) -> np.ndarray:
    """A NumPy copy of an array, also where other hosts hold parts of it."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        if leaf.is_fully_replicated:
            return np.array(leaf.addressable_data(0))
        return np.array(multihost_utils.process_allgather(leaf, tiled=True))
    return np.array(leaf)


def agree(*values: float) -> tuple[float, ...]:
    """The largest of every host's values, on every host."""
    if jax.process_count() == 1:
        return values
    gathered = multihost_utils.process_allgather(np.asarray(values, np.float32))
    return tuple(float(value) for value in gathered.reshape(-1, len(values)).max(axis=0))


def map_per_chain(function: Callable[[Any], Any], process: PyTree, chains: int) -> PyTree:
    """A process with `function` done to each array of which it holds one number for each chain."""

    def one(path: Any, leaf: Any) -> Any:
        return function(leaf) if is_per_chain(jax.tree_util.keystr(path), leaf, chains) else leaf

    return jax.tree_util.tree_map_with_path(one, process)


def is_per_chain(name: str, leaf: Any, chains: int) -> bool:
    """Whether an array of a process holds one number for each chain: hyperparameters may."""
    return ".hyper." in name and getattr(leaf, "shape", None) == (chains,)
