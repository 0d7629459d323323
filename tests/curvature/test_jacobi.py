"""Small symmetric eigenproblems without LAPACK, against LAPACK's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import float64

from sde_sgd.curvature._jacobi import _tournament, symmetric_eigh


def matrices(size, seed):
    rng = np.random.default_rng(seed)
    full = rng.normal(size=(size, size))
    below = np.diag(rng.normal(size=size)) + np.diag(rng.exponential(size=size - 1), 1)
    low = rng.normal(size=(size, 2)) @ rng.normal(size=(2, size))
    orders = np.diag(10.0 ** -np.arange(size))
    return np.stack([full + full.T, below + np.triu(below, 1).T, low + low.T, orders, np.eye(size), 0 * full])


@pytest.mark.parametrize("size", [1, 2, 5, 16, 41])
def test_it_agrees_with_lapack(size):
    given = matrices(size, size)
    values, vectors = jax.jit(jax.vmap(symmetric_eigh))(jnp.asarray(given, jnp.float32))
    expected = np.linalg.eigvalsh(given)
    scale = np.abs(expected).max(axis=1, keepdims=True) + 1e-30
    # backward stable: some roundings of 6e-8 for each of the rotations
    assert np.max(np.abs(values - expected) / scale) < 20 * 2**-24 * max(size, 4)
    again = np.einsum("bij,bj,bkj->bik", *(np.asarray(x, np.float64) for x in (vectors, values, vectors)))
    assert np.max(np.abs(again - given) / scale[..., None]) < 40 * 2**-24 * max(size, 4)
    identity = np.einsum("bij,bik->bjk", *(np.asarray(vectors, np.float64),) * 2)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(size), identity.shape), atol=2e-5)


def test_in_double_precision():
    given = matrices(12, 0)
    with float64():
        values, _ = jax.jit(jax.vmap(symmetric_eigh))(jnp.asarray(given))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(given), atol=1e-13)


@pytest.mark.parametrize("size", [2, 6, 10])
def test_every_pair_meets_once(size):
    met = {frozenset(pair) for partner in _tournament(size) for pair in enumerate(partner.tolist())}
    assert len(met) == size * (size - 1) // 2
    assert all(len(pair) == 2 for pair in met)


def test_no_program_of_curvature_calls_lapack():
    """What calls it may wait for ever, on as many devices as cores."""
    import sde_sgd as ss

    well = ss.problems.StyblinskiTang(3)
    observe = jax.jit(jax.vmap(ss.curvature.Sharpness(well)))
    text = observe.lower(jnp.zeros((4, 3))).as_text()
    assert "lapack" not in text
    assert "lapack" in jax.jit(jnp.linalg.eigh).lower(jnp.eye(3)).as_text()
