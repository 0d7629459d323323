"""Curvature of a small network against its exact Hessian, and faults that must be seen."""

import equinox as eqx
import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg, stats

import sde_sgd as ss
from sde_sgd import curvature
from sde_sgd.curvature import _estimates
from sde_sgd.data._dataset import Dataset
from sde_sgd.problems import NotKnownError

KEY = jax.random.key(7)
SAMPLES = 400
DATA = helpers.class_data(size=60, features=6, classes=3)
NET = ss.problems.mlp(DATA, hidden=(12,), l2=0.02)
THETA = NET.init(jax.random.key(1))
WELL = ss.problems.Quadratic(np.diag([100.0, 1.0]), noise=ss.problems.Full(np.diag([100.0, 10.0])))


@pytest.fixture(scope="module")
def exact():
    """The matrices of `NET` at `THETA` in double precision, raveled as the parameters are."""
    with helpers.float64():
        net = ss.problems.mlp(helpers.class_data(size=60, features=6, classes=3), hidden=(12,), l2=0.02)
        theta = jax.tree.map(lambda leaf: leaf.astype(float), THETA)
        flat, unravel = jax.flatten_util.ravel_pytree(theta)

        @helpers.quick_jit
        def facts(at):
            outputs = net.predict(unravel(at), net.inputs)
            inner = jax.vmap(jax.hessian(lambda f, y: net.losses(f[None], y[None])[0]))(outputs, net.targets)
            slopes = jax.jacfwd(lambda w: net.predict(unravel(w), net.inputs))(at)
            rows = jax.jacfwd(lambda w: net.example_losses(unravel(w)))(at)
            return jax.hessian(lambda w: net.loss(unravel(w)))(at), slopes, inner, rows

        hessian, slopes, inner, rows = (np.asarray(value) for value in facts(flat))
    gauss_newton = np.einsum("nad,nab,nbe->de", slopes, inner, slopes) / 60 + 0.02 * np.eye(flat.size)
    centred = rows - rows.mean(axis=0)
    return {
        "hessian": hessian,
        "gauss_newton": gauss_newton,
        "covariance": centred.T @ centred / 60,
        "uncentred": rows.T @ rows / 60,
    }


@helpers.quick_jit
def everything(net, theta, vector, chosen):
    """One program for most of what is looked at below: compiling is nearly all the time it takes."""
    samples, products = {"key": KEY, "samples": SAMPLES}, {"key": KEY, "products": 45}
    grid = jnp.linspace(-1.6, 2.3, 41)
    top = curvature.top_eigenpairs
    blocks = curvature.layer_blocks(net, theta, products=40, **samples)
    return {
        "hvp": curvature.hvp(net, theta, vector),
        "gauss_newton": curvature.gauss_newton_product(net, theta, vector),
        "covariance": curvature.covariance_product(net, theta, vector),
        "of a subset": [
            product(net, theta, vector, subset=chosen)
            for product in (curvature.hvp, curvature.gauss_newton_product, curvature.covariance_product)
        ],
        "hessian largest": top(net, theta, 5, **products),
        "hessian smallest": top(net, theta, 5, which="smallest", **products),
        "gauss_newton magnitude": top(net, theta, 5, which="magnitude", matrix="gauss_newton", **products),
        "covariance largest": top(net, theta, 5, matrix="covariance", **products),
        "few": top(net, theta, 5, key=KEY, products=8),
        "all": top(net, theta, 123, key=KEY, products=123),
        "trace": curvature.trace(net, theta, **samples),
        "norm": curvature.frobenius_norm(net, theta, **samples),
        "hutch++": curvature.trace(net, theta, key=KEY, samples=90, method="hutch++"),
        "log": curvature.log_determinant(
            net, theta, key=KEY, samples=100, products=30, matrix="gauss_newton"
        ),
        "density": curvature.spectral_density(
            net, theta, key=KEY, samples=100, products=60, grid=grid, width=0.05
        ),
        "own grid": curvature.spectral_density(net, theta, key=KEY, samples=4, products=30),
        "blocks": [(block.eigenvalues, block.trace) for block in blocks.values()],
        "gram": curvature.covariance_spectrum(net, theta, 10, key=KEY),
        "alignment": curvature.alignment(net, theta, 4, **samples, products=40),
    }


CHOSEN = np.array([3, 1, 4, 15, 9, 26, 5])
VECTOR = NET.init(jax.random.key(2))


@pytest.fixture(scope="module")
def found():
    return everything(NET, THETA, VECTOR, jnp.asarray(CHOSEN))


def limit(count, samples=SAMPLES):
    """Standard errors that a mean of quadratic forms exceeds with odds 1e-6, `count` of them at once.

    No quadratic form in signs is more skewed than a rank-one one, which is at most χ²₁; for a mean of
    n of those the quantile is exact.
    """
    far = stats.gamma.isf(helpers.ALARM / (2 * count), samples / 2, scale=2 / samples)
    return (far - 1) / np.sqrt(2 / samples)


def error_of(matrix, samples=SAMPLES):
    """The exact standard error of the mean of zᵀAz over random signs."""
    return np.sqrt(2 * ((matrix**2).sum() - (np.diagonal(matrix) ** 2).sum()) / samples)


def assert_estimate(estimate, matrix, value=None, scale=1.0, samples=SAMPLES):
    """The value within its exact standard error, and the error it reports right.

    The spread of n numbers of excess kurtosis at most 12 (that of χ²₁) is known to √(14/4n).
    """
    error = scale * error_of(matrix, samples)
    deviation = (float(estimate.value) - (np.trace(matrix) if value is None else value)) / error
    assert abs(deviation) < limit(1, samples)
    assert abs(float(estimate.standard_error) / error - 1) < helpers.bound() * np.sqrt(14 / (4 * samples))


# Products


@helpers.quick_jit
def products(net, theta, vector):
    three = (curvature.hvp, curvature.gauss_newton_product, curvature.covariance_product)
    return [product(net, theta, vector) for product in three]


@pytest.mark.script
def test_products_are_those_of_the_exact_matrices(exact, found):
    flat = helpers.ravel(VECTOR)
    blocked = ss.problems.EmpiricalRisk(NET.predict, DATA, init=NET.initial, l2=0.02, block=7)
    whole = [found[name] for name in ("hvp", "gauss_newton", "covariance")]
    for some in (whole, products(blocked, THETA, VECTOR)):
        for name, product in zip(("hessian", "gauss_newton", "covariance"), some, strict=True):
            wanted = exact[name] @ flat
            np.testing.assert_allclose(helpers.ravel(product), wanted, atol=1e-5 * np.abs(wanted).max())


def test_gauss_newton_is_the_hessian_where_the_model_is_linear():
    problem = ss.problems.linear_regression(helpers.regression_data(), l2=0.1)
    theta, vector = problem.init(jax.random.key(0)), problem.init(jax.random.key(1))
    hessian = helpers.ravel(curvature.hvp(problem, theta, vector))
    np.testing.assert_allclose(
        helpers.ravel(curvature.gauss_newton_product(problem, theta, vector)), hessian, rtol=1e-5
    )


@pytest.mark.script
def test_a_subset_is_the_problem_of_these_examples(found):
    few = ss.problems.mlp(
        Dataset(DATA.inputs[CHOSEN], DATA.targets[CHOSEN], classes=3), hidden=(12,), l2=0.02
    )
    for one, other in zip(found["of a subset"], products(few, THETA, VECTOR), strict=True):
        np.testing.assert_allclose(helpers.ravel(one), helpers.ravel(other), atol=2e-6)


# Eigenvalues


@pytest.mark.script
@pytest.mark.parametrize(
    ("matrix", "which"),
    [
        ("hessian", "largest"),
        ("hessian", "smallest"),
        ("gauss_newton", "magnitude"),
        ("covariance", "largest"),
    ],
)
def test_eigenpairs(exact, found, matrix, which):
    values, vectors = np.linalg.eigh(exact[matrix])
    order = {"largest": -values, "smallest": values, "magnitude": -abs(values)}[which].argsort()[:5]
    pairs = found[f"{matrix} {which}"]
    np.testing.assert_allclose(pairs.values, values[order], rtol=1e-4)
    overlaps = helpers.ravel_rows(pairs.vectors) @ vectors[:, order]
    np.testing.assert_allclose(np.abs(np.diagonal(overlaps)), 1, atol=1e-3)


@pytest.mark.script
def test_residuals_bound_the_error_of_few_products(exact, found):
    top, few = helpers.descending(exact["hessian"]), found["few"]
    nearest = np.abs(np.asarray(few.values)[:, None] - top).min(axis=1)
    assert (nearest <= np.asarray(few.residuals) + 1e-5 * top[0]).all()
    assert few.residuals[-1] > 1e-3  # 8 products are too few for five, and it says so
    assert abs(float(few.values[4]) - top[4]) > 1e-3


@pytest.mark.script
def test_as_many_products_as_parameters_give_the_whole_spectrum(exact, found):
    wanted = helpers.descending(exact["hessian"])
    np.testing.assert_allclose(found["all"].values, wanted, atol=1e-5 * wanted[0])
    rows = helpers.ravel_rows(found["all"].vectors)
    np.testing.assert_allclose(rows @ rows.T, np.eye(123), atol=1e-4)


@pytest.mark.script
def test_runs_are_mapped(found):
    def some(theta):
        determinant = curvature.log_determinant(NET, theta, key=KEY, samples=2, products=8)
        pairs = curvature.top_eigenpairs(NET, theta, 5, key=KEY, products=8)
        return pairs.values, curvature.trace(NET, theta, key=KEY, samples=SAMPLES).value, determinant.value

    runs = jax.tree.map(lambda *leaves: jnp.stack(leaves), VECTOR, THETA)
    values, trace, determinant = helpers.quick_jit(jax.vmap(some))(runs)
    np.testing.assert_allclose(values[1], found["few"].values, rtol=1e-4)
    np.testing.assert_allclose(trace[1], found["trace"].value, rtol=1e-4)
    assert np.isnan(determinant).all()  # indefinite: marked, where nothing can be raised


# Estimates


@pytest.mark.script
def test_trace_and_norm(exact, found):
    matrix = exact["hessian"]
    assert_estimate(found["trace"], matrix)
    norm = np.linalg.norm(matrix)
    assert_estimate(found["norm"], matrix @ matrix, value=norm, scale=1 / (2 * norm))
    assert str(found["norm"]).startswith(f"{float(found['norm'].value):.6g} ± ")


@pytest.mark.script
def test_fault_probes_of_another_variance(exact, monkeypatch):
    monkeypatch.setattr(
        _estimates, "signs", lambda key, like: jax.random.uniform(key, like.shape, like.dtype, -1, 1)
    )
    wrong = curvature.trace(NET, THETA, key=KEY, samples=SAMPLES + 1)
    with pytest.raises(AssertionError):
        assert_estimate(wrong, exact["hessian"])


@pytest.mark.script
def test_hutch_plus_plus(exact, found):
    """Unbiased, and closer than Hutchinson's with as many products."""
    estimate = found["hutch++"]
    assert float(estimate.standard_error) < error_of(exact["hessian"], 90)
    far = stats.t.isf(helpers.ALARM / 2, 29)  # its error is from 30 vectors
    assert abs(float(estimate.value) - np.trace(exact["hessian"])) < far * float(estimate.standard_error)


@pytest.mark.script
def test_log_determinant(exact, found):
    assert_estimate(found["log"], linalg.logm(exact["gauss_newton"]).real, samples=100)
    with helpers.refused(match="an eigenvalue is at most -1 "):
        curvature.log_determinant(ss.problems.DoubleWell(), jnp.zeros(()), key=KEY, samples=2)


@pytest.mark.script
def test_spectral_density(exact, found):
    """Against the exact density with the same smoothing, in exact standard errors."""
    values, vectors = np.linalg.eigh(exact["hessian"])
    density, grid, width = np.asarray(found["density"].density), np.asarray(found["density"].grid), 0.05
    assert grid[0] < values[0] and grid[-1] > values[-1]
    kernels = stats.norm.pdf(grid[:, None], values, width)
    errors = np.array([error_of((vectors * kernel) @ vectors.T, 100) for kernel in kernels]) / 123
    # far from every eigenvalue both are zero to rounding
    seen = errors > 1e-5
    assert seen.sum() > 20
    assert np.abs((density - kernels.mean(axis=1))[seen] / errors[seen]).max() < limit(41, 100)
    assert np.abs(density[~seen]).max(initial=0) < 1e-3
    reported = np.asarray(found["density"].standard_error)[seen] / errors[seen] - 1
    assert np.abs(reported).max() < helpers.bound(41) * np.sqrt(14 / (4 * 100))
    # a fault: all eigenvalues off by a twentieth of their range
    shifted = stats.norm.pdf(grid[:, None], values + 0.05 * np.ptp(values), width).mean(axis=1)
    assert np.abs((density - shifted)[seen] / errors[seen]).max() > limit(41, 100)


@pytest.mark.script
def test_the_grid_of_a_density_finds_itself(exact, found):
    own = found["own grid"]
    low, high = np.linalg.eigvalsh(exact["hessian"])[[0, -1]]
    assert own.grid[0] < low and own.grid[-1] > high
    np.testing.assert_allclose(np.trapezoid(own.density, own.grid), 1, atol=1e-3)


@pytest.mark.script
def test_blocks(exact, found):
    hessian = exact["hessian"]
    for (values, trace), here in zip(found["blocks"], (slice(0, 84), slice(84, 123)), strict=True):
        np.testing.assert_allclose(values, helpers.descending(hessian[here, here])[:1], rtol=1e-4)
        assert_estimate(trace, hessian[here, here])
    regression = ss.problems.linear_regression(helpers.regression_data(), bias=True)
    theta = regression.init(KEY)

    @helpers.quick_jit
    def both():
        options = {"key": KEY, "products": 3, "samples": 2}
        return [curvature.layer_blocks(regression, theta, by=by, **options) for by in ("layer", "leaf")]

    for blocks, sizes in zip(both(), ({"0": 4}, {"0/bias": 1, "0/weight": 3}), strict=True):
        assert {name: block.size for name, block in blocks.items()} == sizes


# The gradient covariance


@pytest.mark.script
def test_covariance_spectrum_of_few_examples(exact, found):
    found = found["gram"]
    np.testing.assert_allclose(found.values, helpers.descending(exact["covariance"])[:10], rtol=1e-4)
    rows = helpers.ravel_rows(found.vectors)
    np.testing.assert_allclose(
        rows @ exact["covariance"] @ rows.T, np.diag(found.values), atol=1e-5 * found.values[0]
    )
    # the fault of leaving out the mean: E ggᵀ in place of C
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(found.values, helpers.descending(exact["uncentred"])[:10], rtol=1e-4)


@pytest.mark.script
def test_alignment(exact, found):
    c, h, found = exact["covariance"], exact["hessian"], found["alignment"]
    cosine = np.trace(c @ h) / np.linalg.norm(c) / np.linalg.norm(h)
    assert abs(float(found.cosine.value) - cosine) < limit(1) * float(found.cosine.standard_error)
    assert float(found.cosine.standard_error) < 0.1
    values, vectors = np.linalg.eigh(h)
    values, vectors = values[::-1][:4], vectors[:, ::-1][:, :4]
    within = vectors.T @ c @ vectors
    np.testing.assert_allclose(found.variances, np.diagonal(within), rtol=1e-3)
    np.testing.assert_allclose(found.ratios, np.diagonal(within) / values, rtol=1e-3)
    np.testing.assert_allclose(
        found.generalised, linalg.eigh(within, np.diag(values), eigvals_only=True)[::-1], rtol=1e-3
    )


def test_a_cosine_hides_what_ratios_show():
    """H = diag(100, 1) and C = diag(100, 10): a cosine of .996, temperatures of 1 and 10."""
    found = helpers.quick_jit(curvature.alignment)(WELL, jnp.ones(2), 2, key=KEY, samples=50)
    assert float(found.cosine.value) > 0.99
    np.testing.assert_allclose(found.ratios, [1, 10], rtol=1e-4)
    np.testing.assert_allclose(found.generalised, [10, 1], rtol=1e-4)


# Slices of the loss


@helpers.quick_jit
def slices(net, a, b):
    return (
        curvature.interpolation(net, a, b, [0.0, 0.5, 1.0]),
        curvature.interpolation(net, a, b, [1.0], function=net.test_loss),
        curvature.plane(net, a, key=KEY, points=3),
        net.test_loss(b),
    )


@pytest.fixture(scope="module")
def sliced():
    return slices(NET, THETA, VECTOR)


def losses(*thetas):
    return helpers.losses_at(NET, jax.tree.map(lambda *leaves: np.stack(leaves), *thetas))


def test_interpolation(sliced):
    line, tested, _, wanted = sliced
    half = jax.tree.map(lambda a, b: (a + b) / 2, THETA, VECTOR)
    np.testing.assert_allclose(line.values, losses(THETA, half, VECTOR), rtol=1e-5)
    np.testing.assert_allclose(tested.values, [wanted], rtol=1e-5)


def test_a_plane_has_the_scale_of_the_weights(sliced):
    plane = sliced[2]
    first, second = plane.directions
    corner = jax.tree.map(lambda at, u, w: at - u + w, THETA, first, second)
    np.testing.assert_allclose(
        [plane.values[1, 1], plane.values[0, 2]], losses(THETA, corner, corner)[:2], rtol=1e-4
    )
    for layer, direction in zip(THETA, first, strict=True):
        assert not np.any(direction["bias"])
        lengths = [np.linalg.norm(at["weight"], axis=0) for at in (layer, direction)]
        np.testing.assert_allclose(*lengths, rtol=1e-5)
        # rows are not filters here: a fault that mixes up the axes is seen
        assert not np.allclose(
            *[np.linalg.norm(at["weight"], axis=1) for at in (layer, direction)], rtol=0.01
        )


def test_kernels_of_equinox_have_their_filters_first():
    def make(key):
        layers = [eqx.nn.Conv2d(1, 4, 3, key=key), eqx.nn.Lambda(jnp.ravel), eqx.nn.Linear(144, 2, key=key)]
        return eqx.nn.Sequential(layers)

    problem = ss.problems.from_equinox(make, Dataset(np.ones((4, 1, 8, 8)), np.arange(4) % 2, classes=2))

    @helpers.quick_jit
    def drawn():
        theta = problem.init(KEY)
        kinds = ("filter", "layer")
        return theta, [curvature.random_direction(problem, theta, key=KEY, normalise=kind) for kind in kinds]

    theta, directions = drawn()
    for direction, whole in zip(directions, (False, True), strict=True):
        for number in (0, 2):
            weights = [np.square(at.layers[number].weight) for at in (theta, direction)]
            over = None if whole else tuple(range(1, weights[0].ndim))
            np.testing.assert_allclose(*[square.sum(axis=over) for square in weights], rtol=1e-5)
            assert not np.any(direction.layers[number].bias)


def test_pictures_of_slices(sliced):
    line, _, plane, _ = sliced
    figure = ss.plot.loss_plane(plane)
    assert len(figure.axes) == 2  # the surface and its colour bar
    axes = ss.plot.loss_lines(training=line).axes[0]
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), line.values)
    assert axes.get_legend().get_texts()[0].get_text() == "training"
    with helpers.refused(match="at least one line"):
        ss.plot.loss_lines()


# Bad input


def stacked():
    return jax.tree.map(lambda leaf: leaf[None], THETA)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: curvature.top_eigenpairs(NET, THETA, 124, key=KEY), "k must be <= 123"),
        (lambda: curvature.top_eigenpairs(NET, THETA, 3, products=2, key=KEY), "products must be >= k = 3"),
        (lambda: curvature.top_eigenpairs(NET, THETA, products=200, key=KEY), "<= 123"),
        (lambda: curvature.top_eigenpairs(NET, THETA, key=None), "key must be one typed key"),
        (lambda: curvature.top_eigenpairs(NET, THETA, key=KEY, which="best"), "which must be one of"),
        (lambda: curvature.top_eigenpairs(NET, THETA, key=KEY, matrix="fisher"), "matrix must be one of"),
        (lambda: curvature.top_eigenpairs(NET, stacked(), key=KEY), "one chain.*jax.vmap"),
        (lambda: curvature.top_eigenpairs("net", THETA, key=KEY), "must be a sde_sgd problem"),
        (lambda: curvature.trace(NET, THETA, key=0), "key must be one typed key"),
        (lambda: curvature.trace(NET, THETA, key=KEY, samples=1), "samples must be an integer >= 2"),
        (lambda: curvature.trace(NET, THETA, key=KEY, samples=3, method="hutch++"), ">= 4"),
        (lambda: curvature.trace(NET, THETA, key=KEY, subset=61), "subset must be <= 60"),
        (lambda: curvature.trace(NET, THETA, key=KEY, subset=[60]), "indices from 0 to 59, got 60"),
        (lambda: curvature.trace(NET, THETA, key=KEY, subset=[0.5]), "list of their indices"),
        (lambda: curvature.hvp(NET, THETA, THETA, subset=7), "must be an array of indices here"),
        (lambda: curvature.hvp(NET, THETA, stacked()), "vector must be"),
        (lambda: curvature.trace(WELL, jnp.ones(2), key=KEY, subset=3), "has no examples"),
        (lambda: curvature.spectral_density(NET, THETA, key=KEY, width=0.0), "width must be finite and > 0"),
        (lambda: curvature.log_determinant(NET, THETA, key=KEY, shift=-1.0), "shift must be"),
        (lambda: curvature.layer_blocks(NET, THETA, key=KEY, k=40), "k must be <= 39"),
        (lambda: curvature.covariance_spectrum(NET, THETA, 61, key=KEY), "k must be <= 60"),
        (lambda: curvature.plane(WELL, jnp.ones(2), key=KEY), "normalise must be 'none'"),
        (lambda: curvature.interpolation(NET, THETA, stacked()), "b must be"),
        (lambda: curvature.Sharpness(NET, 16, products=15), "products must be >= k = 16"),
        (lambda: curvature.Observable("trace", NET, key=KEY), "function must be one such as"),
    ],
)
def test_bad_input(call, message):
    with helpers.refused(match=message):
        call()


def test_a_result_is_not_the_parameters_of_one_chain():
    ends = ss.run(ss.SGD(WELL, ss.Hyperparameters(0.1, 1)), chains=2, steps=1, key=KEY)
    for asked in (curvature.trace, curvature.top_eigenpairs):
        with helpers.refused(match=r"theta must be .* got a Result.*leaf\[0\], result\.theta\)\.$"):
            asked(WELL, ends, key=KEY)
    curvature.trace(WELL, jax.tree.map(lambda leaf: leaf[0], ends.theta), key=KEY)


def test_no_gauss_newton_without_a_prediction():
    bare = ss.problems.from_loss(lambda w, x, y: jnp.sum(w) * 0 + x @ w, DATA, init=lambda key: jnp.zeros(6))
    for problem, theta in ((WELL, jnp.ones(2)), (bare, jnp.zeros(6))):
        with pytest.raises(NotKnownError, match="Gauss-Newton"):
            curvature.gauss_newton_product(problem, theta, theta)
