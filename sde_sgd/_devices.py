"""Spreading chains over devices: each holds a share of every array with a chain axis."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

CHAINS = PartitionSpec("chains")
SAMPLES_CHAINS = PartitionSpec(None, "chains")
WHOLE = PartitionSpec()


def chain_mesh(chains: int, devices: Sequence[jax.Device] | None) -> Mesh | None:
    """A mesh of as many devices as divide the chains evenly; None where that is one.

    Args:
        chains: number of chains.
        devices: to choose from; None for all local ones, unless a default device is set.
    """
    if devices is None:
        devices = [] if getattr(jax.config, "jax_default_device", None) is not None else jax.local_devices()
    elif not devices or not all(isinstance(device, jax.Device) for device in devices):
        raise ValueError(f"devices must be a list such as jax.local_devices(), got {devices!r}.")
    count = max((n for n in range(1, len(devices) + 1) if chains % n == 0), default=1)
    if count == 1:
        return None
    return Mesh(np.asarray(devices[:count]), ("chains",))


def place(tree: PyTree, mesh: Mesh | None, spec: PyTree) -> PyTree:
    """Lay a pytree out over the mesh; `spec` is a prefix of it."""
    if mesh is None:
        return tree
    return jax.device_put(tree, jax.tree.map(lambda part: NamedSharding(mesh, part), spec))


def per_chain(tree: PyTree, chains: int, is_per_chain: Callable[[str], bool]) -> PyTree:
    """Partition specs for a process: leaves that hold one number per chain follow the chains."""

    def spec(path: Any, leaf: Any) -> PartitionSpec:
        name = jax.tree_util.keystr(path)
        return CHAINS if leaf.shape == (chains,) and is_per_chain(name) else WHOLE

    return jax.tree_util.tree_map_with_path(spec, eqx.filter(tree, eqx.is_array))
