"""What a step does to the loss, direction by direction."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._platform._shown import described, shown
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers, Theta
from sde_sgd.curvature._eigenpairs import Eigenpairs
from sde_sgd.curvature._operators import check_subset, check_theta, loss_of, operator, precise
from sde_sgd.curvature._scale import norm
from sde_sgd.problems._base import Problem
from sde_sgd.random import check_key

# how far vectors may be from orthonormal: eigenvectors of Lanczos in float32 are within 1e-5
_ORTHONORMAL = 1e-3


@shown
class Change(NamedTuple):
    """Change of the loss on the way along one part s of a step, or several.

    Attributes:
        length: |s|.
        exact: L(θ + αs) − L(θ) for each multiple α. In float32 what is below 1e-7 of L is rounding.
        slope: ∇L·s.
        curvature: sᵀ ∇∇L s.
        quadratic: α ∇L·s + ½ α² sᵀ ∇∇L s for each multiple α.
    """

    length: Float[Array, "..."]
    exact: Float[Array, "... multiples"]
    slope: Float[Array, "..."]
    curvature: Float[Array, "..."]
    quadratic: Float[Array, "... multiples"]

    def __repr__(self) -> str:
        return described(self)


@shown
class StepEffect(NamedTuple):
    """What the parts of a step do to the loss: `step_effect`.

    Attributes:
        multiples: α.
        each: along each e_i, of (e_i·s) e_i.
        top: of E Eᵀs, along all of them.
        rest: of s − E Eᵀs.
        whole: of s.
        random: of directions as long as E Eᵀs, drawn at random, one for each of the samples.
    """

    multiples: Float[Array, " multiples"]
    each: Change
    top: Change
    rest: Change
    whole: Change
    random: Change

    def __repr__(self) -> str:
        return described(self)


def step_effect(
    problem: Problem,
    theta: Theta,
    step: Theta,
    vectors: PyTree,
    *,
    multiples: Numbers = (0.25, 0.5, 1.0, 2.0, 4.0),
    samples: int = 5,
    subset: Numbers | None = None,
    key: Key[Array, ""],
) -> StepEffect:
    r"""Change of the loss along the parts of a step s: exactly, and to second order.

        s = Σ_i (e_i·s) e_i + rest,    L(θ + αs) − L(θ) = α ∇L·s + ½ α² sᵀ ∇∇L s + O(α³)

    With e_i the sharpest directions: does the step along them overshoot, that is, does the loss rise at α = 1
    or fall less than at a shorter one? A step of SGD on a batch, looked at on its own loss and on all
    examples:

        pairs = top_eigenpairs(net, theta, 5, key=key)
        step = jax.tree.map(lambda slope: -rate * slope, net.batch_gradient(theta, batch))
        own = step_effect(net, theta, step, pairs.vectors, subset=batch, key=key)
        full = step_effect(net, theta, step, pairs.vectors, key=key)

    Args:
        problem: any problem.
        theta: parameters of one chain.
        step: s, what is added to θ; of the same shapes.
        vectors: e_i, orthonormal, shaped as the parameters with a leading axis of k: `Eigenpairs.vectors`.
        multiples: α.
        samples: of random directions, to compare with.
        subset: indices of the examples that L is the mean over, or a number to draw; by default all.
        key: draws the random directions (and the subset, if a number is given).

    Returns:
        `StepEffect`.

    Raises:
        ValueError: if shapes do not fit the problem, the vectors are not orthonormal, or a value is out of
            range.

    Source: Jastrzębski, Kenton, Ballas, Fischer, Bengio, Storkey 2019 (arXiv:1807.05031), section 4.
    """
    theta, step = check_theta(problem, theta), check_theta(problem, step, "step")
    rows = _orthonormal(theta, vectors)
    _checks.number("multiples", multiples)
    alphas = jnp.asarray(multiples, rows.dtype)
    if alphas.ndim != 1:
        raise ValueError(f"multiples must be a list of numbers, got an array of shape {alphas.shape}.")
    samples = _checks.integer("samples", samples, at_least=1)
    check_key(key)
    draw, choose = jax.random.split(key)
    examples = check_subset(problem, subset, choose)
    result: StepEffect = _effect(problem, theta, step, rows, alphas, samples, examples, draw)
    return result


def cosines(vector: Theta, vectors: PyTree) -> Float[Array, " k"]:
    r"""cos(v, e_i) = v·e_i/(|v||e_i|), of a gradient or a step with eigenvectors.

    Args:
        vector: v, shaped as the parameters; NaN comes out where it is 0.
        vectors: e_i, shaped as the parameters with a leading axis of k: `Eigenpairs.vectors`.

    Returns:
        Shape `(k,)`.

    Raises:
        ValueError: if the shapes do not fit.
    """
    vector = _checks.floating("vector", vector)
    rows = vector_rows("vectors", vectors, vector)
    flat = ravel_pytree(vector)[0]
    return rows @ (flat / norm(flat)) / norm(rows, axis=1)


def subspace_overlap(vectors: PyTree, others: PyTree) -> Float[Array, ""]:
    r"""Tr(P P')/k of the projections P and P' on two subspaces: 1 if they are the same, k/d by chance.

    Args:
        vectors, others: each orthonormal, shaped as the parameters with a leading axis of k:
            `Eigenpairs.vectors`, of two epochs for instance.

    Raises:
        ValueError: if shapes differ, or vectors are not orthonormal.
    """
    vectors = _checks.floating("vectors", vectors)
    one = jax.tree.map(lambda leaf: leaf[0] if leaf.size and leaf.ndim else leaf, vectors)
    rows = [_orthonormal(one, each, name) for name, each in (("vectors", vectors), ("others", others))]
    if rows[0].shape != rows[1].shape:
        raise ValueError(
            f"others must be as many as vectors, {len(rows[0])}, got {len(rows[1])}: give subspaces of one "
            f"dimension."
        )
    return jnp.sum((rows[0] @ rows[1].T) ** 2) / len(rows[0])


def vector_rows(name: str, vectors: Any, like: Any) -> Float[Array, "k d"]:
    """Vectors as rows, or a refusal of what is not shaped as the parameters with one more axis."""
    if isinstance(vectors, Eigenpairs):
        raise ValueError(f"{name} must be the vectors alone, got Eigenpairs; pass its .vectors.")
    vectors = _checks.floating(name, vectors)
    wanted = [np.shape(leaf) for leaf in jax.tree.leaves(like)]
    shapes = [leaf.shape for leaf in jax.tree.leaves(vectors)]
    if (
        not _tree.same_structure(vectors, like)
        or [shape[1:] for shape in shapes] != wanted
        or len({shape[:1] for shape in shapes}) != 1
        or shapes[0][:1] in {(), (0,)}
    ):
        raise ValueError(
            f"{name} must be shaped as the parameters, {_tree.describe(like)}, with one more axis in front, "
            f"got {_tree.describe(vectors)}. A single one: jax.tree.map(lambda leaf: leaf[None], vector)."
        )
    result: Array = jax.vmap(lambda one: ravel_pytree(one)[0])(vectors)
    return result


def _orthonormal(like: Any, vectors: Any, name: str = "vectors") -> Float[Array, "k d"]:
    """Vectors as rows, or a refusal where it is known that they are not orthonormal."""
    rows = vector_rows(name, vectors, like)
    if _checks.is_concrete(rows):
        given = np.asarray(rows, np.float64)
        off = float(np.abs(given @ given.T - np.eye(len(given))).max())
        if not off <= _ORTHONORMAL:
            raise ValueError(
                f"{name} must be orthonormal, got products with each other that are off by {off:.2g}; take "
                f"those of top_eigenpairs, or the columns of jnp.linalg.qr."
            )
    return rows


@_traces.jit
def _effect(
    problem: Problem,
    theta: Theta,
    step: Theta,
    rows: Float[Array, "k d"],
    alphas: Float[Array, " multiples"],
    samples: int,
    examples: Int[Array, " batch"] | None,
    key: Key[Array, ""],
) -> StepEffect:
    with precise():
        hessian = operator(problem, theta, "hessian", examples)
        loss = loss_of(problem, examples)
        flat = ravel_pytree(step)[0]
        each = (rows @ flat)[:, None] * rows
        top = each.sum(axis=0)
        drawn = jax.random.normal(key, (samples, len(flat)), flat.dtype)
        random = drawn / norm(drawn, axis=1)[:, None] * norm(top)
        parts = jnp.concatenate([each, jnp.stack([top, flat - top, flat]), random])
        before, slopes = jax.value_and_grad(loss)(theta)
        found = _along(
            lambda at: loss(hessian.unravel(at)) - before, hessian.origin, parts, alphas, hessian.product
        )
        length, exact, bent = found
        slope = parts @ ravel_pytree(slopes)[0]
        quadratic = alphas * slope[:, None] + 0.5 * alphas**2 * bent[:, None]
        change = Change(length, exact, slope, bent, quadratic)
        k = len(rows)
        first, over_top, over_rest, over_whole, last = (
            Change(*(entry[chosen] for entry in change))
            for chosen in (slice(k), k, k + 1, k + 2, slice(k + 3, None))
        )
        return StepEffect(alphas, first, over_top, over_rest, over_whole, last)


def _along(
    rise: Callable[[Array], Array],
    origin: Float[Array, " d"],
    parts: Float[Array, "parts d"],
    alphas: Float[Array, " multiples"],
    product: Callable[[Array], Array],
) -> tuple[Array, Array, Array]:
    """Length of each part, rise of the loss at each of its multiples, and its curvature."""

    def one(part: Array) -> tuple[Array, Array, Array]:
        exact = lax.map(lambda alpha: rise(origin + alpha * part), alphas)
        return norm(part), exact, part @ product(part)

    result: tuple[Array, Array, Array] = lax.map(one, parts)
    return result
