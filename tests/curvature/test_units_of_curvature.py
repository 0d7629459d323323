"""Curvature in units that take squares of eigenvalues out of float32, and the standard error of a cosine."""

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import sde_sgd as ss
from sde_sgd import curvature
from sde_sgd.curvature import _covariance, _lanczos

KEY = jax.random.key(3)
SPECTRUM = np.array([0.5, *range(1, 13)])


def problem_in(unit):
    """A Hessian that is not diagonal, with C in the same unit."""
    rng = np.random.default_rng(0)
    turn = stats.ortho_group(len(SPECTRUM), seed=rng).rvs()
    hessian = unit * (turn * SPECTRUM) @ turn.T
    noise = unit * (turn * (1 + SPECTRUM**2)) @ turn.T
    return ss.problems.Quadratic(hessian, noise=ss.problems.Full(noise))


@helpers.quick_jit
def everything(problem):
    """All estimates, the size of a Lanczos space being 8 of 13 or all of them."""
    theta = jnp.zeros(len(SPECTRUM))
    top = curvature.top_eigenpairs
    options = {"key": KEY, "samples": 40}
    return (
        {
            "all": top(problem, theta, 13, key=KEY, products=13)[::2],
            "few": top(problem, theta, 3, key=KEY, products=8)[::2],
            "smallest": top(problem, theta, 1, key=KEY, products=13, which="smallest")[::2],
            "trace": curvature.trace(problem, theta, **options),
            "norm": curvature.frobenius_norm(problem, theta, **options),
            "hutch++": curvature.frobenius_norm(problem, theta, method="hutch++", **options),
            "blocks": [
                (b.eigenvalues, b.trace) for b in curvature.layer_blocks(problem, theta, **options).values()
            ],
            "covariance": curvature.covariance_spectrum(problem, theta, 3, key=KEY, products=13)[::2],
        },
        curvature.alignment(problem, theta, 2, **options),
        curvature.spectral_density(problem, theta, key=KEY),
    )


@pytest.mark.parametrize("unit", [1e25, 1e-25])
@pytest.mark.script
def test_estimates_are_the_same_in_any_unit(unit):
    """Relative to an eigenvalue, 10 roundings of float32 at most (a standard error may be all rounding)."""
    (plain, ratios, _), (scaled, others, density) = everything(problem_in(1.0)), everything(problem_in(unit))
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(scaled), strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_allclose(np.asarray(other, np.float64) / unit, one, rtol=2e-4, atol=2e-4)
    for field in ("variances", "eigenvalues", "residuals"):
        found = np.asarray(getattr(others, field), np.float64) / unit
        np.testing.assert_allclose(found, getattr(ratios, field), rtol=1e-3, atol=1e-3)
    for field in ("ratios", "generalised"):
        np.testing.assert_allclose(getattr(others, field), getattr(ratios, field), rtol=1e-3)
    np.testing.assert_allclose(others.cosine.value, ratios.cosine.value, rtol=1e-5)
    np.testing.assert_allclose(others.cosine.standard_error, ratios.cosine.standard_error, rtol=1e-2)
    integral = np.trapezoid(np.asarray(density.density, np.float64), np.asarray(density.grid, np.float64))
    np.testing.assert_allclose(integral, 1, atol=1e-5)
    assert np.isfinite(density.standard_error).all()


@pytest.mark.script
@pytest.mark.parametrize("unit", [1.0, 1e20, 1e-20])
def test_a_residual_is_never_below_the_error(unit):
    """Few products or all of them: an eigenvalue lies within the residual, rounding included."""
    found = everything(problem_in(unit))[0]
    for name in ("all", "few", "smallest"):
        values, residuals = (np.asarray(part, np.float64) / unit for part in found[name])
        nearest = np.abs(values[:, None] - SPECTRUM).min(axis=1)
        assert (nearest <= residuals).all(), name
    assert (np.asarray(found["few"][1], np.float64) > 1e-3 * unit).any()


@pytest.mark.script
def test_the_zero_matrix():
    """Eigenvalues 0, and right; a density of 1 at 0."""
    found, _, density = everything(problem_in(0.0))
    for name in ("all", "few", "smallest", "covariance"):
        np.testing.assert_array_equal(np.concatenate(found[name]), 0)
    for name in ("trace", "norm", "hutch++"):
        assert float(found[name].value) == float(found[name].standard_error) == 0
    np.testing.assert_allclose(np.trapezoid(density.density, density.grid), 1, atol=1e-5)
    assert abs(float(density.grid[np.argmax(density.density)])) < 1e-6 * float(density.width)
    assert float(density.width) > 0


def test_products_that_are_not_finite_are_not_taken_for_an_end_of_the_space():
    """An overflow inside of the product gives NaN with residuals NaN, not 0."""

    def product(vector):
        return 1e30 * (1e30 * vector)

    found = _lanczos.lanczos(product, jnp.ones(4), 3, jax.random.normal(KEY, (4,)))
    values, columns = found.eigh()
    assert np.isnan(values).all()
    assert np.isnan(found.residuals(columns)).all()


@pytest.mark.parametrize("slope", [1e-15, 1e15])
def test_covariance_of_few_examples_in_any_unit(slope):
    """Gradients of 1e±15, so C of 1e±30: exact values, residuals above the rounding and not infinite."""
    examples = np.random.default_rng(1).normal(size=(6, 8))

    def loss(theta, inputs, target):
        return slope * jnp.sum(inputs * theta) + 0 * target

    data = ss.data.Dataset(examples, np.zeros(6))
    problem = ss.problems.from_loss(loss, data, init=lambda key: jnp.zeros(8))
    found = curvature.covariance_spectrum(problem, jnp.zeros(8), 5, key=KEY, method="gram")
    wanted = np.linalg.eigvalsh(np.cov(examples.T, bias=True))[::-1][:5]
    values, residuals = (np.asarray(part, np.float64) / slope**2 for part in (found.values, found.residuals))
    np.testing.assert_allclose(values, wanted, rtol=1e-5)
    assert (np.abs(values - wanted) <= residuals).all()
    assert (residuals < 1e-4).all()


def test_small_weights_have_their_length_in_a_random_direction():
    problem = ss.problems.mlp(ss.data.Dataset(np.ones((4, 3)), np.arange(4) % 2, classes=2), hidden=(2,))
    theta = jax.tree.map(lambda leaf: jnp.full_like(leaf, 1e-25), problem.init(KEY))
    drawn = curvature.random_direction(problem, theta, key=KEY, normalise="layer")
    for at, along in zip(jax.tree.leaves(theta), jax.tree.leaves(drawn), strict=True):
        if at.ndim > 1:
            lengths = [np.linalg.norm(np.asarray(part, np.float64)) for part in (at, along)]
            np.testing.assert_allclose(*lengths, rtol=1e-5)


@pytest.mark.parametrize("spread", [(0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.5), (0.5, 0.6, 0.4)])
def test_the_standard_error_of_a_cosine_is_its_spread(spread):
    """Means x̄/√(ȳz̄) of 60 triples, 4000 times: the standard deviation known to 1.1 %, the mean of the
    stated errors to less. 6 % are allowed, 5 standard errors. Each of the three for itself, and together
    with correlations of .7: a factor 2 in one of the influences is seen."""
    rng = np.random.default_rng(5)
    common = rng.normal(size=(4000, 60, 1))
    forms = np.array([2.0, 4.0, 3.0]) + np.array(spread) * (common + rng.normal(size=(4000, 60, 3)))
    found = jax.jit(jax.vmap(_covariance._cosine))(jnp.asarray(forms, jnp.float32))
    measured = np.std(np.asarray(found.value, np.float64), ddof=1)
    np.testing.assert_allclose(np.mean(np.asarray(found.standard_error, np.float64)), measured, rtol=0.06)
