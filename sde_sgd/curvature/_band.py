"""Several eigenvectors at once, from those of a matrix nearby: Lanczos' method with a band of directions."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from sde_sgd.curvature._jacobi import symmetric_eigh
from sde_sgd.curvature._lanczos import orthogonal_to
from sde_sgd.curvature._scale import norm, power_of_two


def band_lanczos(
    product: Callable[[Array], Array],
    start: Float[Array, "b d"],
    products: int,
    another: Float[Array, " d"],
) -> tuple[Float[Array, " b"], Float[Array, "b d"], Float[Array, " b"]]:
    r"""The b largest eigenvalues, descending, their eigenvectors as rows, and |A q − λ q|.

    The space is that of the start rows and of A times each of the rows before: with b rows as many equal
    eigenvalues are found, where Lanczos' method from one vector sees one of them. Where a new direction lies
    in the space already (an exact eigenvector, or a row of zeros) a random one takes its place.

    Args:
        product: v ↦ A v.
        start: rows that need be neither orthogonal nor of length 1.
        products: of A with a vector, b <= products <= d; with d all is exact.
        another: a random vector, from which all random directions are made.

    Source: Ruhe 1979, *Implementation aspects of band Lanczos algorithms for computation of eigenvalues of
    large sparse symmetric matrices*.
    """
    band = len(start)
    tolerance = 100 * jnp.finfo(start.dtype).eps

    def beyond(basis: Array, vector: Array) -> tuple[Array, Array]:
        rest = orthogonal_to(basis, vector)
        length = jnp.linalg.norm(rest)
        return rest / jnp.maximum(length, jnp.finfo(rest.dtype).tiny), length

    def step(j: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
        basis, images = carry
        wanted = jnp.where(j < band, start[jnp.minimum(j, band - 1)], images[jnp.maximum(j - band, 0)])
        wanted = wanted / power_of_two(wanted)
        rest, length = beyond(basis, wanted)
        none = length <= tolerance * jnp.linalg.norm(wanted)
        rest = jnp.where(none, beyond(basis, jnp.roll(another, j))[0], rest)
        for _ in range(2):  # what the first pass leaves of little is rounding, most of it along old rows
            rest, _ = beyond(basis, rest)
        return basis.at[j].set(rest), images.at[j].set(product(rest))

    nothing = jnp.zeros((products, start.shape[1]), start.dtype)
    basis, images = lax.fori_loop(0, products, step, (nothing, nothing))
    unit = power_of_two(images)
    small = basis @ (images / unit).T
    values, columns = symmetric_eigh((small + small.T) / 2)
    values, rows = unit * values[::-1][:band], columns[:, ::-1][:, :band].T
    vectors = rows @ basis
    return values, vectors, norm(rows @ images - values[:, None] * vectors, axis=1)
