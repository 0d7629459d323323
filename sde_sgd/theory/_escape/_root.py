"""Roots of ∇L, with the Hessian as a matrix or by its products with vectors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy
from jax.flatten_util import ravel_pytree
from scipy.sparse.linalg import LinearOperator

from sde_sgd._platform.reading import _traces
from sde_sgd.problems._base import Problem
from sde_sgd.theory._linear._matrix_free import hessian_operator

Unravel = Callable[[Any], Any]
# where Newton's method ends: |∇L| in units of |∇∇L| times the size of θ, and steps
_DONE, _STEPS = 1e-13, 50
# products with the Hessian for one of its steps, and their accuracy
_PRODUCTS, _SOLVED = 3000, 1e-8
# vectors that ARPACK keeps, its restarts, and |Hv − λv| in units of the range of eigenvalues
_KEPT, _RESTARTS, _SETTLED = 64, 100, 1e-7


class Root(NamedTuple):
    """Where a search has ended.

    Attributes:
        place: raveled parameters.
        gradient: ∇L there.
        loss: L there.
        eigenvalues: of ∇∇L, ascending: all of them, or the two lowest and the highest.
        direction: the eigenvector of the lowest, of length 1.
    """

    place: np.ndarray
    gradient: np.ndarray
    loss: float
    eigenvalues: np.ndarray
    direction: np.ndarray


class UnsettledError(ValueError):
    """The lowest eigenvalues have not settled."""


def dense_root(problem: Problem, unravel: Unravel, start: np.ndarray) -> Root:
    """By Powell's hybrid method with the whole Hessian."""

    def facts(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        theta = unravel(jnp.asarray(vector))
        return np.asarray(_slope(problem, theta)[1]), np.asarray(_hessian(problem, theta))

    found = scipy.optimize.root(facts, start, jac=True, method="hybr", options={"xtol": 1e-13})
    theta = unravel(jnp.asarray(found.x))
    loss, gradient = _slope(problem, theta)
    values, vectors = np.linalg.eigh(np.asarray(_hessian(problem, theta)))
    return Root(found.x, np.asarray(gradient), float(loss), values, vectors[:, 0])


def krylov_root(problem: Problem, unravel: Unravel, start: np.ndarray) -> Root:
    """By Newton's method, its steps by MINRES and halved until |∇L| falls, with products only.

    Raises:
        UnsettledError: if the lowest eigenvalues do not settle.
    """

    def slope(vector: np.ndarray) -> np.ndarray:
        return np.asarray(_slope(problem, unravel(jnp.asarray(vector)))[1])

    def hessian(vector: np.ndarray) -> LinearOperator:
        return hessian_operator(problem, unravel(jnp.asarray(vector)))

    place, gradient = start, slope(start)
    for _ in range(_STEPS):
        matrix = hessian(place)
        size = np.linalg.norm(gradient)
        if not size > _DONE * np.linalg.norm(matrix @ np.maximum(np.abs(place), 1.0)):
            break
        step, _ = scipy.sparse.linalg.minres(matrix, -gradient, rtol=_SOLVED, maxiter=_PRODUCTS)
        tried = (place + 0.5**halvings * step for halvings in range(30))
        better = next(((x, g) for x in tried if np.linalg.norm(g := slope(x)) < size), None)
        if better is None:
            break
        place, gradient = better
    values, direction = _ends(hessian(place))
    loss, _ = _slope(problem, unravel(jnp.asarray(place)))
    return Root(place, gradient, float(loss), values, direction)


def _ends(matrix: LinearOperator) -> tuple[np.ndarray, np.ndarray]:
    """The two lowest eigenvalues and the highest, and the eigenvector of the lowest.

    The lowest are sought as the largest of 2|λ_max| − H, as ARPACK passes over what is exactly zero. For the
    second the first is taken out, so that a double one counts twice.
    """
    size = matrix.shape[0]
    start = np.random.default_rng(0).normal(size=size)

    def largest(product: Callable[[np.ndarray], np.ndarray]) -> tuple[float, np.ndarray]:
        made = LinearOperator((size, size), matvec=product, dtype=np.float64)
        options = {"v0": start, "ncv": min(_KEPT, size), "maxiter": _RESTARTS, "tol": _SETTLED}
        try:
            values, vectors = scipy.sparse.linalg.eigsh(made, 1, which="LA", **options)
        except scipy.sparse.linalg.ArpackError as failure:
            raise UnsettledError(str(failure)) from failure
        return float(values[0]), vectors[:, 0]

    highest, _ = largest(matrix.matvec)
    ceiling = 2 * abs(highest)
    first, direction = largest(lambda vector: ceiling * vector - matrix @ vector)
    second, _ = largest(
        lambda vector: ceiling * vector - matrix @ vector - first * (direction @ vector) * direction
    )
    return np.asarray([ceiling - first, ceiling - second, highest]), direction


@_traces.jit
def _slope(problem: Problem, theta: Any) -> Any:
    """L and ∇L over the raveled parameters."""
    return problem.loss(theta), ravel_pytree(problem.gradient(theta))[0]


@_traces.jit
def _hessian(problem: Problem, theta: Any) -> Any:
    """∇∇L over the raveled parameters."""
    size = ravel_pytree(theta)[0].size
    return jnp.reshape(problem.hessian(theta), (size, size))
