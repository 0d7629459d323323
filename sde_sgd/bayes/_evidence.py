"""The evidence for a classifier by Laplace's approximation, against a model that guesses."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._platform._shown import short
from sde_sgd._platform.reading import _traces
from sde_sgd.bayes._outcome import Evidence, Fit
from sde_sgd.curvature._lanczos import Tridiagonal
from sde_sgd.curvature._operators import Operator, check_theta, operator, parameter_count, parameters_of
from sde_sgd.curvature._quadrature import check_quadrature, gauss, tridiagonals
from sde_sgd.problems._empirical_risk import EmpiricalRisk
from sde_sgd.problems._losses import cross_entropy
from sde_sgd.random import check_key

_TOLERANCE, _GAP = 1e-6, 1e-3  # of a fit; nats that it may be above the minimum
_EXACT = 4_096  # parameters up to which "auto" takes the whole Hessian
_COLUMNS = 64  # of it at once
_PRODUCTS, _SAMPLES = 200, 16


def map_fit(
    problem: EmpiricalRisk,
    initial: PyTree,
    *,
    precision: PyTree,
    tolerance: float = _TOLERANCE,
    most_steps: int = 5_000,
) -> Fit:
    r"""The maximum a posteriori: the least of N L(θ) + ½ Σ λ_j θ_j², by L-BFGS in float64.

    Of a network it is the minimum that the start leads to; from a start of zeros, or another that no
    gradient leaves, a saddle, which `log_evidence` refuses.

    Args:
        problem: a classifier with cross-entropy and without l2: the prior has its place in `precision`.
        initial: parameters of one chain, where it begins.
        precision: λ > 0 of the prior N(0, 1/λ), one for all parameters, or shaped as they are (or one for
            each of their arrays).
        tolerance: of the gradient's norm, of the cost per example. The evidence needs a smaller one where
            λ ≪ 1: directions that only the prior holds are found to N · tolerance/λ.
        most_steps: before it is given up.

    Returns:
        `Fit`.

    Raises:
        ValueError: if an argument is out of range, or the gradient does not come down to the tolerance.
    """
    _refuse_tracing("map_fit", problem, initial, precision)
    problem, initial, prior = _checked(problem, initial, precision, "initial")
    tolerance = float(_checks.scalar("tolerance", tolerance, above=0))
    most = _checks.integer("most_steps", most_steps, at_least=1)
    # of numbers in 64 bits optax mixes integers of two sizes
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        doubled, begin = _in_double((problem, initial))
        found, norm, steps = _fitted(doubled, begin, jnp.asarray(prior), jnp.asarray(tolerance), most)
        if not float(norm) <= tolerance:
            raise ValueError(
                f"the fit has not converged: after {int(steps)} steps the gradient is {float(norm):.3g}, "
                f"above tolerance = {tolerance:g}. Raise most_steps = {most}, or begin elsewhere; where "
                f"precision is next to nothing and classes can be told apart there is no minimum near; at "
                f"the kinks of ReLU no gradient that vanishes."
            )
        theta = jax.tree.map(np.asarray, found)
    return Fit(theta=theta, gradient_norm=float(norm), steps=int(steps))


def log_evidence(
    problem: EmpiricalRisk,
    theta: PyTree,
    *,
    precision: PyTree,
    method: Literal["auto", "exact", "lanczos"] = "auto",
    samples: int = _SAMPLES,
    products: int | None = None,
    key: Key[Array, ""] | None = None,
    tolerance: float = _TOLERANCE,
) -> Evidence:
    r"""ln(evidence of a classifier/that of uniform guessing), by Laplace's approximation at a minimum θ.

        ln ∫ e^{−N L(ω)} N(ω; 0, Λ⁻¹) dω + N ln k  ≈  N ln k − N L(θ) − ½ θᵀΛθ − ½ Σ ln μ_i

    with μ_i the eigenvalues of Λ^{−½} (N ∇∇L(θ) + Λ) Λ^{−½}; for one λ they are λ_i/λ with λ_i those of the
    cost's Hessian. A change of the parameters' scales, with the prior changed alike, changes nothing.

    Args:
        problem: a classifier with cross-entropy and without l2: the prior has its place in `precision`.
        theta: θ, a minimum of N L + ½ Σ λ_j θ_j², of one chain: `map_fit(...).theta`.
        precision: λ > 0 of the prior N(0, 1/λ), one for all parameters, or shaped as they are (or one for
            each of their arrays).
        method: "exact" takes all eigenvalues of the Hessian, "lanczos" estimates both sums over them by
            stochastic Lanczos quadrature, "auto" is exact up to 4,096 parameters.
        samples, products: random vectors, and products for each, of "lanczos"; by default 16 and 200 (or d).
            The quadrature's own error, told beside the standard error, falls as exp(−4 · products/√μ₁).
        key: draws the vectors; by default a fixed one.
        tolerance: of the gradient's norm, of the cost per example.

    Returns:
        `Evidence`.

    Raises:
        ValueError: if θ is no minimum (its gradient is above the tolerance, an eigenvalue not above 0, or
            the gap above 10⁻³ nat, times (tolerance/10⁻⁶)² for a larger tolerance), or an argument is out of
            range.

    Source: MacKay 1992, *Bayesian interpolation*; Smith, Le 2018 (arXiv:1710.06451), section 3.
    """
    _refuse_tracing("log_evidence", problem, theta, precision)
    problem, theta, prior = _checked(problem, theta, precision, "theta")
    _checks.choice("method", method, ("auto", "exact", "lanczos"))
    tolerance = float(_checks.scalar("tolerance", tolerance, above=0))
    size = len(prior)
    samples, products = check_quadrature(
        samples, min(size, _PRODUCTS) if products is None else products, size
    )
    key = jax.random.key(0) if key is None else key
    check_key(key)
    exact = method == "exact" or (method == "auto" and size <= _EXACT)
    count, classes = problem.size, _classes(problem)
    unknown = not exact and products == 1 < size  # nothing to compare with
    with jax.enable_x64(True):
        doubled, at = _in_double((problem, theta))
        weights = jnp.asarray(prior)
        slope = _gradient(doubled, at, weights)
        norm = float(jnp.linalg.norm(slope))
        if not norm <= tolerance:
            raise ValueError(
                f"theta must be a minimum of the cost with its prior, but the gradient is {norm:.3g} there, "
                f"above tolerance = {tolerance:g}. Take map_fit(problem, theta, precision=...).theta."
            )
        gap = float(jnp.sum((count * slope) ** 2 / weights)) / 2
        if gap > _GAP * max(1.0, tolerance / _TOLERANCE) ** 2:
            raise ValueError(
                f"theta must be a minimum of the cost, but with so small a precision it may be {gap:.2g} "
                f"nats above it, and its curvature another: tolerance = {tolerance:g} is not enough. Take "
                f"map_fit(problem, theta, precision=..., tolerance=...).theta with a smaller one."
            )
        if exact:
            logs, inverses, lowest = _sums_of_all(np.asarray(_ratio_matrix(doubled, at, weights)))
            before = logs
        else:
            found = _sums(doubled, at, weights, key, samples, products)
            logs, inverses, before = (np.asarray(one) for one in found[:3])
            lowest = float(found[3])
        if not lowest > 0:
            raise ValueError(
                f"theta must be a minimum of the cost, but there is an eigenvalue of {lowest:.3g} "
                f"times the prior's: a saddle. Fit on from a point beside it."
            )
        loss = float(count * doubled.loss(at))
        penalty = float(0.5 * jnp.sum(weights * ravel_pytree(at)[0] ** 2))
    mean_log, mean_inverse = float(np.mean(logs)), float(np.mean(inverses))
    error = float(np.std(logs, ddof=1) / len(logs) ** 0.5) if len(logs) > 1 else 0.0
    likelihood = count * float(np.log(classes)) - loss
    return Evidence(
        value=likelihood - penalty - 0.5 * mean_log,
        standard_error=0.5 * error,
        quadrature_error=np.inf if unknown else 0.5 * abs(mean_log - float(np.mean(before))),
        likelihood=likelihood,
        prior=penalty,
        occam=-0.5 * mean_log,
        effective_parameters=size - mean_inverse,
        gradient_norm=norm,
        gap=gap,
        dimension=size,
        samples=count,
        classes=classes,
    )


def _refuse_tracing(name: str, *trees: Any) -> None:
    if not all(_checks.is_concrete(leaf) for leaf in jax.tree.leaves((jnp.zeros(()), trees))):
        raise ValueError(
            f"{name} cannot be called inside jax.jit, vmap or grad: it looks at numbers on the host. Call it "
            f"for one prior after the other; they share one program."
        )


def _checked(problem: Any, theta: Any, precision: Any, name: str) -> tuple[EmpiricalRisk, Any, np.ndarray]:
    """The problem, θ as it was given and λ of every parameter, or a refusal."""
    if not isinstance(problem, EmpiricalRisk) or problem.losses != _tree.as_module(cross_entropy):
        raise ValueError(
            f"problem must be an EmpiricalRisk with cross-entropy, got {short(problem)}: the evidence is "
            f"told against guessing among classes."
        )
    if problem.regularised:
        raise ValueError("problem must have l2 = 0: the prior has its place in precision. Make it anew.")
    check_theta(problem, theta, name)
    expected = parameters_of(problem)
    rows = _checks.real("precision", precision) if not isinstance(precision, dict | tuple | list) else None
    if rows is None or rows.ndim or not isinstance(precision, int | float | np.generic | np.ndarray | Array):
        if not _tree.same_structure(precision, expected):
            raise ValueError(
                f"precision must be one number, or shaped as the parameters, {_tree.describe(expected)}, got "
                f"{short(precision)}."
            )
        leaves = zip(jax.tree.leaves(precision), jax.tree.leaves(expected), strict=True)
        parts = [(_checks.real("precision", leaf), like.shape) for leaf, like in leaves]
        wrong = [(leaf.shape, shape) for leaf, shape in parts if leaf.shape not in ((), shape)]
        if wrong:
            raise ValueError(f"precision must be shaped as the parameters, {wrong[0][1]}, got {wrong[0][0]}.")
        prior = np.concatenate([np.broadcast_to(leaf, shape).ravel() for leaf, shape in parts])
    else:
        prior = np.full(parameter_count(expected), float(rows))
    if not (np.isfinite(prior) & (prior > 0)).all():
        raise ValueError(
            f"precision must be > 0 and finite, got {prior.min():g}: without a prior there is no evidence."
        )
    return problem, theta, prior


def _classes(problem: EmpiricalRisk) -> int:
    """How many outputs there are to guess among; one output is a choice of two."""
    outputs = jax.eval_shape(problem.predict, parameters_of(problem), problem.inputs)
    return max(2, int(outputs.shape[-1]) if len(outputs.shape) > 1 else 2)


def _in_double(tree: Any) -> Any:
    def doubled(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array | np.ndarray | np.generic) and np.issubdtype(leaf.dtype, np.floating):
            return jnp.asarray(np.asarray(leaf), jnp.float64)
        return leaf

    return jax.tree.map(doubled, tree)


def _cost(
    problem: EmpiricalRisk, theta: Any, prior: Float[Array, " d"]
) -> tuple[Callable[[Array], Array], Float[Array, " d"], Callable[[Array], Any]]:
    """θ ↦ L(θ) + Σ λ_j θ_j²/(2N) over raveled parameters, and where it begins."""
    flat, unravel = ravel_pytree(theta)
    weights = prior / (2 * problem.size)

    def cost(at: Array) -> Array:
        result: Array = problem.loss(unravel(at)) + jnp.sum(weights * at * at)
        return result

    return cost, flat, unravel


@_traces.jit
def _fitted(
    problem: EmpiricalRisk, begin: Any, prior: Float[Array, " d"], tolerance: Float[Array, ""], most: int
) -> Any:
    """Where `_descend` ends, shaped as the parameters, the gradient's norm there and the steps."""
    cost, flat, unravel = _cost(problem, begin, prior)
    found, norm, steps = _descend(cost, flat, tolerance, most)
    return unravel(found), norm, steps


@_traces.jit
def _gradient(problem: EmpiricalRisk, at: Any, prior: Float[Array, " d"]) -> Any:
    cost, flat, _ = _cost(problem, at, prior)
    return jax.grad(cost)(flat)


def _ratios(problem: EmpiricalRisk, at: Any, prior: Float[Array, " d"]) -> Operator:
    """Λ^{−½} (N ∇∇L + Λ) Λ^{−½}."""
    scale = (problem.size / prior) ** 0.5
    hessian = operator(problem, at, "hessian")
    origin = jnp.zeros_like(hessian.origin)
    return Operator(lambda v: v + scale * hessian.product(scale * v), origin, hessian.unravel)


@_traces.jit
def _ratio_matrix(problem: EmpiricalRisk, at: Any, prior: Float[Array, " d"]) -> Any:
    made = _ratios(problem, at, prior)
    return lax.map(made.product, jnp.eye(made.origin.size, dtype=made.origin.dtype), batch_size=_COLUMNS)


def _descend(
    cost: Callable[[Array], Array], start: Array, tolerance: Array, most: int
) -> tuple[Array, Array, Array]:
    """Where the gradient is small enough or the steps are up, its norm there, and the steps."""
    optimizer = optax.lbfgs()
    look = optax.value_and_grad_from_state(cost)

    def step(carry: tuple[Array, Any, Array, Array]) -> tuple[Array, Any, Array, Array]:
        at, state, _, count = carry
        value, gradient = look(at, state=state)
        change, state = optimizer.update(gradient, state, at, value=value, grad=gradient, value_fn=cost)
        moved = optax.apply_updates(at, change)
        return moved, state, jnp.linalg.norm(optax.tree.get(state, "grad")), count + 1

    def more(carry: tuple[Array, Any, Array, Array]) -> Array:
        _, _, norm, count = carry
        return (norm > tolerance) & (count < most)

    begin = jnp.linalg.norm(jax.grad(cost)(start))
    at, _, _, steps = lax.while_loop(more, step, (start, optimizer.init(start), begin, jnp.int32(0)))
    return at, jnp.linalg.norm(jax.grad(cost)(at)), steps


def _sums_of_all(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Σ ln μ and Σ 1/μ over all eigenvalues, and the lowest."""
    values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    if not values[0] > 0:
        return np.zeros(1), np.zeros(1), float(values[0])
    return np.array([np.log(values).sum()]), np.array([(1 / values).sum()]), float(values[0])


@_traces.jit
def _sums(
    problem: EmpiricalRisk, at: Any, prior: Float[Array, " d"], key: Any, samples: int, products: int
) -> Any:
    """The same from each of some random vectors, Σ ln μ from half the products, and the lowest Ritz value."""
    made = _ratios(problem, at, prior)

    def look(found: Tridiagonal) -> Any:
        return gauss(found), gauss(found.leading(-(-products // 2)))

    (nodes, weights), (fewer, their_weights) = tridiagonals(made, key, samples, products, look)

    def over_all(values: Array, weights: Array, of: Callable[[Array], Array]) -> Array:
        safe = jnp.maximum(values, jnp.finfo(values.dtype).tiny)
        return made.origin.size * jnp.sum(weights * of(safe), axis=1)

    logs, inverses = (over_all(nodes, weights, of) for of in (jnp.log, jnp.reciprocal))
    return logs, inverses, over_all(fewer, their_weights, jnp.log), jnp.min(nodes)
