"""Curvature of matrices so small that every number is known beforehand."""

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import sde_sgd as ss
from sde_sgd import curvature
from sde_sgd.curvature import _blocks, _covariance, _eigenpairs, _estimates, _lanczos, _operators, _quadrature

KEY = jax.random.key(3)
DIAGONAL = np.array([1.0, 2.0, 4.0])
# signs z give zᵀ f(A) z = Tr f(A) where A is diagonal: estimates are exact whatever is drawn
BOWL = ss.problems.Quadratic(np.diag(DIAGONAL), noise=ss.problems.Full(np.diag([2.0, 3.0, 1.0])))
TILTED = ss.problems.Quadratic(np.array([[2.0, 1.0, 0.5], [1.0, 3.0, -1.0], [0.5, -1.0, 4.0]]))
ZERO = jnp.zeros(3)
DATA = helpers.regression_data(size=6, features=3)
RISK = ss.problems.linear_regression(DATA, l2=0.3)
W = RISK.init(jax.random.key(5))
X, Y = np.asarray(DATA.inputs, np.float64), np.asarray(DATA.targets, np.float64)


def slopes_of_examples():
    """∇ℓ_n of the regression, without its l2 term: rows."""
    w = np.ravel(jax.tree.leaves(W)[0]).astype(np.float64)
    return X * (X @ w - Y)[:, None]


def covariance_of_examples():
    rows = slopes_of_examples()
    rows = rows - rows.mean(axis=0)
    return rows.T @ rows / len(rows)


def test_foremost_of_a_diagonal_matrix():
    """−5 is foremost in magnitude; only the second direction meets the remainder of length .7."""
    entries = jnp.array([-5.0, 3.0]) / 4, jnp.array([0.0, 0.7]) / 4
    found = _lanczos.Tridiagonal(*entries, jnp.eye(2, 4), jnp.asarray(4.0))
    for which, values, residuals, places in (
        ("largest", [3, -5], [0.7, 0], [1, 0]),
        ("smallest", [-5, 3], [0, 0.7], [0, 1]),
        ("magnitude", [-5, 3], [0, 0.7], [0, 1]),
    ):
        ritz, vectors, off = _eigenpairs.foremost(found, 2, which)
        np.testing.assert_allclose(ritz, values, rtol=1e-6)
        np.testing.assert_allclose(off, residuals, atol=1e-5)
        np.testing.assert_allclose(np.abs(vectors), np.eye(4)[places], atol=1e-6)


def test_a_krylov_space_that_ends_has_no_remainder():
    start, another = jnp.array([1.0, 2.0, 3.0]), jax.random.normal(KEY, (3,))
    found = _lanczos.lanczos(lambda vector: 2 * vector, start, 3, another)
    np.testing.assert_allclose(found.unit * found.diagonal, 2, rtol=1e-6)
    np.testing.assert_array_equal(found.off_diagonal, 0)
    np.testing.assert_allclose(found.basis @ found.basis.T, np.eye(3), atol=1e-6)


def test_the_whole_spectrum_by_three_products():
    pairs = curvature.top_eigenpairs(TILTED, ZERO, 3, key=KEY, products=3)
    np.testing.assert_allclose(pairs.values, np.linalg.eigvalsh(TILTED.matrix)[::-1], rtol=1e-5)


def test_the_error_of_a_mean_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(size=(25, 2))
    found = _estimates.mean_of(jnp.asarray(values, float))
    np.testing.assert_allclose(found.standard_error, values.std(axis=0, ddof=1) / 5, rtol=1e-5)


def test_a_norm_is_the_root_of_a_square_and_so_is_its_error():
    norm = curvature.frobenius_norm(TILTED, ZERO, key=KEY, samples=50)
    draw, _ = jax.random.split(KEY)
    made = _operators.operator(TILTED, ZERO, "hessian")
    square = _estimates.trace_of(made, draw, 50, "hutchinson", _estimates.length)
    np.testing.assert_allclose(norm.value**2, square.value, rtol=1e-5)
    np.testing.assert_allclose(norm.standard_error, square.standard_error / (2 * norm.value), rtol=1e-4)
    assert norm.standard_error > 0


def test_what_the_sketch_has_seen_is_not_counted_again():
    """With as many directions in the sketch as parameters nothing is left to estimate."""
    found = curvature.trace(TILTED, ZERO, key=KEY, samples=12, method="hutch++")
    np.testing.assert_allclose(found.value, np.trace(TILTED.matrix), rtol=1e-5)
    assert found.standard_error < 1e-5


def test_a_determinant_with_its_shift():
    found = curvature.log_determinant(BOWL, ZERO, key=KEY, shift=0.5, samples=2)
    np.testing.assert_allclose(found.value, np.log(1.5 * 2.5 * 4.5), rtol=1e-5)


@pytest.mark.script
def test_a_density_is_the_sum_of_its_kernels():
    grid = np.linspace(0, 5, 11)
    found = curvature.spectral_density(BOWL, ZERO, key=KEY, samples=2, grid=grid, width=0.4)
    exact = stats.norm.pdf(grid[:, None], DIAGONAL, 0.4).mean(axis=1)
    np.testing.assert_allclose(found.density, exact, rtol=1e-3, atol=1e-6)
    made = _operators.operator(TILTED, ZERO, "hessian")
    nodes, weights = _quadrature.quadrature(made, KEY, 4, 3)
    draws = jax.random.split(KEY, 4)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    # of T they know the diagonal's first entry: zᵀAz/d
    z = np.asarray([np.sign(np.asarray(_estimates.signs(jax.random.split(k)[0], ZERO))) for k in draws])
    np.testing.assert_allclose(
        (weights * nodes).sum(axis=1), ((z @ TILTED.matrix) * z).sum(axis=1) / 3, rtol=1e-4
    )


def test_alignment_of_two_diagonal_matrices():
    found = curvature.alignment(BOWL, ZERO, 3, key=KEY, samples=2)
    np.testing.assert_allclose(
        found.cosine.value, (2 + 6 + 4) / np.sqrt((1 + 4 + 16) * (4 + 9 + 1)), rtol=1e-5
    )
    np.testing.assert_allclose(found.eigenvalues, [4, 2, 1], rtol=1e-5)
    np.testing.assert_allclose(found.variances, [1, 3, 2], rtol=1e-5)
    np.testing.assert_allclose(found.ratios, [0.25, 1.5, 2], rtol=1e-5)
    np.testing.assert_allclose(found.generalised, [2, 1.5, 0.25], rtol=1e-5)


def test_the_error_of_a_cosine_is_its_spread():
    """Over 2000 estimates of 100 forms; the spread of them is known to 1.6 %, five of which are 8 %.

    x̄/√(ȳz̄) of independent x, y and z varies by √(s_x² + (s_y² + s_z²)/4) of itself.
    """
    spread = np.array([0.05, 0.2, 0.3])
    forms = 1 + spread * np.random.default_rng(0).standard_normal((2000, 100, 3))
    found = jax.vmap(_covariance._cosine)(jnp.asarray(forms, float))
    actual = np.asarray(found.value).std()
    assert abs(float(found.standard_error.mean()) / actual - 1) < 0.08
    exact = np.sqrt(spread[0] ** 2 + (spread[1] ** 2 + spread[2] ** 2) / 4) / 10
    assert abs(actual / exact - 1) < 0.08


def test_the_covariance_of_examples_is_centred_and_divided_by_their_number():
    exact = covariance_of_examples()
    vector = jax.tree.map(jnp.ones_like, W)
    found = curvature.covariance_product(RISK, W, vector)
    np.testing.assert_allclose(helpers.ravel(found), exact.sum(axis=1), rtol=1e-4)
    pairs = curvature.covariance_spectrum(RISK, W, 3, key=KEY, method="gram")
    np.testing.assert_allclose(pairs.values, np.linalg.eigvalsh(exact)[::-1], rtol=1e-4)


def test_the_gauss_newton_matrix_holds_the_l2_term():
    vector = jax.tree.map(jnp.ones_like, W)
    exact = (X.T @ X / 6 + 0.3 * np.eye(3)).sum(axis=1)
    for product in (curvature.hvp, curvature.gauss_newton_product):
        np.testing.assert_allclose(helpers.ravel(product(RISK, W, vector)), exact, rtol=1e-4)


def test_a_line_begins_at_one_end_and_ends_at_the_other():
    a, b = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 2.0, 1.0])
    line = curvature.interpolation(BOWL, a, b, alphas=[0.0, 0.5, 1.0])
    middle = 0.5 * (1 * 0.25 + 2 * 1 + 4 * 0.25)
    np.testing.assert_allclose(line.values, [0.5, middle, 0.5 * (2 * 4 + 4 * 1)], rtol=1e-5)


def test_the_directions_of_a_plane_are_two():
    """Of the length of θ, and no nearer to each other than chance makes two of forty entries."""
    risk = ss.problems.softmax_regression(helpers.class_data(features=10, classes=4))
    theta = risk.init(KEY)
    plane = curvature.plane(risk, theta, key=KEY, points=2)
    first, second = (helpers.ravel(direction)[-40:] for direction in plane.directions)
    assert abs(first @ second) < 0.7 * np.linalg.norm(first) * np.linalg.norm(second)
    # each filter, the weights into one of the four units, has its own length
    for direction in plane.directions:
        lengths = [np.linalg.norm(tree[0]["weight"], axis=0) for tree in (direction, theta)]
        np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-4)


def test_layers_and_arrays_have_their_own_blocks():
    theta = ss.problems.linear_regression(DATA, bias=True).init(KEY)
    assert _blocks._groups(theta, "layer") == {"0": [0, 1]}
    assert _blocks._groups(theta, "leaf") == {"0/bias": [0], "0/weight": [1]}


def test_a_subset_that_is_recorded_is_the_one_drawn():
    sharp = curvature.Sharpness(RISK, subset=2, key=KEY)
    assert sharp.examples.shape == (2,)
    chosen = X[np.asarray(sharp.examples)]
    exact = np.linalg.eigvalsh(chosen.T @ chosen / 2 + 0.3 * np.eye(3))[-1]
    np.testing.assert_allclose(sharp(W), exact, rtol=1e-4)


@pytest.mark.parametrize("indices", [[0, 6], [-1, 2]])
def test_examples_that_are_not_there_are_refused(indices):
    with helpers.refused(match="subset must hold indices from 0 to 5"):
        curvature.covariance_product(RISK, W, jax.tree.map(jnp.ones_like, W), subset=indices)


def saddle_loss(theta, x, y):
    del y
    return (theta[0] ** 2 - 3.0 * theta[1] ** 2) / 2 * x[0]


SADDLE = ss.problems.from_loss(
    saddle_loss, ss.data.Dataset(np.ones((4, 1)), np.ones(4)), init=lambda _: jnp.ones(2)
)


@pytest.mark.script
def test_the_spectral_norm_is_of_the_largest_magnitude():
    """Of a saddle it is that of the way down."""
    assert float(curvature.spectral_norm(BOWL, jnp.ones(3), key=KEY)) == pytest.approx(4.0, rel=1e-5)
    assert float(curvature.spectral_norm(SADDLE, jnp.ones(2), key=KEY)) == pytest.approx(3.0, rel=1e-5)


@pytest.mark.script
def test_the_condition_number_is_that_of_the_sharpest_directions():
    found = [float(curvature.condition_number(BOWL, jnp.ones(3), k, products=3, key=KEY)) for k in (2, 3)]
    assert found == pytest.approx([2.0, 4.0], rel=1e-5)
    dense = ss.problems.Quadratic(np.diag(np.linspace(0.5, 1, 60)))
    close = float(curvature.condition_number(dense, jnp.ones(60), 5, key=KEY))
    np.testing.assert_allclose(close, 1 / np.linspace(1, 0.5, 60)[4], rtol=0.01)
    assert np.isnan(float(curvature.condition_number(SADDLE, jnp.ones(2), 2, products=2, key=KEY)))
    with helpers.refused(match="k must be an integer >= 2, got 1"):
        curvature.condition_number(BOWL, jnp.ones(3), 1, key=KEY)


@pytest.mark.script
def test_norm_and_condition_in_a_run():
    """Both differ from chain to chain by nothing on a quadratic, and follow the samples asked for."""
    record = {
        "norm": curvature.Observable(curvature.spectral_norm, BOWL, key=KEY),
        "condition": curvature.Observable(curvature.condition_number, BOWL, key=KEY, k=3),
    }
    process = ss.SGD(BOWL, ss.Hyperparameters(0.1, 2))
    found = ss.run(process, chains=2, steps=8, every=[1, 2, 5], key=KEY, record=record)
    for values in found.record.values():
        np.testing.assert_allclose(values, np.full((5, 2), 4.0), rtol=1e-5)
