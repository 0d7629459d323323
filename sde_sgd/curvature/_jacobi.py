"""Eigenvalues of small symmetric matrices without LAPACK."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

# Each sweep squares what is left off the diagonal, once it is small.
_SWEEPS = {4: 7, 8: 9}


def symmetric_eigh(matrix: Float[Array, "m m"]) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    r"""Eigenvalues, ascending, and eigenvectors as columns, by Jacobi's rotations.

    Each round makes m/2 rotations in planes that have no axis in common, so that a vmapped call is
    a few operations on whole arrays. For the matrices of Lanczos' method, tens of rows.

    `jnp.linalg.eigh` of a batch calls LAPACK from the thread of each device and waits for helpers from
    the same pool of threads: with as many devices as cores all may wait, for ever (seen on two devices
    of two cores with jaxlib 0.10.1; gone since 0.11.2).

    Args:
        matrix: A; only its symmetric part should differ from zero.

    Returns:
        λ and V with A V = V diag(λ), to rounding.

    Source: Brent, Luk 1985, *The solution of singular-value and symmetric eigenvalue problems on
    multiprocessor arrays*.
    """
    size = matrix.shape[0]
    even = size + size % 2
    partners = jnp.asarray(_tournament(even))
    order = jnp.arange(even, dtype=jnp.int32)
    # an axis that is added has nothing off the diagonal, so it is never turned
    start = jnp.pad(matrix, (0, even - size))
    vectors = jnp.eye(even, dtype=matrix.dtype)
    # turning what is rounding only adds rounding
    least = jnp.finfo(matrix.dtype).eps / 8 * jnp.max(jnp.abs(matrix))

    def turn(number: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
        a, v = carry
        partner = partners[number % (even - 1)]
        diagonal = jnp.diagonal(a)
        # the mean of both: the two of a pair must turn by the same angle, or the turn is none
        beside = (a[order, partner] + a[partner, order]) / 2
        nothing = jnp.abs(beside) <= least
        ratio = (diagonal[partner] - diagonal) / (2 * jnp.where(nothing, jnp.ones_like(beside), beside))
        sign = jnp.where(ratio == 0, jnp.where(order < partner, 1.0, -1.0), jnp.sign(ratio)).astype(a.dtype)
        tangent = jnp.where(nothing, 0.0, sign / (jnp.abs(ratio) + jnp.hypot(ratio, jnp.ones_like(ratio))))
        square = tangent * tangent
        # 1/√(1 + t²), but exactly 1 for no turn: what rounding takes off each time adds up
        cosine = 1 - square / (1 + square + jnp.sqrt(1 + square))
        sine = tangent * cosine
        a = cosine[:, None] * a - sine[:, None] * a[partner]
        a = cosine[None] * a - sine[None] * a[:, partner]
        return a, cosine[None] * v - sine[None] * v[:, partner]

    rounds = _SWEEPS[matrix.dtype.itemsize] * (even - 1)
    a, v = lax.fori_loop(0, rounds, turn, (start, vectors))
    values, v = jnp.diagonal(a)[:size], v[:size, :size]
    rank = jnp.argsort(values)
    return values[rank], (v / jnp.linalg.norm(v, axis=0, keepdims=True))[:, rank]


def _tournament(size: int) -> np.ndarray:
    """Who meets whom in each of size − 1 rounds, so that every pair meets once, shape (size − 1, size)."""
    rounds = []
    seats = list(range(size))
    for _ in range(size - 1):
        partner = np.empty(size, np.int32)
        for left, right in zip(seats[: size // 2], reversed(seats[size // 2 :]), strict=True):
            partner[left], partner[right] = right, left
        rounds.append(partner)
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return np.stack(rounds)
