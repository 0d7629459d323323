"""Curvature layer by layer: the diagonal blocks of the Hessian."""

from typing import Any, Literal

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers, Theta
from sde_sgd.curvature._eigenpairs import check_products, foremost, tridiagonal
from sde_sgd.curvature._estimates import Estimate, along, check_samples, trace_of
from sde_sgd.curvature._operators import Asked, asked, precise
from sde_sgd.problems._base import Problem


class Block(Shown, eqx.Module):
    """The block of one layer.

    Attributes:
        eigenvalues: its k largest.
        residuals: how far they may be off, as in `Eigenpairs`.
        trace: with standard error.
        size: how many parameters.
    """

    eigenvalues: Float[Array, "... k"]
    residuals: Float[Array, "... k"]
    trace: Estimate
    size: int = eqx.field(static=True)


def layer_blocks(
    problem: Problem,
    theta: Theta,
    *,
    k: int = 1,
    products: int = 15,
    samples: int = 30,
    by: Literal["layer", "leaf"] = "layer",
    matrix: Literal["hessian", "gauss_newton", "covariance"] = "hessian",
    subset: Numbers | None = None,
    key: Key[Array, ""],
) -> dict[str, Block]:
    """The k largest eigenvalues and the trace of every layer's diagonal block of ∇∇L(θ).

    The traces add up to that of the whole matrix; no eigenvalue of a block is above its largest.

    Args:
        problem, theta, key, matrix, subset: as in `trace`.
        k: eigenvalues of each block, at most the parameters of the smallest.
        products: for the eigenvalues of one block; of all where it has fewer parameters.
        samples: products for its trace, at least 2.
        by: "layer" takes together what lies under the same entry of `theta` (weight and bias), "leaf"
            takes every array for itself.

    Returns:
        name → `Block`, in the order of `theta`; a name is the path to it, such as "0/weight".

    Raises:
        ValueError: as in `trace`.
    """
    given = asked(problem, theta, key, matrix, subset)
    groups = _groups(given.theta, _checks.choice("by", by, ("layer", "leaf")))
    k, products = _checks.integer("k", k, at_least=1), _checks.integer("products", products, at_least=1)
    leaves = jax.tree.leaves(given.theta)
    sizes = [sum(leaves[number].size for number in members) for members in groups.values()]
    if k > min(sizes):
        raise ValueError(f"k must be <= {min(sizes)}, the parameters of the smallest block, got {k}.")
    if products < k:
        raise ValueError(f"products must be >= k = {k}, got {products}.")
    members = tuple(tuple(number in group for number in range(len(leaves))) for group in groups.values())
    pairs = [check_products(k, min(products, size), size) for size in sizes]
    blocks = _blocks(given, members, tuple(pairs), check_samples(samples))
    return dict(zip(groups, blocks, strict=True))


def _groups(theta: Any, by: str) -> dict[str, list[int]]:
    """Name → the leaves of that block."""
    found: dict[str, list[int]] = {}
    for number, (path, _) in enumerate(jax.tree_util.tree_leaves_with_path(theta)):
        shown = path[:-1] if by == "layer" and len(path) > 1 else path
        name = jax.tree_util.keystr(shown, simple=True, separator="/") or "theta"
        found.setdefault(name, []).append(number)
    return found


@_traces.jit
def _blocks(
    given: Asked, members: tuple[tuple[bool, ...], ...], pairs: tuple[tuple[int, int], ...], samples: int
) -> list[Block]:
    found = []
    with precise():
        for number, (free, (k, products)) in enumerate(zip(members, pairs, strict=True)):
            first, second = jax.random.split(jax.random.fold_in(given.key, number))
            made = given.operator(free)
            values, _, residuals = foremost(tridiagonal(made, products, first), k, "largest")
            traced = trace_of(made, second, samples, "hutchinson", along)
            found.append(Block(values, residuals, traced, made.origin.size))
    return found
