"""A problem with one parameter as functions of a float64 grid."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_sgd._platform.reading import _traces
from sde_sgd.problems._base import NotKnownError, Problem
from sde_sgd.problems._contract import check_problem
from sde_sgd.theory._gibbs import GRID_EXPONENT
from sde_sgd.theory._potential import in_float64

_BLOCK = 4096


class Line:
    """L, L', L'' and σ² of a problem with one parameter, evaluated in double precision.

    Args:
        problem: any problem whose parameters are one number in all.
        what: the law that asks, for the message.

    Raises:
        ValueError: for more parameters.
    """

    def __init__(self, problem: Problem, what: str):
        check_problem(problem)
        start = _traces.parameter_shapes(problem.init)
        leaves, self._structure = jax.tree.flatten(start)
        if sum(leaf.size for leaf in leaves) != 1:
            raise ValueError(
                f"{what} is for problems with one parameter; {type(problem).__name__} has "
                f"{sum(leaf.size for leaf in leaves)}. Project onto a direction first, or see "
                f"discrete_covariance and laplace_gibbs, which know any number."
            )
        self._shapes = tuple(leaf.shape for leaf in leaves)
        self.problem = problem

    def derivatives(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """L, L' and L'' at every point."""
        first, second, third = self._evaluate(_derivatives, x)
        return first, second, third

    def noise_variance(self, x: np.ndarray) -> np.ndarray:
        """σ²(x) of one example's gradient at every point."""
        (values,) = self._evaluate(_noise_variance, x)
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise ValueError("the gradient noise must have a finite variance >= 0 everywhere on the grid.")
        return values

    def minima(self) -> np.ndarray:
        """The known minima in ascending order, or the origin."""
        try:
            points = self.problem.minima()
        except NotKnownError:
            return np.zeros(1)
        return np.sort([float(np.ravel(jax.tree.leaves(point)[0])[0]) for point in points])

    def _evaluate(self, function: Any, x: np.ndarray) -> tuple[np.ndarray, ...]:
        with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
            problem = in_float64(self.problem)
            parts = []
            # always of one size, so that a problem is compiled once
            for begin in range(0, len(x), _BLOCK):
                block = np.resize(x[begin : begin + _BLOCK], _BLOCK)
                values = function(problem, self._structure, self._shapes, jnp.asarray(block, jnp.float64))
                parts.append([np.asarray(value, np.float64) for value in values])
        return tuple(np.concatenate(kind)[: len(x)] for kind in zip(*parts, strict=True))


def _parameters(structure: Any, shapes: Any, x: Any) -> Any:
    """The parameters of one chain that hold the number x."""
    leaves = [jnp.reshape(x, shape) if np.prod(shape) else jnp.zeros(shape) for shape in shapes]
    return jax.tree.unflatten(structure, leaves)


@_traces.jit
def _derivatives(problem: Problem, structure: Any, shapes: Any, x: Any) -> Any:
    def loss(at: Any) -> Any:
        return problem.loss(_parameters(structure, shapes, at))

    def slope(at: Any) -> Any:
        return jax.tree.leaves(problem.gradient(_parameters(structure, shapes, at)))[0].reshape(())

    return jax.vmap(loss)(x), jax.vmap(slope)(x), jax.vmap(jax.grad(slope))(x)


@_traces.jit
def _noise_variance(problem: Problem, structure: Any, shapes: Any, x: Any) -> Any:
    def variance(at: Any) -> Any:
        return problem.gradient_covariance(_parameters(structure, shapes, at))[0, 0]

    return (jax.vmap(variance)(x),)


def check_edges(exponents: np.ndarray, low: float, high: float, minima: np.ndarray) -> None:
    """Refuse bounds at whose edge, or beyond which, there is probability; exponents are −ln p.

    Raises:
        ValueError: with the numbers.
    """
    edge = min(exponents[0], exponents[-1]) - exponents.min()
    if not edge >= GRID_EXPONENT / 2:
        raise ValueError(
            f"bounds ({low:g}, {high:g}) cut off probability: the density at the edge is "
            f"e^-{max(edge, 0.0):.1f} of its peak. Widen them, or check that the loss grows at infinity."
        )
    outside = minima[(minima < low) | (minima > high)]
    if outside.size:
        raise ValueError(
            f"bounds ({low:g}, {high:g}) cut off probability: there is a minimum at {outside[0]:g}. "
            f"Widen them."
        )
