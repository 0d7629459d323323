"""Stationary variances along single directions where matrices are too large to write down."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from typing_extensions import TypeAliasType

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers, Sampling
from sde_sgd.curvature._operators import check_theta
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._base import Problem
from sde_sgd.problems._finite_sum import FiniteSumProblem
from sde_sgd.theory._linear._covariance import discrete_covariance, lyapunov_covariance
from sde_sgd.theory._linear._modes import sde_response, sgd_response
from sde_sgd.theory._setting import LAWS, law_noise, one_setting, positive_curvatures

Product = Callable[[Any], Any]
# a symmetric matrix, or what multiplies by it
Operator = TypeAliasType("Operator", Numbers | LinearOperator | Callable[[np.ndarray], np.ndarray])


def directional_variance(
    curvatures: Numbers,
    noise_variances: Numbers,
    hyper: Hyperparameters,
    *,
    law: Literal["sgd", "sde"] = "sgd",
    sampling: Sampling = "replacement",
    dataset_size: int | None = None,
    average: bool = False,
) -> np.ndarray:
    r"""eᵢᵀΣeᵢ along eigenvectors eᵢ of the Hessian, from λ_i and c_i = eᵢᵀCeᵢ alone.

    On a quadratic, modes of H do not mix: this is exact whether or not H and C commute, so the few
    top eigenpairs of a large network give the variances along them. Without momentum ηc/(Bλ(2 − ηλ)).

    Args:
        curvatures: λ_i > 0, shape `(k,)`.
        noise_variances: c_i ≥ 0, shape `(k,)`.
        hyper, sampling, dataset_size, average: as in `discrete_covariance`.
        law: "sgd" or "sde".

    Returns:
        Variances, shape `(k,)`. Times 2λ_i they are temperatures.

    Raises:
        ValueError: for values out of range or an unstable η.
    """
    setting = one_setting(hyper)
    noise = law_noise(law, sampling, setting, dataset_size)
    _checks.number("curvatures", curvatures)
    _checks.number("noise_variances", noise_variances)
    values, strengths = (np.atleast_1d(np.asarray(x, np.float64)) for x in (curvatures, noise_variances))
    if values.shape != strengths.shape or values.ndim != 1:
        raise ValueError(
            f"curvatures and noise_variances must be one for each direction, got shapes {values.shape} "
            f"and {strengths.shape}."
        )
    if strengths.min() < -1e-5 * np.abs(strengths).max():
        raise ValueError(f"noise_variances must be >= 0, got {strengths.min():g}.")
    positive_curvatures(values, setting if law == "sgd" else None)
    if law == "sde":
        return sde_response(values, values, noise, setting) * strengths
    return sgd_response(values, values, noise, setting, average=average) * strengths


@dataclass(frozen=True, repr=False)
class KrylovVariance(Shown):
    """A variance from a Krylov space.

    Attributes:
        variance: vᵀΣv.
        error: its distance to the value from three quarters of the products, an estimate of the
            remaining error where it has begun to converge.
        order: dimension of the space; smaller than asked for if the space closed, which is exact.
    """

    variance: float
    error: float
    order: int


def krylov_variance(
    hessian: Operator,
    gradient_covariance: Operator,
    direction: Numbers,
    hyper: Hyperparameters,
    *,
    order: int = 32,
    law: Literal["sgd", "sde"] = "sgd",
    sampling: Sampling = "replacement",
    dataset_size: int | None = None,
    average: bool = False,
) -> KrylovVariance:
    r"""vᵀΣv for any direction v from `order` products with H and with C, and no d × d matrix.

    Σ is a sum of f(H) C g(H) over polynomials f and g, so vᵀΣv only sees C between vectors of the
    Krylov space of H and v. Lanczos with full re-orthogonalisation gives a basis V of it; the small
    problem VᵀHV, VᵀCV is solved by `discrete_covariance`. Converges like conjugate gradients, in
    about √(λ_max/λ_min) products; exact at d of them.

    Args:
        hessian: H as an array, a scipy `LinearOperator` or a function v ↦ Hv.
        gradient_covariance: C in the same ways. `products` makes both from a problem.
        direction: v, shape `(d,)`; it need not have length one.
        hyper, sampling, dataset_size, average: as in `discrete_covariance`.
        order: number of products.
        law: "sgd" or "sde".

    Returns:
        `KrylovVariance`.

    Raises:
        ValueError: if the direction is zero, or as in `discrete_covariance` for the small problem.
    """
    _checks.choice("law", law, LAWS)
    steps = _checks.integer("order", order, at_least=2)
    _checks.number("direction", direction)
    start = np.asarray(direction, np.float64)
    length = float(np.linalg.norm(start))
    if start.ndim != 1 or not length > 0:
        raise ValueError(f"direction must be a vector that is not zero, got shape {start.shape}.")
    matrices = ("hessian", hessian), ("gradient_covariance", gradient_covariance)
    H, C = (_operator(name, matrix, start.size) for name, matrix in matrices)
    basis = _krylov_basis(H, start / length, min(steps, start.size))
    images = np.stack([_apply(C, row) for row in basis])
    small_h = basis @ np.stack([_apply(H, row) for row in basis]).T
    small_c = basis @ images.T
    options: dict[str, Any] = {"sampling": sampling, "dataset_size": dataset_size}

    def at_order(size: int) -> float:
        part = (small_h + small_h.T)[:size, :size] / 2, (small_c + small_c.T)[:size, :size] / 2
        if law == "sde":
            return float(lyapunov_covariance(*part, hyper, **options)[0, 0]) * length**2
        return float(discrete_covariance(*part, hyper, average=average, **options)[0, 0]) * length**2

    size = len(basis)
    value = at_order(size)
    closed = size < steps or size == start.size
    error = 0.0 if closed else abs(value - at_order(max(1, (3 * size) // 4)))
    return KrylovVariance(value, error, size)


def products(problem: Problem, theta: PyTree) -> tuple[LinearOperator, LinearOperator]:
    """v ↦ H(θ)v and v ↦ C(θ)v over the raveled parameters: a gradient or two each, no matrix.

    Args:
        problem: analytic, or a finite sum; for the latter C v = (1/N) Σ g_n (g_n − g)·v.
        theta: parameters of one chain.

    Returns:
        Two scipy `LinearOperator`s, float64 outside and the problem's own precision inside.
    """
    if not isinstance(problem, AnalyticProblem | FiniteSumProblem):
        raise ValueError(
            f"problem must be analytic or a finite sum, got {type(problem).__name__}; give krylov_variance "
            f"functions v ↦ Hv and v ↦ Cv of your own."
        )
    theta = check_theta(problem, theta)
    return hessian_operator(problem, theta), _linear_operator(_covariance_product, problem, theta)


def hessian_operator(problem: Problem, theta: Any) -> LinearOperator:
    """v ↦ H(θ)v over the raveled parameters, in the precision of θ."""
    return _linear_operator(_hessian_product, problem, theta)


def _linear_operator(product: Any, problem: Problem, theta: Any) -> LinearOperator:
    flat, _ = ravel_pytree(theta)

    def apply(vector: Any) -> np.ndarray:
        tangent = jnp.asarray(np.ravel(vector), flat.dtype)
        return np.asarray(product(problem, theta, tangent), np.float64)

    return LinearOperator((flat.size, flat.size), matvec=apply, rmatvec=apply, dtype=np.float64)


@_traces.jit
def _hessian_product(problem: Problem, theta: Any, vector: Any) -> Any:
    _, unravel = ravel_pytree(theta)
    image = jax.jvp(problem.gradient, (theta,), (unravel(vector),))[1]
    return ravel_pytree(image)[0]


@_traces.jit
def _covariance_product(problem: Problem, theta: Any, vector: Any) -> Any:
    _, unravel = ravel_pytree(theta)
    tangent = unravel(vector)
    if isinstance(problem, FiniteSumProblem):
        slopes = jax.jvp(problem.example_losses, (theta,), (tangent,))[1]
        image = problem.weighted_gradient(theta, (slopes - jnp.mean(slopes)) / slopes.size)
    else:
        assert isinstance(problem, AnalyticProblem)
        image = problem.noise.apply(theta, problem.noise.apply(theta, tangent))
    return ravel_pytree(image)[0]


def _operator(name: str, matrix: Any, size: int) -> LinearOperator:
    if isinstance(matrix, LinearOperator):
        given = matrix
    elif callable(matrix):
        return LinearOperator((size, size), matvec=matrix, dtype=np.float64)
    else:
        given = _checks.real(name, matrix)
    if given.shape != (size, size):
        raise ValueError(
            f"{name} must have shape {(size, size)}, as direction has {size} entries, got {given.shape}."
        )
    return aslinearoperator(given)


def _apply(operator: LinearOperator, vector: np.ndarray) -> np.ndarray:
    image = np.asarray(operator.matvec(vector), np.float64).ravel()
    if not np.isfinite(image).all():
        raise ValueError("a matrix-vector product is not finite; check theta.")
    return image


def _krylov_basis(H: LinearOperator, start: np.ndarray, size: int) -> np.ndarray:
    """Orthonormal rows that span v, Hv, …; fewer if the space closes."""
    rows = [start]
    while len(rows) < size:
        known = np.stack(rows)
        image = _apply(H, rows[-1])
        scale = float(np.linalg.norm(image))
        for _ in range(2):
            image = image - known.T @ (known @ image)
        rest = float(np.linalg.norm(image))
        if rest <= 1e-6 * scale:
            break
        rows.append(image / rest)
    return np.stack(rows)
