"""Ensembles over all devices: `sde_sgd.run` from a warm start, and bare loops beside it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, PyTree

import sde_sgd as ss

Run = Callable[[int], object]
_AT_ONCE = 32
_CHAINS, _WHOLE = PartitionSpec("chains"), PartitionSpec()


def runner(process: ss.Process, chains: int, initial: Any = None) -> Callable[[int], ss.Result]:
    """A function that runs an ensemble of the process for some steps, each time from its start."""
    key = jax.random.key(0)
    start = ss.run(process, chains=chains, steps=1, key=key, initial=initial)

    def run(steps: int) -> ss.Result:
        return ss.run(process, chains=chains, steps=steps, key=key, initial=start, progress=False)

    return run


def loop(body: Callable[[Int[Array, ""], Any], Any], start: PyTree[Array]) -> Run:
    """A function that repeats `body(step, carry) -> carry`, as `sde_sgd.run` repeats its steps.

    The leading axis of every array of `start` is divided among the devices, and each has a loop of
    its own. A call goes on in place from where the one before it ended.
    """
    mesh = Mesh(np.array(jax.devices()), ("chains",))

    def here(carry: Any, steps: Int[Array, ""]) -> Any:
        if jax.default_backend() == "cpu":
            return lax.fori_loop(0, steps, body, carry)
        # a loop of unknown length asks the host after every step whether to go on

        def several(number: Int[Array, ""], carry: Any) -> Any:
            first = number * _AT_ONCE
            return lax.fori_loop(0, _AT_ONCE, lambda place, carry: body(first + place, carry), carry)

        carry = lax.fori_loop(0, steps // _AT_ONCE, several, carry)
        return lax.fori_loop(steps // _AT_ONCE * _AT_ONCE, steps, body, carry)

    spread = jax.shard_map(here, mesh=mesh, in_specs=(_CHAINS, _WHOLE), out_specs=_CHAINS, check_vma=False)
    compiled = jax.jit(spread, donate_argnums=0)
    carry = jax.device_put(start, NamedSharding(mesh, _CHAINS), may_alias=False)

    def run(steps: int) -> None:
        nonlocal carry
        carry = jax.block_until_ready(compiled(carry, jnp.asarray(steps, jnp.int32)))

    return run


def divisible(number: int) -> int:
    """The least number that is not smaller and that the devices can share evenly."""
    devices = jax.device_count()
    return -(-number // devices) * devices
