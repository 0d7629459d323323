"""Saddles of index one, between two minima."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from sde_sgd._platform._shown import Shown, parameters, short
from sde_sgd._platform.reading import _traces
from sde_sgd.curvature._operators import check_theta
from sde_sgd.problems._base import Problem
from sde_sgd.theory._potential import in_float64

# parameters whose dense Hessian is made
_MOST = 500
# |∇L| at a stationary point, in units of |∇∇L| times the size of θ
_STILL = 1e-9
# an eigenvalue is zero below so much of the largest
_FLAT = 1e-9


@dataclass(frozen=True, repr=False)
class StationaryPoint(Shown):
    """A point with ∇L = 0.

    Attributes:
        theta: the parameters there, float64 leaves.
        loss: L.
        eigenvalues: of ∇∇L, ascending, shape `(d,)`.
    """

    theta: PyTree
    loss: float
    eigenvalues: np.ndarray


def find_saddle(problem: Problem, guess: PyTree) -> StationaryPoint:
    """The saddle with one descending direction near a guess.

    A root of ∇L by Powell's hybrid method, with the dense Hessian, in float64.

    Args:
        problem: with up to 500 parameters.
        guess: parameters of one chain, close to the saddle.

    Returns:
        `StationaryPoint` with exactly one negative eigenvalue and none that is zero.

    Raises:
        ValueError: for more parameters, a guess from which no root is found, or one that leads to a
            minimum, to a saddle of another index or to a point with a flat direction.

    Source: Moré, Garbow, Hillstrom 1980, MINPACK (hybrj), through `scipy.optimize.root`.
    """
    return saddle_near(problem, guess, "guess")


def saddle_near(problem: Problem, guess: PyTree, name: str) -> StationaryPoint:
    """The same for an argument of another name."""
    found = stationary_point(problem, guess, name)
    curvatures = found.eigenvalues
    below = int((curvatures < 0).sum())
    if below != 1 or _is_flat(curvatures):
        kind = "a minimum" if below == 0 else f"a saddle of index {below}"
        if _is_flat(curvatures):
            kind = "a point with a flat direction"
        raise ValueError(
            f"{name} must lie near a saddle with one descending direction, got {parameters(guess)}: from "
            f"there the gradient vanishes at {parameters(found.theta)}, {kind} with eigenvalues "
            f"{short(curvatures)}. Start closer to the highest point of a path between the minima."
        )
    return found


def minimum_near(problem: Problem, guess: PyTree, name: str) -> StationaryPoint:
    """The same for a minimum."""
    found = stationary_point(problem, guess, name)
    if not found.eigenvalues[0] > 0 or _is_flat(found.eigenvalues):
        raise ValueError(
            f"{name} must lie near a minimum, got {parameters(guess)}: from there the gradient vanishes at "
            f"{parameters(found.theta)}, where the eigenvalues are {short(found.eigenvalues)}. Start closer."
        )
    return found


def stationary_point(problem: Problem, guess: Any, name: str) -> StationaryPoint:
    """Where ∇L vanishes near a guess."""
    guess = check_theta(problem, guess, name)
    size = sum(leaf.size for leaf in jax.tree.leaves(guess))
    if size > _MOST:
        raise ValueError(
            f"problem must have up to {_MOST} parameters for a dense Hessian, got {size}: its determinant "
            f"and the number of its negative eigenvalues are needed, and products with vectors only estimate "
            f"them. Restrict the problem to the few directions that matter."
        )
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        exact = in_float64(problem)
        flat, unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), guess))

        def facts(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            _, gradient, hessian = _facts(exact, unravel(jnp.asarray(vector)))
            return np.asarray(gradient, np.float64), np.asarray(hessian, np.float64)

        found = scipy.optimize.root(facts, np.asarray(flat), jac=True, method="hybr", options={"xtol": 1e-13})
        theta = unravel(jnp.asarray(found.x))
        loss, gradient, hessian = (np.asarray(fact, np.float64) for fact in _facts(exact, theta))
    scale = np.abs(hessian).max() * max(1.0, float(np.abs(found.x).max()))
    if not np.abs(gradient).max() <= _STILL * scale:
        raise ValueError(
            f"{name} must lie near a stationary point, got {parameters(guess)}: the search from there ends "
            f"with a gradient of {np.abs(gradient).max():.2g}. Start closer to one."
        )
    return StationaryPoint(jax.tree.map(np.asarray, theta), float(loss), np.linalg.eigvalsh(hessian))


def _is_flat(eigenvalues: np.ndarray) -> bool:
    return bool(np.abs(eigenvalues).min() <= _FLAT * np.abs(eigenvalues).max())


@_traces.jit
def _facts(problem: Problem, theta: Any) -> Any:
    """L, ∇L and ∇∇L over the raveled parameters."""
    size = sum(leaf.size for leaf in jax.tree.leaves(theta))
    hessian = jnp.reshape(problem.hessian(theta), (size, size))
    return problem.loss(theta), ravel_pytree(problem.gradient(theta))[0], hessian
