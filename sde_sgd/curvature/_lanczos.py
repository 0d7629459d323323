"""Lanczos' tridiagonalisation of a symmetric matrix known by its products."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from sde_sgd.curvature._jacobi import symmetric_eigh
from sde_sgd.curvature._scale import power_of_two


class Tridiagonal(NamedTuple):
    """A Q = Q T + β_m q_{m+1} e_mᵀ after m products, the rows of `basis` being the columns of Q.

    Attributes:
        diagonal: α_1 … α_m of T, in units of `unit`.
        off_diagonal: β_1 … β_m in the same units; the last one is the length of the remainder.
        basis: orthonormal rows.
        unit: a power of two near the largest |eigenvalue|: squares of what is in units of it neither
            over- nor underflow, whatever the units of the loss.
    """

    diagonal: Float[Array, " m"]
    off_diagonal: Float[Array, " m"]
    basis: Float[Array, "m d"]
    unit: Float[Array, ""]

    def eigh(self) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
        """Eigenvalues of T, ascending (the Ritz values of A), and its eigenvectors as columns."""
        off = self.off_diagonal[:-1]
        matrix = jnp.diag(self.diagonal) + jnp.diag(off, 1) + jnp.diag(off, -1)
        values, columns = symmetric_eigh(matrix)
        return self.unit * values, columns

    def leading(self, products: int) -> "Tridiagonal":
        """What the first of these products had given."""
        return Tridiagonal(
            self.diagonal[:products], self.off_diagonal[:products], self.basis[:products], self.unit
        )

    def residuals(self, columns: Float[Array, "m k"]) -> Float[Array, " k"]:
        """|A Qs − λ Qs| of eigenvectors s of T: |β_m s_m|, but no less than rounding, 10 ε |T|.

        What is below that is taken for nothing, by β = 0, where the Krylov space ends.
        """
        largest = jnp.max(jnp.abs(self.diagonal) + jnp.abs(self.off_diagonal))
        rounding = 10 * jnp.finfo(self.diagonal.dtype).eps * largest
        return self.unit * jnp.maximum(jnp.abs(self.off_diagonal[-1] * columns[-1]), rounding)


def lanczos(
    product: Callable[[Array], Array], start: Float[Array, " d"], products: int, another: Float[Array, " d"]
) -> Tridiagonal:
    r"""`products` steps of Lanczos' recurrence from `start`, with full re-orthogonalisation.

    Each new direction is made orthogonal to all before it, and once more to make up for the rounding
    of that ("twice is enough"). Without this the largest eigenvalues appear again and again as ghosts.
    Whether something is left can only be told after both: what the first pass leaves of nothing is
    rounding, most of it along the old directions.

    Where the Krylov space is exhausted (a matrix of few distinct eigenvalues or low rank), the
    recurrence goes on from a fresh random direction with β = 0, so that `products` = d always gives
    the whole spectrum. Dividing by a length of zero there would give NaN for C = σ²I already.

    All images are divided by a power of two near the largest entry of the first one that is not zero,
    so that squares of eigenvalues of 1e±25 do not leave float32. What is not finite gives NaN.

    Args:
        product: v ↦ A v.
        start: any vector but zero.
        products: m, 1 <= m <= d.
        another: a random vector, from which all fresh directions are made: drawing one in every step would
            take a tenth of a small network's product.

    Returns:
        `Tridiagonal`.

    Source: Paige 1972; Parlett 1998, *The symmetric eigenvalue problem*, sections 6.9 and 13.
    """
    dtype = start.dtype
    tolerance = 10 * jnp.finfo(dtype).eps
    tiny = jnp.finfo(dtype).tiny

    def twice(basis: Array, vector: Array) -> Array:
        return orthogonal_to(basis, orthogonal_to(basis, vector))

    def step(
        j: Int[Array, ""], carry: tuple[Array, Array, Array, Array, Array, Array]
    ) -> tuple[Array, Array, Array, Array, Array, Array]:
        diagonal, off_diagonal, basis, direction, scale, unit = carry
        basis = basis.at[j].set(direction)
        moved = product(direction)
        # as long as all images are zero there is nothing that another unit would change
        unit = jnp.where(scale == 0, power_of_two(moved), unit)
        moved = moved / unit
        scale = jnp.maximum(scale, jnp.linalg.norm(moved))
        rest = twice(basis, moved)
        diagonal = diagonal.at[j].set(jnp.vdot(direction, moved))
        exhausted = jnp.linalg.norm(rest) <= tolerance * scale
        rest = lax.cond(exhausted, lambda: twice(basis, jnp.roll(another, j)), lambda: rest)
        length = jnp.linalg.norm(rest)
        off_diagonal = off_diagonal.at[j].set(jnp.where(exhausted, jnp.zeros_like(length), length))
        return diagonal, off_diagonal, basis, rest / jnp.maximum(length, tiny), scale, unit

    numbers = jnp.zeros((products,), dtype)
    first = start / jnp.linalg.norm(start)
    rows, zero, one = jnp.zeros((products, start.size), dtype), jnp.zeros((), dtype), jnp.ones((), dtype)
    carry = (numbers, numbers, rows, first, zero, one)
    diagonal, off_diagonal, basis, _, _, unit = lax.fori_loop(0, products, step, carry)
    return Tridiagonal(diagonal, off_diagonal, basis, unit)


def orthogonal_to(basis: Float[Array, "m d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    """The vector without its components along the rows; rows of zeros do nothing."""
    # in this order a CPU goes along the rows; (basis @ vector) @ basis takes twice as long
    return vector - basis.T @ (basis @ vector)
