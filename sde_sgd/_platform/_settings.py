"""What the surroundings of a call may set, and what must not reach into a run."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_sgd import _checks

_DISABLED = "jax_disable_jit"
# settings of JAX that change what is compiled, with what sets them in a thread, if anything does
_COMPILED: dict[str, Callable[..., Any] | None] = {
    "jax_enable_x64": jax.enable_x64,
    "jax_default_matmul_precision": jax.default_matmul_precision,
    "jax_numpy_dtype_promotion": jax.numpy_dtype_promotion,
    "jax_default_prng_impl": jax.default_prng_impl,
    "jax_threefry_partitionable": jax.threefry_partitionable,
    "jax_random_seed_offset": None,
}


def compiled_in() -> dict[str, Any]:
    """The values that hold now of JAX's settings that change what is compiled."""
    return {name: getattr(jax.config, name, None) for name in _COMPILED}


def in_thread(values: dict[str, Any]) -> contextlib.ExitStack:
    """A context with such values: what `with jax.enable_x64(...)` and its like set belongs to its thread."""
    stack = contextlib.ExitStack()
    for name, value in values.items():
        context = _COMPILED[name]
        if context is not None:
            stack.enter_context(context(value))
    return stack


def refuse_tracing(name: str, *trees: Any) -> None:
    """Refuse a call inside a transformation: what runs many steps compiles them itself, and looks at numbers.

    Raises:
        ValueError: inside `jit`, or for arguments that `vmap` or `grad` follow.
    """
    traced = not _checks.is_concrete(jnp.zeros(()))
    if traced or not all(_checks.is_concrete(leaf) for leaf in jax.tree.leaves(trees)):
        raise ValueError(
            f"{name} cannot be called inside jax.jit, vmap or grad: it compiles its own loop and works on "
            f"the host between chunks of it. Call it outside; chains=... runs many at once, an array of "
            f"learning rates in Hyperparameters gives each its own, and sweep goes over the rest."
        )


@contextlib.contextmanager
def own_settings() -> Iterator[bool]:
    """Inside, nothing is left of a mesh that was set around the call, nor of `jax.disable_jit()`.

    A run lays its arrays out over a mesh of its own, and its loop is always compiled. Yields whether there
    was a mesh: in it nothing can be done with arrays of another.
    """
    meshed = not jax.sharding.get_abstract_mesh().empty
    with contextlib.ExitStack() as stack:
        if getattr(jax.config, _DISABLED):
            stack.enter_context(jax.disable_jit(False))
        if meshed:
            stack.enter_context(jax.set_mesh(jax.sharding.Mesh(np.empty((), object), ())))
        yield meshed


def without_mesh(tree: Any) -> Any:
    """The same with arrays that were made inside a mesh of explicit axes taken out of it.

    By way of the host: `device_put` would leave the mesh in their type, and tie them to one device.
    """

    def inside(leaf: Any) -> bool:
        if not isinstance(leaf, jax.Array) or not isinstance(leaf.sharding, jax.sharding.NamedSharding):
            return False
        explicit = jax.sharding.AxisType.Explicit in leaf.sharding.mesh.axis_types
        return explicit and leaf.is_fully_addressable

    if not any(inside(leaf) for leaf in jax.tree.leaves(tree)):
        return tree

    def taken_out(leaf: Any) -> Any:
        if not inside(leaf):
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = jnp.asarray(np.asarray(jax.random.key_data(leaf)))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        return jnp.asarray(np.asarray(leaf))

    return jax.tree.map(taken_out, tree)


def check_precision(name: str, tree: Any) -> None:
    """Refuse float64 arrays where JAX computes in float32.

    Raises:
        ValueError: saying how to go on.
    """
    if jnp.result_type(float) == jnp.float64:
        return
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if isinstance(leaf, jax.Array) and leaf.dtype == jnp.float64:
            raise ValueError(
                f"{name}{jax.tree_util.keystr(path)} is float64, made while jax_enable_x64 was on, and it is "
                f"off now. Switch it on here too, or make {name} anew."
            )


def mixed_precision(*trees: Any) -> str:
    """What to say where arrays of several precisions have met, or nothing where there is one alone."""
    leaves = [leaf for leaf in jax.tree.leaves(trees) if hasattr(leaf, "dtype")]
    kinds = {str(leaf.dtype) for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)}
    now = str(jnp.result_type(float))
    if kinds <= {now}:
        return ""
    return (
        f"process and parameters hold {' and '.join(sorted(kinds))} numbers, and JAX computes in {now} now: "
        f"problem, hyperparameters or process were made before jax_enable_x64 was switched. Make them anew "
        f"after it, or switch it back."
    )
