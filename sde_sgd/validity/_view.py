"""What can be seen of a loss and its gradient noise at some places."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from sde_sgd._platform.reading import _traces
from sde_sgd.curvature._eigenpairs import top_eigenpairs
from sde_sgd.problems._base import Problem
from sde_sgd.problems._finite_sum import FiniteSumProblem
from sde_sgd.processes._minibatch import minibatch_streams

# examples drawn where there is no end of them
DRAWS = 2**15
# parameters up to which C is seen whole, and vectors along which it is seen of more
_EXACT, _PROBES = 64, 16
_PRODUCTS = 30


class View(eqx.Module):
    """What is to be seen at some places, which come first in every array.

    Attributes:
        values, vectors: the k largest eigenvalues of the Hessian and their eigenvectors.
        curvature: along the directions given, e_iᵀHe_i.
        second, third: cumulants of e_i·g_n.
        probes: zᵀCz/d along some z.
    """

    values: Any
    vectors: Any
    curvature: Any
    second: Any
    third: Any
    probes: Any


def look(
    problem: Problem, places: list[PyTree], most: int, directions: Float[Array, "k d"], key: Key[Array, ""]
) -> View:
    """One program for one place and for `most`: it is compiled once, and leaves out what is not asked."""
    filled = places + places[:1] * (most - len(places))
    points = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *filled)
    seen = _seen(problem, points, jnp.asarray(len(places), jnp.int32), directions, key)
    result: View = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64)[: len(places)], seen)
    return result


@_traces.jit
def _seen(
    problem: Problem, points: PyTree, count: Array, directions: Float[Array, "k d"], key: Key[Array, ""]
) -> View:
    """`View` of the first `count` points; zeros for the others."""
    k, size = directions.shape
    most = len(jax.tree.leaves(points)[0])

    def one(theta: PyTree) -> View:
        _, unravel = ravel_pytree(theta)

        def curved(direction: Array) -> Array:
            tangent = (unravel(direction),)
            result: Array = jax.jvp(lambda at: jax.jvp(problem.loss, (at,), tangent)[1], (theta,), tangent)[1]
            return result

        # one program for both: probes come after the directions
        probes = _probes(size, key)
        along, _ = example_slopes(problem, theta, jnp.concatenate([directions, probes]), key)
        along = along - along.mean(axis=1, keepdims=True)
        second, third = (along**2).mean(axis=1), (along[:k] ** 3).mean(axis=1)
        if not isinstance(problem, FiniteSumProblem):
            covariance = problem.gradient_covariance(theta)
            second = second.at[k:].set(jnp.einsum("pi,ij,pj->p", probes, covariance, probes))
        found = top_eigenpairs(problem, theta, k, products=min(size, _PRODUCTS), key=key)
        vectors = jax.vmap(lambda each: ravel_pytree(each)[0])(found.vectors)
        return View(found.values, vectors, lax.map(curved, directions), second[:k], third, second[k:])

    def put(number: Array, views: View) -> View:
        view = one(jax.tree.map(lambda leaf: leaf[number], points))
        result: View = jax.tree.map(lambda all_, new: all_.at[number].set(new), views, view)
        return result

    shapes = View((k,), (k, size), (k,), (k,), (k,), _probes_shape(size)[:1])
    empty = jax.tree.map(
        lambda shape: jnp.zeros((most, *shape), directions.dtype),
        shapes,
        is_leaf=lambda node: isinstance(node, tuple),
    )
    result: View = lax.fori_loop(0, count, put, empty)
    return result


def example_slopes(
    problem: Problem, theta: PyTree, directions: Float[Array, "k d"], key: Key[Array, ""] | None = None
) -> tuple[Float[Array, "k examples"], Float[Array, " losses"]]:
    """e·g_n of all examples and their losses; or of many drawn ones where there is no end of them."""
    _, unravel = ravel_pytree(theta)
    if isinstance(problem, FiniteSumProblem):
        losses, slope = jax.linearize(problem.example_losses, theta)
        return lax.map(lambda direction: slope(unravel(direction)), directions), losses
    assert key is not None
    sampler = problem.sampler("replacement", 1)
    batch, _ = sampler.draw(
        None, minibatch_streams(key), jnp.zeros((), jnp.int32), jnp.arange(DRAWS, dtype=jnp.uint32)
    )
    drawn = jax.vmap(
        lambda one: ravel_pytree(problem.batch_gradient(theta, one))[0],
    )(batch)
    return directions @ drawn.T, problem.loss(theta)[None]


def _probes(size: int, key: Key[Array, ""]) -> Float[Array, "probes d"]:
    """Random signs over √d, or all unit vectors of few parameters."""
    if size <= _EXACT:
        return jnp.eye(size)
    result: Float[Array, "probes d"] = jax.random.rademacher(key, _probes_shape(size), float) / size**0.5
    return result


def _probes_shape(size: int) -> tuple[int, int]:
    return (size if size <= _EXACT else _PROBES), size


def mean_noise(probes: np.ndarray, size: int) -> tuple[float, float]:
    """Tr C/d, the mean over places, and its standard error, from zᵀCz/d along the probes.

    All places have the same probes: those are what the error comes from, where not all of C is seen.
    """
    each = probes.mean(axis=0)
    exact = size <= _EXACT
    return float(each.mean()), 0.0 if exact else float(each.std(ddof=1) / len(each) ** 0.5)
