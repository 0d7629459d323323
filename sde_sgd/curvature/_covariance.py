"""The spectrum of the gradient covariance, and how it lies to that of the Hessian."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key

from sde_sgd import _checks
from sde_sgd._platform._shown import described, shown
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers, Theta
from sde_sgd.curvature._eigenpairs import Eigenpairs, check_products, foremost, top_eigenpairs, tridiagonal
from sde_sgd.curvature._estimates import Estimate, check_samples, signs
from sde_sgd.curvature._operators import Asked, asked, parameter_count, precise
from sde_sgd.curvature._scale import norm, power_of_two
from sde_sgd.problems._base import Problem
from sde_sgd.problems._finite_sum import FiniteSumProblem

_GRAM_EXAMPLES = 512


def covariance_spectrum(
    problem: Problem,
    theta: Theta,
    k: int = 10,
    *,
    products: int | None = None,
    method: Literal["gram", "lanczos"] | None = None,
    subset: Numbers | None = None,
    key: Key[Array, ""],
) -> Eigenpairs:
    r"""The k largest eigenvalues of C(θ) = (1/N) Σ (g_n − g)(g_n − g)ᵀ and their eigenvectors.

    "gram" takes the N × N matrix (1/N) (g_n − g)·(g_m − g), which has the same eigenvalues: exact, with
    N·d numbers in memory. "lanczos" forms no matrix at all. C has rank N − 1 at most.

    Args:
        problem, theta, key, products, subset: as in `top_eigenpairs`.
        k: how many.
        method: "gram", "lanczos", or None: "gram" where there are at most 512 examples, fewer than
            parameters, and no `products` are asked for.

    Returns:
        `Eigenpairs`.

    Raises:
        ValueError: as in `top_eigenpairs`.
    """
    if method is not None:
        _checks.choice("method", method, ("gram", "lanczos"))
    given = asked(problem, theta, key, "covariance", subset)
    theta, examples = given.theta, given.examples
    count = (problem.dataset_size or 0) if examples is None else examples.size
    if method is None:
        few = 0 < count <= min(_GRAM_EXAMPLES, parameter_count(theta)) and products is None
        method = "gram" if few else "lanczos"
    if method == "lanczos":
        return top_eigenpairs(
            problem, theta, k, key=given.key, products=products, matrix="covariance", subset=examples
        )
    if not isinstance(problem, FiniteSumProblem):
        raise ValueError(f"method must be 'lanczos' for {type(problem).__name__}: it has no examples.")
    k = _checks.integer("k", k, at_least=1)
    if k > min(count, parameter_count(theta)):
        raise ValueError(
            f"k must be <= {min(count, parameter_count(theta))}, the smaller of examples and parameters, "
            f"got {k}."
        )
    examples = jnp.arange(count) if examples is None else examples
    result: Eigenpairs = _gram(problem, theta, examples, k)
    return result


@shown
class Alignment(NamedTuple):
    """How the gradient covariance C lies to the curvature A (the Hessian, or what was asked for).

    Attributes:
        cosine: Tr(CA)/(|C|_F |A|_F), 1 if and only if C ∝ A. It is ruled by the largest eigenvalues.
        eigenvalues: λ_1 … λ_k of A.
        residuals: how far they may be off, as in `Eigenpairs`.
        variances: e_iᵀ C e_i, the gradient variance along the eigenvectors e_i.
        ratios: e_iᵀ C e_i/λ_i, all equal where C ∝ A: direction i has the temperature (η/2B) times it.
        generalised: eigenvalues μ of C v = μ A v within the span of e_1 … e_k, largest first: they also
            see what mixes directions. NaN where an eigenvalue is not positive.
    """

    cosine: Estimate
    eigenvalues: Float[Array, "... k"]
    residuals: Float[Array, "... k"]
    variances: Float[Array, "... k"]
    ratios: Float[Array, "... k"]
    generalised: Float[Array, "... k"]

    def __repr__(self) -> str:
        return described(self)


def alignment(
    problem: Problem,
    theta: Theta,
    k: int = 5,
    *,
    products: int | None = None,
    samples: int = 30,
    matrix: Literal["hessian", "gauss_newton"] = "hessian",
    subset: Numbers | None = None,
    key: Key[Array, ""],
) -> Alignment:
    r"""The gradient covariance against the curvature: as a whole, and direction by direction.

    The cosine alone can be near 1 while ratios differ by orders of magnitude in directions that
    contribute little to it.

    Args:
        problem, theta, key, products, subset: as in `top_eigenpairs`.
        k: eigenvectors of A to look along.
        samples: random vectors for the cosine, two products each; at least 2.
        matrix: A: "hessian" or "gauss_newton".

    Returns:
        `Alignment`.

    Raises:
        ValueError: as in `top_eigenpairs`.
    """
    _checks.choice("matrix", matrix, ("hessian", "gauss_newton"))
    given = asked(problem, theta, key, matrix, subset)
    k, products = check_products(k, products, parameter_count(given.theta))
    result: Alignment = _alignment(given, k, products, check_samples(samples))
    return result


@_traces.jit
def _gram(problem: FiniteSumProblem, theta: Theta, examples: Int[Array, " n"], k: int) -> Eigenpairs:
    flat, unravel = ravel_pytree(theta)

    def slope(number: Int[Array, ""]) -> Array:
        result: Array = jax.grad(lambda at: problem.example_losses(unravel(at), number[None])[0])(flat)
        return result

    with precise():
        rows = jax.vmap(slope)(examples)
        rows = (rows - jnp.mean(rows, axis=0)) / examples.size**0.5
        unit = power_of_two(rows)
        rows = rows / unit
        columns = jnp.linalg.eigh(rows @ rows.T)[1][:, ::-1][:, :k]
        vectors = columns.T @ rows
        lengths = jnp.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / jnp.maximum(lengths, jnp.finfo(flat.dtype).tiny)
        values = jnp.sum((vectors @ rows.T) ** 2, axis=1)
        rest = norm((vectors @ rows.T) @ rows - values[:, None] * vectors, axis=1)
        residuals = jnp.maximum(rest, 10 * jnp.finfo(flat.dtype).eps * values[0])
        return Eigenpairs(unit**2 * values, jax.vmap(unravel)(vectors), unit**2 * residuals)


@_traces.jit
def _alignment(given: Asked, k: int, products: int, samples: int) -> Alignment:
    begin, draw = jax.random.split(given.key)
    with precise():
        curve, noise = given.operator(), given._replace(matrix="covariance").operator()
        values, rows, residuals = foremost(tridiagonal(curve, products, begin), k, "largest")
        moved = lax.map(noise.product, rows)
        within = moved @ rows.T
        # the cosine knows no units, but its squares do
        units = power_of_two(values), power_of_two(moved)

        def one(each: Key[Array, ""]) -> Array:
            z = signs(each, curve.origin)
            a, c = curve.product(z) / units[0], noise.product(z) / units[1]
            return jnp.stack([jnp.vdot(a, c), jnp.vdot(a, a), jnp.vdot(c, c)])

        forms = lax.map(one, jax.random.split(draw, samples))
    variances = jnp.diagonal(within)
    root = jnp.where(values > 0, 1 / jnp.sqrt(jnp.where(values > 0, values, jnp.ones_like(values))), jnp.nan)
    scaled = root[:, None] * (within + within.T) / 2 * root[None]
    return Alignment(
        _cosine(forms), values, residuals, variances, variances / values, jnp.linalg.eigvalsh(scaled)[::-1]
    )


def _cosine(forms: Float[Array, "samples 3"]) -> Estimate:
    """x̄/√(ȳ z̄) of three means, with the standard error of its linearisation."""
    cross, first, second = jnp.mean(forms, axis=0)
    value = cross / jnp.sqrt(first * second)
    influence = forms @ jnp.stack([1 / cross, -0.5 / first, -0.5 / second])
    return Estimate(value, jnp.abs(value) * jnp.std(influence, ddof=1) / len(forms) ** 0.5)
