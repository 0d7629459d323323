"""Trace and Frobenius norm from random vectors, with standard errors."""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown, known, short
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers, Theta
from sde_sgd.curvature._operators import Asked, Operator, asked, precise
from sde_sgd.curvature._scale import power_of_two, spread
from sde_sgd.problems._base import Problem

METHODS: tuple[str, ...] = ("hutchinson", "hutch++")
Form = Callable[[Array, Array], Array]


class Estimate(Shown, eqx.Module):
    """A number from random vectors.

    Attributes:
        value: the estimate.
        standard_error: of it, from the spread over independent vectors.
    """

    value: Float[Array, "..."]
    standard_error: Float[Array, "..."]

    def __str__(self) -> str:
        value, error = known(self.value), known(self.standard_error)
        if value is None or error is None or value.ndim or error.ndim:
            return f"{short(self.value)} ± {short(self.standard_error)}"
        return f"{float(value):.6g} ± {float(error):.2g}"

    def __repr__(self) -> str:
        return f"Estimate({self})"


def trace(
    problem: Problem,
    theta: Theta,
    *,
    samples: int = 30,
    method: Literal["hutchinson", "hutch++"] = "hutchinson",
    matrix: Literal["hessian", "gauss_newton", "covariance"] = "hessian",
    subset: Numbers | None = None,
    key: Key[Array, ""],
) -> Estimate:
    r"""Tr A for A = ∇∇L(θ), from products with random signs z.

    Hutchinson: the mean of zᵀAz, whose variance is 2 Σ_{i≠j} A_ij². Hutch++ spends a third of the
    products on the range Q of A, takes Tr QᵀAQ exactly and estimates what is left: far better where few
    eigenvalues dominate, as in trained networks. Both are unbiased.

    Args:
        problem: any problem.
        theta: parameters of one chain.
        key: draws the vectors (and the subset, if a number is given).
        samples: matrix-vector products, at least 2 (4 for Hutch++).
        method: "hutchinson" or "hutch++".
        matrix: "hessian", "gauss_newton" or "covariance" (of one example's gradient).
        subset: a number of examples to draw, or their indices; by default all. The standard error
            is of the random vectors, not of the choice of examples.

    Returns:
        `Estimate`.

    Raises:
        ValueError: if a value is out of range or the shapes do not fit the problem.

    Source: Hutchinson 1990; Meyer, Musco, Musco, Woodruff 2021, *Hutch++* (arXiv:2010.09649).
    """
    return _checked(problem, theta, key, samples, method, matrix, subset, squared=False)


def frobenius_norm(
    problem: Problem,
    theta: Theta,
    *,
    samples: int = 30,
    method: Literal["hutchinson", "hutch++"] = "hutchinson",
    matrix: Literal["hessian", "gauss_newton", "covariance"] = "hessian",
    subset: Numbers | None = None,
    key: Key[Array, ""],
) -> Estimate:
    r"""|A|_F = (Tr A²)^{1/2} for A = ∇∇L(θ), from E|Az|² = |A|_F².

    The square is unbiased; the root has a bias of −(standard error)²/(2|A|_F). One more product finds
    the unit that the squares are taken in.

    Args:
        problem, theta, key, samples, method, matrix, subset: as in `trace`.

    Returns:
        `Estimate`.

    Raises:
        ValueError: as in `trace`.
    """
    return _checked(problem, theta, key, samples, method, matrix, subset, squared=True)


def mean_of(values: Float[Array, "samples ..."]) -> Estimate:
    """The mean of independent values and its standard error."""
    return Estimate(jnp.mean(values, axis=0), spread(values) / len(values) ** 0.5)


def signs(key: Key[Array, ""], like: Array) -> Array:
    """A vector of random signs."""
    return jax.random.rademacher(key, like.shape, like.dtype)


def trace_of(made: Operator, key: Key[Array, ""], samples: int, method: str, form: Form) -> Estimate:
    """The trace of the matrix whose quadratic form is `form(z, A z)`."""
    if method == "hutchinson":

        def one(draw: Key[Array, ""]) -> Array:
            z = signs(draw, made.origin)
            return form(z, made.product(z))

        return mean_of(lax.map(one, jax.random.split(key, samples)))
    sketched = min(samples // 3, made.origin.size)
    draws = jax.random.split(key, samples - sketched)
    sketch = lax.map(lambda draw: made.product(signs(draw, made.origin)), draws[:sketched])
    basis = jnp.linalg.qr(sketch.T)[0].T
    within = jnp.sum(lax.map(lambda row: form(row, made.product(row)), basis))

    def rest(draw: Key[Array, ""]) -> Array:
        z = signs(draw, made.origin)
        z = z - (basis @ z) @ basis
        return form(z, made.product(z))

    remainder = mean_of(lax.map(rest, draws[sketched:]))
    return Estimate(within + remainder.value, remainder.standard_error)


def along(z: Array, moved: Array) -> Array:
    """zᵀAz."""
    return jnp.vdot(z, moved)


def length(_: Array, moved: Array) -> Array:
    """|Az|²."""
    return jnp.vdot(moved, moved)


def _checked(
    problem: Any, theta: Any, key: Any, samples: Any, method: str, matrix: str, subset: Any, *, squared: bool
) -> Estimate:
    _checks.choice("method", method, METHODS)
    given = asked(problem, theta, key, matrix, subset)
    samples = check_samples(samples, at_least=2 if method == "hutchinson" else 4)
    result: Estimate = _trace(given, samples, method, squared)
    return result


def check_samples(samples: Any, at_least: int = 2) -> int:
    """A number of random vectors that leaves a standard error, or a refusal."""
    return _checks.integer("samples", samples, at_least=at_least, hint="A standard error needs a spread.")


@_traces.jit
def _trace(given: Asked, samples: int, method: str, squared: bool) -> Estimate:
    with precise():
        made, key = given.operator(), given.key
        if not squared:
            return trace_of(made, key, samples, method, along)
        unit = power_of_two(made.product(signs(jax.random.fold_in(key, samples), made.origin)))
        scaled = made._replace(product=lambda vector: made.product(vector) / unit)
        found = trace_of(scaled, key, samples, method, length)
        norm = jnp.sqrt(found.value)
        error = found.standard_error / (2 * jnp.maximum(norm, jnp.finfo(norm.dtype).tiny))
        return Estimate(unit * norm, unit * error)
