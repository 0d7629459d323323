"""Saddles of index one, between two minima."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from sde_sgd._platform._shown import Shown, parameters, short
from sde_sgd.curvature._operators import check_theta, parameter_count
from sde_sgd.problems._base import Problem
from sde_sgd.theory._escape._root import UnsettledError, dense_root, krylov_root
from sde_sgd.theory._linear._matrix_free import hessian_operator
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
        eigenvalues: of ∇∇L, ascending, shape `(d,)`; above 500 parameters the two lowest and the highest.
        direction: the eigenvector of the lowest, of length 1, over the raveled parameters, shape `(d,)`: at
            a saddle the way down, on either side.
    """

    theta: PyTree
    loss: float
    eigenvalues: np.ndarray
    direction: np.ndarray = field(repr=False)


def find_saddle(problem: Problem, guess: PyTree) -> StationaryPoint:
    """The saddle with one descending direction near a guess.

    A root of ∇L in float64. Up to 500 parameters by Powell's hybrid method with the dense Hessian; above,
    only its products with vectors are made: Newton's method with MINRES, each step halved until |∇L|
    falls, and the lowest eigenvalues by Lanczos' method with restarts.

    Args:
        problem: any problem.
        guess: parameters of one chain, close to the saddle, or the `StationaryPoint` of a problem like it.

    Returns:
        `StationaryPoint` with exactly one negative eigenvalue and none that is zero.

    Raises:
        ValueError: for a guess from which no root is found, or one that leads to a minimum, to a saddle of
            another index or to a point with a flat direction; above 500 parameters also where the lowest
            eigenvalues lie too close together for Lanczos' method.

    Source: Moré, Garbow, Hillstrom 1980, MINPACK (hybrj), through `scipy.optimize.root`; Paige, Saunders
    1975 (MINRES) and Lehoucq, Sorensen, Yang 1998 (ARPACK), through `scipy.sparse.linalg`.
    """
    return saddle_near(problem, guess, "guess")


def saddle_near(problem: Problem, guess: PyTree, name: str) -> StationaryPoint:
    """The same for an argument of another name."""
    guess = check_theta(problem, _place(guess), name)
    found = stationary_point(problem, guess, name)
    curvatures = found.eigenvalues
    below = int((curvatures < 0).sum())
    if below != 1 or _is_flat(curvatures):
        least = "at least " if is_large(guess) else ""
        kind = "a minimum" if below == 0 else f"a saddle of index {least}{below}"
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
    guess = check_theta(problem, _place(guess), name)
    found = stationary_point(problem, guess, name)
    if not found.eigenvalues[0] > 0 or _is_flat(found.eigenvalues):
        raise ValueError(
            f"{name} must lie near a minimum, got {parameters(guess)}: from there the gradient vanishes at "
            f"{parameters(found.theta)}, where the eigenvalues are {short(found.eigenvalues)}. Start closer."
        )
    return found


def _place(given: Any) -> Any:
    return given.theta if isinstance(given, StationaryPoint) else given


def is_large(theta: Any) -> bool:
    """Whether there are too many parameters for a dense Hessian."""
    return parameter_count(theta) > _MOST


def stationary_point(problem: Problem, guess: Any, name: str) -> StationaryPoint:
    """Where ∇L vanishes near a guess."""
    guess = check_theta(problem, guess, name)
    search = krylov_root if is_large(guess) else dense_root
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        flat, unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), guess))
        try:
            found = search(in_float64(problem), unravel, np.asarray(flat))
        except UnsettledError as failure:
            raise ValueError(
                f"{name} must lie near a stationary point that is not flat, got {parameters(guess)}: from "
                f"there the lowest eigenvalues of the Hessian do not settle ({failure}). Add an l2 term, or "
                f"restrict the problem to the directions that matter."
            ) from failure
        theta = jax.tree.map(np.asarray, unravel(jnp.asarray(found.place)))
        along = np.random.default_rng(0).normal(size=flat.size)
        around = hessian_operator(in_float64(problem), unravel(flat)) @ (along / np.linalg.norm(along))
    scale = np.abs(found.eigenvalues).max() * max(1.0, float(np.abs(found.place).max()))
    if not np.abs(found.gradient).max() <= _STILL * scale:
        raise ValueError(
            f"{name} must lie near a stationary point, got {parameters(guess)}: the search from there ends "
            f"with a gradient of {np.abs(found.gradient).max():.2g}. Start closer to one."
        )
    if not np.abs(found.eigenvalues).max() > _FLAT * np.linalg.norm(around):
        raise ValueError(
            f"{name} must lie near a stationary point with a curvature, got {parameters(guess)}: from there "
            f"the gradient vanishes at {parameters(theta)}, a point with flat directions alone, where the "
            f"eigenvalues are {short(found.eigenvalues)}. Add an l2 term, or start near another one."
        )
    return StationaryPoint(theta, found.loss, found.eigenvalues, found.direction)


def _is_flat(eigenvalues: np.ndarray) -> bool:
    return bool(np.abs(eigenvalues).min() <= _FLAT * np.abs(eigenvalues).max())
