"""Products of curvature matrices with vectors: what every estimate of curvature is made of."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key

from sde_sgd import _checks, _tree
from sde_sgd._platform._shown import short
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers, Theta
from sde_sgd.problems._base import NotKnownError, Problem
from sde_sgd.problems._contract import check_problem
from sde_sgd.problems._empirical_risk import EmpiricalRisk
from sde_sgd.problems._finite_sum import FiniteSumProblem
from sde_sgd.problems._from_loss import ExampleLosses
from sde_sgd.random import check_key

Vector = Float[Array, " d"]
Product = Callable[[Array], Array]
_Leaf = jax.Array | np.ndarray | np.generic | int | float | complex
MATRICES: tuple[str, ...] = ("hessian", "gauss_newton", "covariance")


def precise() -> Any:
    """A context in which a GPU does not round the factors of float32 products to 10 bits."""
    return jax.default_matmul_precision("float32")


class Operator(NamedTuple):
    """A symmetric matrix over raveled parameters, known by its products.

    Attributes:
        product: v ↦ A v, linear, with all that does not depend on v computed once.
        origin: the raveled parameters it belongs to, of length d.
        unravel: from a vector back to the shape of the parameters.
    """

    product: Product
    origin: Array
    unravel: Callable[[Array], Any]


class Asked(NamedTuple):
    """What an estimate is made of, checked: a matrix of a problem at θ, over some of its examples.

    Attributes:
        examples: their indices, or None for all.
        key: for the random vectors.
    """

    problem: Problem
    theta: Theta
    matrix: str
    examples: Int[Array, " batch"] | None
    key: Key[Array, ""]

    def operator(self, free: Sequence[bool] | None = None) -> Operator:
        """The matrix, or its diagonal block over some leaves of θ."""
        return operator(self.problem, self.theta, self.matrix, self.examples, free)


def asked(problem: Any, theta: Any, key: Any, matrix: str, subset: Any) -> Asked:
    """Check what every estimate is given; the key draws the subset if it is a number.

    Raises:
        ValueError: for what does not fit the problem.
    """
    theta = check_theta(problem, theta)
    check_key(key)
    check_matrix(problem, matrix)
    draw, choose = jax.random.split(key)
    return Asked(problem, theta, matrix, check_subset(problem, subset, choose), draw)


def hvp(problem: Problem, theta: Theta, vector: Theta, *, subset: Numbers | None = None) -> Theta:
    r"""The Hessian-vector product ∇∇L(θ) v, at the price of two to three gradients.

    Args:
        problem: any problem.
        theta: parameters of one chain.
        vector: v, of the same shapes.
        subset: indices of the examples that L is the mean over; by default all.

    Returns:
        ∇∇L(θ) v, of the shapes of `theta`.

    Raises:
        ValueError: if the shapes do not fit the problem, or the subset is not one.

    Source: Pearlmutter 1994, *Fast exact multiplication by the Hessian*.
    """
    return _checked_product(problem, theta, vector, subset, "hessian")


def gauss_newton_product(
    problem: Problem, theta: Theta, vector: Theta, *, subset: Numbers | None = None
) -> Theta:
    r"""The product G v with the generalised Gauss-Newton matrix of an `EmpiricalRisk`.

        G = (1/N) Σ_n J_nᵀ (∇∇ℓ_n) J_n + λI,    J_n = ∂f(x_n)/∂θ,

    the Hessian with the network replaced by its tangent: equal to it where f is linear in θ, and
    positive semi-definite where ℓ is convex in f.

    Args:
        problem: with a prediction function; `from_loss` has none.
        theta, vector, subset: as in `hvp`.

    Returns:
        G v, of the shapes of `theta`.

    Raises:
        NotKnownError: if the problem has no prediction function.
        ValueError: as in `hvp`.

    Source: Schraudolph 2002, *Fast curvature matrix-vector products for second-order gradient descent*.
    """
    return _checked_product(problem, theta, vector, subset, "gauss_newton")


def covariance_product(
    problem: Problem, theta: Theta, vector: Theta, *, subset: Numbers | None = None
) -> Theta:
    r"""The product C v with the covariance of one example's gradient.

        C v = (1/N) Σ_n (g_n − g) ((g_n − g)·v)

    Args:
        problem, theta, vector, subset: as in `hvp`.

    Returns:
        C v, of the shapes of `theta`; for a finite sum without a d × d matrix.

    Raises:
        ValueError: as in `hvp`.
    """
    return _checked_product(problem, theta, vector, subset, "covariance")


def operator(
    problem: Problem,
    theta: Theta,
    matrix: str,
    examples: Int[Array, " batch"] | None = None,
    free: Sequence[bool] | None = None,
) -> Operator:
    """The matrix at θ as an `Operator`; with `free` its diagonal block over those leaves of θ."""
    leaves, structure = jax.tree.flatten(theta)
    chosen = [True] * len(leaves) if free is None else list(free)
    flat, unravel = ravel_pytree([leaf for leaf, use in zip(leaves, chosen, strict=True) if use])

    def build(vector: Array) -> Any:
        moved = iter(unravel(vector))
        whole = [next(moved) if use else leaf for leaf, use in zip(leaves, chosen, strict=True)]
        return jax.tree.unflatten(structure, whole)

    makers: dict[str, Callable[..., Product]] = {
        "hessian": _hessian,
        "gauss_newton": _gauss_newton,
        "covariance": _covariance,
    }
    return Operator(makers[matrix](problem, build, flat, examples), flat, build)


def loss_of(problem: Problem, examples: Int[Array, " batch"] | None) -> Callable[[Any], Array]:
    """L(θ), or the mean loss over some of the examples."""
    if examples is None:
        return problem.loss
    assert isinstance(problem, FiniteSumProblem)
    return lambda theta: jnp.mean(problem.example_losses(theta, examples))


def parameters_of(problem: Any) -> Any:
    """The shapes of one chain's parameters.

    Raises:
        ValueError: if `problem` is no problem.
    """
    check_problem(problem)
    return _traces.parameter_shapes(problem.init)


def check_theta(problem: Any, theta: Any, name: str = "theta") -> Any:
    """Return the parameters of one chain as arrays, or refuse what is not that.

    Raises:
        ValueError: if `problem` is no problem, or the shapes are not those of its parameters.
    """
    expected = parameters_of(problem)
    if hasattr(theta, "samples") and hasattr(theta, "diverged"):
        raise ValueError(
            f"{name} must be the parameters of one chain, got a {type(theta).__name__}, which has those of "
            f"all; give one chain's: jax.tree.map(lambda leaf: leaf[0], result.theta)."
        )
    if not all(isinstance(leaf, _Leaf) for leaf in jax.tree.leaves(theta)):
        raise ValueError(
            f"{name} must be the parameters of one chain, of shapes {_tree.describe(expected)}, got "
            f"{short(theta)}."
        )
    theta = _checks.floating(name, theta)
    same = _tree.same_structure(theta, expected) and all(
        leaf.shape == wanted.shape
        for leaf, wanted in zip(jax.tree.leaves(theta), jax.tree.leaves(expected), strict=True)
    )
    if not same:
        raise ValueError(
            f"{name} must be the parameters of one chain, of shapes {_tree.describe(expected)}, got "
            f"{_tree.describe(theta)}. For an ensemble map over its leading axis with jax.vmap."
        )
    return theta


def check_matrix(problem: Problem, matrix: str) -> str:
    """Refuse a matrix that is not known by this name, or not for this problem."""
    _checks.choice("matrix", matrix, MATRICES)
    if matrix == "gauss_newton" and (
        not isinstance(problem, EmpiricalRisk) or isinstance(problem.losses, ExampleLosses)
    ):
        raise NotKnownError(
            f"the Gauss-Newton matrix needs a prediction and a loss of it, which {type(problem).__name__} "
            f"does not tell apart; use an EmpiricalRisk with predict and loss, or matrix='hessian'."
        )
    return matrix


def check_subset(problem: Problem, subset: Any, key: Any = None) -> Int[Array, " batch"] | None:
    """The indices of a subset of the examples: given as such, or a number of them drawn by `key`.

    Raises:
        ValueError: if the problem has no examples, or there are fewer.
    """
    if subset is None:
        return None
    size = problem.dataset_size
    if not isinstance(problem, FiniteSumProblem) or size is None:
        raise ValueError(
            f"subset must be None for {type(problem).__name__}: it has no examples to choose from."
        )
    if np.ndim(subset) == 0:
        count = _checks.integer("subset", subset, at_least=1)
        if count > size:
            raise ValueError(f"subset must be <= {size}, the number of examples, got {count}.")
        if key is None:
            raise ValueError(
                f"subset must be an array of indices here, got the number {count}: without a key none "
                f"can be drawn. Use jax.random.choice(key, {size}, ({count},), replace=False)."
            )
        check_key(key)
        return jax.random.choice(key, size, (count,), replace=False)
    _checks.check_unmasked("subset", subset)
    indices = jnp.asarray(subset)
    if indices.ndim != 1 or indices.size == 0 or not jnp.issubdtype(indices.dtype, jnp.integer):
        raise ValueError(
            f"subset must be a number of examples or a list of their indices, got an array of shape "
            f"{indices.shape} and dtype {indices.dtype}."
        )
    if _checks.is_concrete(indices):
        seen = np.asarray(indices)  # NumPy: known while something else is being traced
        low, high = int(seen.min()), int(seen.max())
        if low < 0 or high >= size:
            raise ValueError(f"subset must hold indices from 0 to {size - 1}, got {low} to {high}.")
    return indices


def parameter_count(theta: Any) -> int:
    """d, the length of the raveled parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(theta))


def _checked_product(problem: Any, theta: Any, vector: Any, subset: Any, matrix: str) -> Theta:
    theta = check_theta(problem, theta)
    vector = check_theta(problem, vector, "vector")
    check_matrix(problem, matrix)
    return _product(problem, theta, vector, check_subset(problem, subset), matrix)


@_traces.jit
def _product(problem: Problem, theta: Theta, vector: Theta, examples: Array | None, matrix: str) -> Theta:
    with precise():
        made = operator(problem, theta, matrix, examples)
        flat, _ = ravel_pytree(jax.tree.leaves(vector))
        return made.unravel(made.product(flat))


def _hessian(problem: Problem, build: Any, flat: Array, examples: Any) -> Product:
    loss = loss_of(problem, examples)
    product: Product = jax.linearize(jax.grad(lambda at: loss(build(at))), flat)[1]
    return product


def _gauss_newton(problem: EmpiricalRisk, build: Any, flat: Array, examples: Any) -> Product:
    """With c_n = ∇∇ℓ_n J_n v held fixed, G v is the gradient of (1/N) Σ c_n·f(x_n)."""
    data = (problem.inputs, problem.targets)
    if examples is not None:
        data = jax.tree.map(lambda leaf: leaf[examples], data)

    def product(vector: Array) -> Array:
        def paired(theta: Any, inputs: Any, targets: Array) -> Array:
            outputs, change = jax.jvp(lambda at: problem.predict(build(at), inputs), (flat,), (vector,))

            def slope(at: Array) -> Array:
                result: Array = jax.grad(lambda out: jnp.sum(problem.losses(out, targets)))(at)
                return result

            curved = jax.jvp(slope, (outputs,), (change,))[1]
            values = curved * problem.predict(theta, inputs)
            return jnp.sum(values.reshape(values.shape[0], -1), axis=1)

        def total(at: Array) -> Array:
            return jnp.mean(problem._by_blocks(paired, build(at), *data))

        result: Array = jax.grad(total)(flat)
        if problem.regularised:
            penalised, _ = ravel_pytree(jax.tree.leaves(problem.decayed(build(vector))))
            result = result + problem.l2.astype(flat.dtype) * penalised
        return result

    # it is linear in v: this computes all that does not depend on it once
    linear: Product = jax.linearize(product, jnp.zeros_like(flat))[1]
    return linear


def _covariance(problem: Problem, build: Any, flat: Array, examples: Any) -> Product:
    if not isinstance(problem, FiniteSumProblem):
        matrix = problem.gradient_covariance(build(flat)).astype(flat.dtype)
        return lambda vector: matrix @ vector

    def losses(at: Array) -> Array:
        return problem.example_losses(build(at), examples)

    values, forward = jax.linearize(losses, flat)
    back = jax.linear_transpose(forward, flat)

    def product(vector: Array) -> Array:
        along = forward(vector)
        result: Array = back((along - jnp.mean(along)) / values.size)[0]
        return result

    return product
