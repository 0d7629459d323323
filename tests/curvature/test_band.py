"""Lanczos' method with a band of directions, against NumPy's eigenvalues."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_sgd.curvature._band import band_lanczos
from sde_sgd.curvature._lanczos import lanczos

SIZE = 30
TURN = np.linalg.qr(np.random.default_rng(2).normal(size=(SIZE, SIZE)))[0]
# the three largest are one eigenvalue
VALUES = np.concatenate([[4.0, 4.0, 4.0], np.linspace(2.0, -1.0, SIZE - 3)])
MATRIX = TURN @ np.diag(VALUES) @ TURN.T
ANOTHER = np.random.default_rng(3).normal(size=SIZE)


def found(start, products, scale=1.0):
    matrix = jnp.asarray(scale * MATRIX, jnp.float32)
    rows = jnp.asarray(start, jnp.float32)
    another = jnp.asarray(ANOTHER, jnp.float32)
    function = jax.jit(lambda rows: band_lanczos(lambda v: matrix @ v, rows, products, another))
    return [np.asarray(part, np.float64) for part in function(rows)]


@pytest.mark.parametrize("scale", [1.0, 1e25, 1e-25])
def test_with_all_products_eigenpairs_are_exact_in_any_units(scale):
    """Also where there is nothing to begin with."""
    values, vectors, residuals = found(np.zeros((4, SIZE)), SIZE, scale)
    np.testing.assert_allclose(values / scale, VALUES[:4], rtol=1e-5)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(4), atol=1e-5)
    assert residuals.max() < 1e-5 * scale
    outside = vectors[:3] - vectors[:3] @ TURN[:, :3] @ TURN[:, :3].T
    assert np.linalg.norm(outside) < 1e-5


def test_all_of_several_equal_eigenvalues_are_found_near_their_directions():
    """Lanczos' method from one vector sees one of the three, whatever it begins with."""
    near = TURN[:, :4].T + 0.02 * np.random.default_rng(4).normal(size=(4, SIZE))
    values, _, residuals = found(near, 16)
    np.testing.assert_allclose(values[:3], 4.0, rtol=1e-5)
    # a residual bounds the distance to an eigenvalue
    assert np.all(np.min(np.abs(values[:, None] - VALUES), axis=1) <= residuals + 1e-5)
    one = lanczos(
        lambda v: jnp.asarray(MATRIX, jnp.float32) @ v,
        jnp.asarray(near.sum(axis=0), jnp.float32),
        8,  # with twice as many rounding brings the others in
        jnp.asarray(ANOTHER, jnp.float32),
    )
    assert np.sort(np.asarray(one.eigh()[0]))[-2] < 3


def test_exact_directions_stay_what_they_are():
    """No direction is left to go on with but a random one."""
    values, vectors, residuals = found(TURN[:, :4].T, 6)
    np.testing.assert_allclose(values, VALUES[:4], rtol=1e-5)
    outside = vectors - vectors @ TURN[:, :4] @ TURN[:, :4].T
    assert np.linalg.norm(outside) < 1e-4
    assert residuals.max() < 1e-4


def test_what_is_not_finite_gives_nan():
    values, vectors, _ = jax.jit(
        lambda rows: band_lanczos(lambda v: v * jnp.inf, rows, 6, jnp.asarray(ANOTHER, jnp.float32))
    )(jnp.ones((2, SIZE), jnp.float32))
    assert np.all(np.isnan(values)) and np.all(np.isnan(vectors))
