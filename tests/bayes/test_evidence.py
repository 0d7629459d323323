"""The evidence, against its exact integral, dense matrices and changes of the parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import class_data, refused

import sde_sgd as ss
from sde_sgd import bayes

KEY = jax.random.key(2)


def two_classes(noise=1.0, count=60):
    rng = np.random.default_rng(3)
    labels = np.arange(count) % 2
    inputs = rng.normal(size=(count, 2)) * noise + labels[:, None] * (1.0, 0.5)
    return ss.data.Dataset(inputs, labels, classes=2)


def linear(theta, x):
    """Two parameters, one logit."""
    return x @ theta["w"]


def logistic(data):
    return ss.problems.EmpiricalRisk(linear, data, init=lambda key: {"w": jnp.zeros((2, 1))})


def integral(data, precision):
    """ln of the mean likelihood under the prior over that of guessing, on a fine grid."""
    x, signs = np.asarray(data.inputs, np.float64), 1 - 2 * np.asarray(data.targets)
    one = np.linspace(-12, 12, 601)
    grid = np.stack(np.meshgrid(one, one), -1).reshape(-1, 2)
    logs = -np.logaddexp(0, signs[:, None] * (x @ grid.T)).sum(0)
    logs -= 0.5 * precision * (grid**2).sum(1) - np.log(precision / (2 * np.pi)) - 2 * np.log(one[1] - one[0])
    return np.logaddexp.reduce(logs) + len(x) * np.log(2)


@pytest.mark.parametrize("precision", [0.3, 3.0])
def test_it_is_the_integral_to_a_seventh_of_a_nat(precision):
    data = two_classes()
    problem = logistic(data)
    fit = bayes.map_fit(problem, problem.init(KEY), precision=precision)
    assert fit.gradient_norm <= 1e-6
    found = bayes.log_evidence(problem, fit.theta, precision=precision)
    assert abs(found.value - integral(data, precision)) < 0.15
    assert 0 < found.effective_parameters < 2
    assert found.value == pytest.approx(found.likelihood - found.prior + found.occam)
    assert "nats (N = 60, 2 classes)" in str(found)


def test_random_labels_are_worse_than_guessing_and_informative_ones_are_better():
    data = two_classes()
    shuffled = np.random.default_rng(0).permutation(np.asarray(data.targets))
    values = []
    for labels in (data.targets, shuffled):
        problem = logistic(ss.data.Dataset(data.inputs, labels, classes=2))
        fit = bayes.map_fit(problem, problem.init(KEY), precision=1.0)
        values.append(bayes.log_evidence(problem, fit.theta, precision=1.0).value)
    assert values[0] > 2 > 0 > values[1]


NET = ss.problems.mlp(class_data(), hidden=(3,))


@pytest.mark.script
def test_other_scales_of_the_parameters_change_nothing_where_the_prior_goes_with_them():
    """Of one logit and its layer before, as a ReLU network's layers could be scaled: w → 5w, v → v/5."""
    start = jax.tree.map(np.asarray, NET.init(KEY))
    prior = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.7), start)
    fit = bayes.map_fit(NET, start, precision=0.7)
    found = bayes.log_evidence(NET, fit.theta, precision=prior)
    by = jax.tree.map(lambda leaf: 5.0 if leaf.ndim == 1 else 0.2, start)
    other = ss.problems.EmpiricalRisk(
        lambda phi, x: NET.predict(jax.tree.map(lambda leaf, scale: leaf * scale, phi, by), x),
        class_data(),
        init=NET.init,
    )
    phi = jax.tree.map(lambda leaf, scale: leaf / scale, fit.theta, by)
    again = bayes.log_evidence(
        other, phi, precision=jax.tree.map(lambda leaf, scale: leaf * scale**2, prior, by), tolerance=1e-4
    )
    assert again.value == pytest.approx(found.value, abs=1e-6)
    assert again.effective_parameters == pytest.approx(found.effective_parameters, abs=1e-6)
    alike = bayes.log_evidence(other, phi, precision=0.7 * 25, tolerance=1e9)
    assert abs(alike.value - found.value) > 1


@pytest.mark.script
def test_the_sums_are_those_of_the_dense_hessian():
    fit = bayes.map_fit(NET, NET.init(KEY), precision=0.5)
    found = bayes.log_evidence(NET, fit.theta, precision=0.5)
    theta = jax.tree.map(jnp.asarray, fit.theta)
    ratios = np.linalg.eigvalsh(np.asarray(NET.hessian(theta), np.float64)) * NET.size / 0.5 + 1
    assert found.occam == pytest.approx(-0.5 * np.log(ratios).sum(), rel=1e-3)
    assert found.effective_parameters == pytest.approx((1 - 1 / ratios).sum(), rel=1e-3)
    assert found.likelihood == pytest.approx(
        NET.size * (np.log(found.classes) - float(NET.loss(theta))), rel=1e-4
    )
    by_vectors = bayes.log_evidence(NET, fit.theta, precision=0.5, method="lanczos", samples=200, key=KEY)
    assert abs(by_vectors.value - found.value) < 4 * by_vectors.standard_error
    assert by_vectors.standard_error > 0 == found.standard_error
    assert found.quadrature_error == 0
    # as many products as parameters are exact; half of them are not
    few = bayes.log_evidence(
        NET,
        fit.theta,
        precision=0.5,
        method="lanczos",
        samples=200,
        key=KEY,
        products=(found.dimension + 1) // 2,
    )
    assert by_vectors.quadrature_error == pytest.approx(abs(few.value - by_vectors.value), rel=1e-6)


@pytest.mark.script
def test_of_a_network_for_digits_both_ways_agree():
    """1,960 parameters, within three standard errors."""
    net = ss.problems.mlp(ss.data.digits(320), hidden=(26,))
    fit = bayes.map_fit(net, net.init(KEY), precision=1.0)
    exact = bayes.log_evidence(net, fit.theta, precision=1.0, method="exact")
    found = bayes.log_evidence(net, fit.theta, precision=1.0, method="lanczos", key=KEY)
    assert exact.dimension == 1_960
    assert abs(found.value - exact.value) < 3 * found.standard_error
    assert found.standard_error < 0.03 * abs(exact.occam)


@pytest.mark.parametrize(("data", "products"), [("wine", 2), ("breast_cancer", 8)])
def test_too_few_products_are_told_of(data, products):
    """With next to no prior μ goes over orders of magnitude: ± does not cover what few products miss."""
    net = ss.problems.softmax_regression(getattr(ss.data, data)())
    options = {"precision": 1e-3, "tolerance": 1e-9}
    theta = bayes.map_fit(net, net.init(KEY), **options).theta
    exact = bayes.log_evidence(net, theta, **options)
    found = bayes.log_evidence(net, theta, **options, method="lanczos", samples=100, products=products)
    assert exact.value - found.value > 4 * found.standard_error  # Gauss' quadrature of ln is too large
    assert abs(exact.value - found.value) < found.quadrature_error + 4 * found.standard_error
    assert f"may be off by {found.quadrature_error:.2g} nats, which is not in ±" in str(found)
    one = bayes.log_evidence(net, theta, **options, method="lanczos", products=1)
    assert one.quadrature_error == np.inf and "! the quadrature" not in str(exact)


def test_what_is_no_minimum_is_refused():
    problem = logistic(two_classes())
    with refused(
        match=r"theta must be a minimum .* the gradient is .* above tolerance = 1e-06\. Take map_fit"
    ):
        bayes.log_evidence(problem, problem.init(KEY), precision=1.0)
    with refused(match=r"the fit has not converged: after 1 steps .* Raise most_steps = 1"):
        bayes.map_fit(problem, problem.init(KEY), precision=1.0, most_steps=1)
    saddle = jax.tree.map(lambda leaf: np.zeros(leaf.shape), NET.init(KEY))
    with refused(match=r"there is an eigenvalue of -.* times the prior's: a saddle"):
        bayes.log_evidence(NET, saddle, precision=1e-3, tolerance=10.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": 0.0}, r"precision must be > 0 and finite, got 0"),
        ({"precision": -1.0}, r"precision must be > 0 and finite, got -1"),
        ({"precision": {"w": np.array([[1.0], [0.0]])}}, r"precision must be > 0"),
        ({"precision": {"v": 1.0}}, r"precision must be one number, or shaped as the parameters"),
        ({"precision": "one"}, r"precision must be"),
        ({"tolerance": 0.0}, r"tolerance must be"),
        ({"theta": {"w": np.zeros((3, 1))}}, r"theta must be"),
        ({"method": "dense"}, r"method must be .* got 'dense'"),
        ({"key": 3}, r"key must be one typed key"),
        ({"samples": 1}, r"samples must be"),
        ({"problem": ss.problems.DoubleWell()}, r"problem must be an EmpiricalRisk with cross-entropy"),
        (
            {"problem": ss.problems.mlp(class_data(), hidden=(2,), l2=0.1)},
            r"problem must have l2 = 0: the prior has its place in precision",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    problem = logistic(two_classes())
    given = {"problem": problem, "theta": problem.init(KEY), "precision": 1.0, **arguments}
    with refused(match=message):
        bayes.log_evidence(given.pop("problem"), given.pop("theta"), **given)


def separable():
    """Classes that a line tells apart: next to no prior sends the weight far out, on a slope next to none."""
    x = np.random.default_rng(4).normal(size=(30, 1))
    return ss.problems.logistic_regression(ss.data.Dataset(x, (x[:, 0] > 0).astype(int), classes=2))


def test_a_fit_that_a_small_prior_hides_the_slope_of_is_refused():
    """At λ = 10⁻⁸ a gradient of 10⁻⁶ is 2 nats from the minimum."""
    problem = separable()
    loose = bayes.map_fit(problem, problem.init(KEY), precision=1e-8)
    with refused(match=r"with so small a precision it may be .* nats above it"):
        bayes.log_evidence(problem, loose.theta, precision=1e-8)
    close = bayes.map_fit(problem, problem.init(KEY), precision=1e-8, tolerance=1e-13)
    found = bayes.log_evidence(problem, close.theta, precision=1e-8)
    assert 0 <= found.gap < 1e-3 and found.value == pytest.approx(15.8, abs=1.5)
    # who takes a larger tolerance has asked for it
    assert bayes.log_evidence(problem, loose.theta, precision=1e-8, tolerance=1e-4).gap > 1e-3


def test_one_program_for_all_priors(caplog):
    problem = logistic(two_classes(count=62))

    def compiled(precision):
        caplog.clear()
        with jax.log_compiles():
            fit = bayes.map_fit(problem, problem.init(KEY), precision=precision)
            bayes.log_evidence(problem, fit.theta, precision=precision)
        return [line for line in caplog.messages if "Compiling jit(" in line]

    assert len(compiled(1.0)) >= 3  # the fit, the gradient, the Hessian
    assert compiled(2.0) == []


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ({"w": np.ones(7)}, r"precision must be shaped as the parameters, \(2, 1\), got \(7,\)"),
        ({"w": "x"}, "precision must be a real number"),
        ({"w": 1 + 1j}, "precision must be a real number"),
        ({"w": np.ones((1, 1))}, r"precision must be shaped as the parameters"),
    ],
)
def test_bad_priors_of_arrays(precision, message):
    problem = logistic(two_classes())
    with refused(match=message):
        bayes.map_fit(problem, problem.init(KEY), precision=precision)


def test_inside_a_transformation_it_says_so():
    problem = logistic(two_classes())
    with refused(match="map_fit cannot be called inside jax.jit, vmap or grad"):
        jax.vmap(lambda p: bayes.map_fit(problem, problem.init(KEY), precision=p).gradient_norm)(jnp.ones(2))
    with refused(match="log_evidence cannot be called inside"):
        jax.jit(lambda theta: bayes.log_evidence(problem, theta, precision=1.0).value)(problem.init(KEY))
