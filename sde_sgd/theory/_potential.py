"""The loss of a problem with one or two parameters at many points, in float64 on the host."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from sde_sgd._platform.reading import _traces
from sde_sgd.problems._base import Problem


def parameter_shape(problem: Problem) -> tuple[int, ...]:
    """(), (1,) or (2,): the shape of θ.

    Raises:
        ValueError: for more dimensions, or parameters that are not one array.
    """
    start = _traces.parameter_shapes(problem.init)
    shape = getattr(start, "shape", None)
    if shape in ((), (1,), (2,)):
        return tuple(shape)
    raise ValueError(
        f"the Fokker-Planck equation is solved in one or two dimensions; the parameters of "
        f"{type(problem).__name__} have shape {shape}. Run an ensemble of Langevin instead."
    )


def potential(problem: Problem, points: np.ndarray) -> np.ndarray:
    """L at points of shape `(..., d)`, in float64."""
    shape = parameter_shape(problem)
    flat = points.reshape(-1, *shape)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        values = np.asarray(_losses(in_float64(problem), jnp.asarray(flat)), np.float64)
    return values.reshape(points.shape[:-1])


def in_float64(problem: Problem) -> Problem:
    """The same numbers in double precision; call it where that is enabled."""
    result: Problem = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.float64) if eqx.is_inexact_array(leaf) else leaf, problem
    )
    return result


@_traces.jit
def _losses(problem: Problem, points: Float[Array, "n ..."]) -> Float[Array, " n"]:
    size = problem.dataset_size
    if size is None:
        return jax.vmap(problem.loss)(points)
    result: Float[Array, " n"] = lax.map(problem.loss, points, batch_size=max(1, 2**20 // size))
    return result
