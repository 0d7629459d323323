"""The largest eigenvalues of the Hessian and its like."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from sde_sgd import _checks
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import digits, known, parameters, short, shown
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers, Theta
from sde_sgd.curvature._lanczos import Tridiagonal, lanczos
from sde_sgd.curvature._operators import Asked, Operator, asked, parameter_count, precise
from sde_sgd.problems._base import Problem

ORDERS: tuple[str, ...] = ("largest", "smallest", "magnitude")


@shown
class Eigenpairs(NamedTuple):
    """Some eigenvalues of a symmetric matrix, the foremost first, and how far they may be off.

    Attributes:
        values: λ_1 … λ_k.
        vectors: their eigenvectors of length 1, shaped as the parameters with a leading axis of k.
        residuals: |A e_i − λ_i e_i|. An eigenvalue of A lies within this of λ_i, and for an isolated
            one the error is at most residual²/gap. At least 1e-6 of the largest eigenvalue in float32,
            for rounding; that of the products themselves comes on top. NaN, as the values are, where
            a product is not finite.
    """

    values: Float[Array, "... k"]
    vectors: PyTree
    residuals: Float[Array, "... k"]

    def __repr__(self) -> str:
        vectors = f"{short(self.values)} ± {short(self.residuals)}, vectors of {parameters(self.vectors)}"
        return f"Eigenpairs({vectors})"

    def _panel(self) -> Panel:
        rows = {"vectors": parameters(self.vectors)}
        values, residuals = known(self.values), known(self.residuals)
        if values is None or residuals is None or values.ndim != 1:
            return Panel("Eigenpairs", rows={"values": short(self.values)} | rows)
        table = [(digits(one), f"{error:.2g}") for one, error in zip(values, residuals, strict=True)]
        return Panel("Eigenpairs", rows=rows, columns=("λ", "within"), table=table)


def top_eigenpairs(
    problem: Problem,
    theta: Theta,
    k: int = 1,
    *,
    which: Literal["largest", "smallest", "magnitude"] = "largest",
    products: int | None = None,
    matrix: Literal["hessian", "gauss_newton", "covariance"] = "hessian",
    subset: Numbers | None = None,
    key: Key[Array, ""],
) -> Eigenpairs:
    r"""The k foremost eigenvalues of ∇∇L(θ), and their eigenvectors, by Lanczos' method.

    Converges fast where eigenvalues are well apart, as the top ones of trained networks are: 15
    products usually give λ_1 to 1e-3 or better, and `residuals` says whether they did. Of an eigenvalue that
    is there several times few products find fewer, without a sign of the others. With
    `products` = d the answer is exact to rounding. Any `jax.vmap` over `theta` or `key` is fine; for many
    runs of a network on a CPU `jax.lax.map` is faster by a third, since one run stays in the cache.

    >>> import jax, sde_sgd as ss
    >>> bowl = ss.problems.Quadratic([[2.0, 1.0], [1.0, 2.0]])
    >>> pairs = top_eigenpairs(bowl, bowl.init(jax.random.key(0)), 2, key=jax.random.key(1))
    >>> print(", ".join(f"{value:.3f}" for value in pairs.values))
    3.000, 1.000

    Args:
        problem, theta, matrix, subset: as in `trace`.
        k: how many, 1 <= k <= products.
        key: draws the start vector (and the subset, if a number is given).
        products: matrix-vector products, at most d; by default max(15, 3k) or d.
        which: "largest", "smallest" (the most negative first) or "magnitude".

    Returns:
        `Eigenpairs`.

    Raises:
        ValueError: as in `trace`.
    """
    _checks.choice("which", which, ORDERS)
    given = asked(problem, theta, key, matrix, subset)
    k, products = check_products(k, products, parameter_count(given.theta))
    result: Eigenpairs = _top_eigenpairs(given, k, products, which)
    return result


def spectral_norm(
    problem: Problem,
    theta: Theta,
    *,
    products: int | None = None,
    matrix: Literal["hessian", "gauss_newton", "covariance"] = "hessian",
    subset: Numbers | None = None,
    key: Key[Array, ""],
) -> Float[Array, "..."]:
    r"""|A| = max_i |λ_i|, the largest of the eigenvalues by magnitude.

    In a run: `record={"norm": Observable(spectral_norm, net, key=key)}`.

    Args:
        problem, theta, products, matrix, subset, key: as in `top_eigenpairs`.

    Returns:
        A scalar.

    Raises:
        ValueError: as in `trace`.
    """
    options: Any = {"products": products, "matrix": matrix, "subset": subset, "key": key}
    return jnp.abs(top_eigenpairs(problem, theta, 1, which="magnitude", **options).values[..., 0])


def condition_number(
    problem: Problem,
    theta: Theta,
    k: int = 10,
    *,
    products: int | None = None,
    matrix: Literal["hessian", "gauss_newton", "covariance"] = "hessian",
    subset: Numbers | None = None,
    key: Key[Array, ""],
) -> Float[Array, "..."]:
    r"""λ_1/λ_k: how ill-conditioned the k sharpest directions are.

    The whole Hessian of a network is singular for all one can tell, so its own condition number says
    nothing. In a run: `record={"condition": Observable(condition_number, net, k=10, key=key)}`.

    Args:
        problem, theta, matrix, subset, key: as in `top_eigenpairs`.
        k: 2 <= k <= products.
        products: as there; by default max(30, 8k) or d, since λ_k of too few is too small, and the ratio too
            large, most of all at the start of training, where eigenvalues lie close together.

    Returns:
        A scalar; NaN where λ_k is not above 0.

    Raises:
        ValueError: as in `trace`.

    Source: Jastrzębski, Szymczak, Fort, Arpit, Tabor, Cho, Geras 2020, *The break-even point on optimization
    trajectories of deep neural networks* (arXiv:2002.09572), with the ratio turned round: λ_K*/λ_1 there.
    """
    k = _checks.integer("k", k, at_least=2)
    if products is None:
        products = min(parameter_count(theta), max(30, 8 * k))
    options: Any = {"products": products, "matrix": matrix, "subset": subset, "key": key}
    values = top_eigenpairs(problem, theta, k, **options).values
    last = values[..., -1]
    return jnp.where(last > 0, values[..., 0] / jnp.where(last > 0, last, 1), jnp.nan)


def check_products(k: Any, products: Any, size: int) -> tuple[int, int]:
    """k and the number of products for a matrix of `size` rows, or a refusal."""
    k = _checks.integer("k", k, at_least=1)
    if k > size:
        raise ValueError(f"k must be <= {size}, the number of parameters, got {k}.")
    if products is None:
        return k, min(size, max(15, 3 * k))
    products = _checks.integer("products", products, at_least=1)
    if not k <= products <= size:
        raise ValueError(
            f"products must be >= k = {k} and <= {size}, the number of parameters, got {products}."
        )
    return k, products


@_traces.jit
def _top_eigenpairs(given: Asked, k: int, products: int, which: str) -> Eigenpairs:
    with precise():
        made = given.operator()
        values, vectors, residuals = foremost(tridiagonal(made, products, given.key), k, which)
        return Eigenpairs(values, jax.vmap(made.unravel)(vectors), residuals)


def tridiagonal(made: Operator, products: int, key: Key[Array, ""]) -> Tridiagonal:
    """Lanczos from a random start."""
    begin, more = jax.random.split(key)
    start, another = (jax.random.normal(key, made.origin.shape, made.origin.dtype) for key in (begin, more))
    return lanczos(made.product, start, products, another)


def foremost(
    found: Tridiagonal, k: int, which: str
) -> tuple[Float[Array, " k"], Float[Array, "k d"], Float[Array, " k"]]:
    """The k foremost Ritz values, Ritz vectors as rows, and their residuals."""
    values, columns = found.eigh()
    rank = {"largest": -values, "smallest": values, "magnitude": -jnp.abs(values)}[which]
    chosen = jnp.argsort(rank)[:k]
    columns = columns[:, chosen]
    return values[chosen], columns.T @ found.basis, found.residuals(columns)
