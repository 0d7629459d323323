"""The basis of Lanczos: orthonormal to its end, without ghosts, and a fault that must be seen."""

import helpers
import jax
import jax.numpy as jnp
import numpy as np

import sde_sgd as ss
from sde_sgd import curvature
from sde_sgd.curvature import _lanczos

KEY = jax.random.key(7)


def test_a_matrix_of_one_eigenvalue_exhausts_the_krylov_space_at_once():
    """C = σ²I: the second direction would be 0/0."""
    problem = ss.problems.TiltedNoiseData(
        ss.problems.Quadratic(np.diag([3.0, 3.0, 3.0, 1.0])), dataset_size=8, noise_variance=0.5, key=KEY
    )

    @helpers.quick_jit
    def both(theta):
        covariance = curvature.top_eigenpairs(problem, theta, 4, key=KEY, matrix="covariance")
        return covariance.values, curvature.top_eigenpairs(problem, theta, 4, key=KEY).values

    covariance, hessian = both(jnp.ones(4))
    np.testing.assert_allclose(covariance, 0.5, rtol=1e-5)
    np.testing.assert_allclose(hessian, [3, 3, 3, 1], rtol=1e-5)


def loss_of_orthogonality():
    """The largest |q_i·q_j| and ||q_i| − 1| of 200 full bases of a matrix with a degenerate eigenvalue."""
    spectrum = jnp.concatenate([jnp.full(30, 0.02), jnp.linspace(-1, 2, 32)])

    def one(key):
        start, another = jax.random.normal(key, (2, *spectrum.shape))
        basis = _lanczos.lanczos(lambda v: spectrum * v, start, 62, another).basis
        return jnp.max(jnp.abs(basis @ basis.T - jnp.eye(62)))

    return jax.jit(jax.vmap(one))(jax.random.split(KEY, 200)).max()


def test_the_basis_stays_orthonormal_where_the_krylov_space_ends():
    assert loss_of_orthogonality() < 1e-5


def ghosts():
    """Ritz values at a lone eigenvalue of 100, among 200 in [0, 1]."""
    spectrum = jnp.concatenate([jnp.linspace(0, 1, 200), jnp.array([100.0])])
    start, another = jax.random.normal(KEY, (2, *spectrum.shape))
    values = jax.jit(lambda at: _lanczos.lanczos(lambda v: spectrum * v, at, 60, another).eigh()[0])(start)
    return int((np.abs(np.asarray(values) - 100) < 1e-2).sum())


def test_no_ghosts():
    assert ghosts() == 1


def test_fault_no_reorthogonalisation(monkeypatch):
    def two_terms(basis, vector):
        used = jnp.sum(jnp.any(basis != 0, axis=1))
        last = basis * (jnp.arange(len(basis)) >= used - 2)[:, None].astype(basis.dtype)
        return vector - last.T @ (last @ vector)

    monkeypatch.setattr(_lanczos, "orthogonal_to", two_terms)
    assert ghosts() > 1
