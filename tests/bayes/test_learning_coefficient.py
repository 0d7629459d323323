"""The local learning coefficient: regular and singular minima against closed forms and quadrature.

Where nothing else is said numbers agree within so many standard errors that a right program fails once in a
million keys, and a test must hold on other keys as well.
"""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_agree, bound, deviations, float64, refused, regression_data
from scipy import integrate, optimize, stats

import sde_sgd as ss

COEFFICIENT = ss.bayes.local_learning_coefficient
SAMPLES = 1000
SCALE = SAMPLES / np.log(SAMPLES)
HESSIAN = np.diag([1.0, 2.0, 4.0])


class Formula(ss.problems.AnalyticProblem):
    """Any loss of a vector, around 0."""

    function: object = eqx.field(static=True)
    dimension: int = eqx.field(static=True)
    noise: ss.problems.GradientNoise
    noise_law: str = eqx.field(static=True)

    def __init__(self, function, dimension):
        self.function, self.dimension = function, dimension
        self.noise, self.noise_law = ss.problems.Isotropic(1.0), "gaussian"

    def init(self, key):
        return jnp.zeros(self.dimension)

    def loss(self, theta):
        return self.function(theta)


def integral(function):
    """Over x > 0, split where what is integrated changes its scale."""
    edges = (0.0, 1e-4, 1e-2, 0.1, 1.0, np.inf)
    return sum(integrate.quad(function, *pair, limit=400)[0] for pair in itertools.pairwise(edges))


def average(mean, weight):
    return integral(lambda x: mean(x) * weight(x)) / integral(weight)


def power(exponent, scale, gamma):
    """λ̂ of L = x^exponent."""
    return average(lambda x: scale * x**exponent, lambda x: np.exp(-scale * x**exponent - gamma * x * x / 2))


def crossing(scale, gamma):
    """λ̂ of L = x²y²: given x, y is Gaussian."""
    held = lambda x: 2 * scale * x * x + gamma  # noqa: E731
    return average(lambda x: scale * x * x / held(x), lambda x: np.exp(-gamma * x * x / 2) / held(x) ** 0.5)


def rank_one(scale, gamma):
    """λ̂ of L = ½|a|²|b|² with a and b of two numbers: given r = |a|, b is Gaussian."""
    held = lambda r: scale * r * r + gamma  # noqa: E731
    return average(lambda r: scale * r * r / held(r), lambda r: r * np.exp(-gamma * r * r / 2) / held(r))


def network(scale, gamma):
    """λ̂ of L = ½|AB|² with two 2 x 2 matrices, by the singular values of A: given A, B is Gaussian."""
    s = np.logspace(-8, 1.2, 600)
    first, second = s[:, None], s[None, :]
    held = scale * s * s + gamma
    weight = np.abs(first**2 - second**2) * np.outer(*[s * np.exp(-gamma * s * s / 2) / held] * 2)
    part = scale * s * s / held
    return float((weight * (part[:, None] + part[None, :])).sum() / weight.sum())


# loss, d, λ̂ at (nβ, γ), λ and its multiplicity (the last by Aoyagi and Watanabe 2005)
SINGULAR = {
    "x⁴": (lambda w: jnp.sum(w**4), 1, functools.partial(power, 4), 1 / 4, 1),
    "x⁶": (lambda w: jnp.sum(w**6), 1, functools.partial(power, 6), 1 / 6, 1),
    "x² + y⁴": (
        lambda w: w[0] ** 2 + w[1] ** 4,
        2,
        lambda scale, gamma: power(2, scale, gamma) + power(4, scale, gamma),
        3 / 4,
        1,
    ),
    "x²y²": (lambda w: (w[0] * w[1]) ** 2, 2, crossing, 1 / 2, 2),
    "½|a|²|b|²": (lambda w: 0.5 * jnp.sum(w[:2] ** 2) * jnp.sum(w[2:] ** 2), 4, rank_one, 1.0, 2),
    "½|AB|²": (
        lambda w: 0.5 * jnp.sum((w[:4].reshape(2, 2) @ w[4:].reshape(2, 2)) ** 2),
        8,
        network,
        3 / 2,
        1,
    ),
}


def regular(found, expected=None):
    """d/2, and what the localisation leaves of it, both within the error; nothing said against it."""
    errors = [found.standard_error] * 2
    assert_agree([found.value] * 2, [found.dimension / 2, expected or found.dimension / 2], errors, count=12)
    assert abs(found.rescaled - (expected or found.dimension / 2)) < bound(12) * found.rescaled_error + 1e-3
    # planted: half or twice the temperature
    assert min(abs(found.value - found.dimension * factor) for factor in (0.25, 1.0)) > 8 * errors[0]


def test_a_quadratic_has_half_its_dimension():
    samples, options = 100_000, {"learning_rate": 0.1, "steps": 3000, "localisation": 0.5}
    found = COEFFICIENT(
        ss.problems.Quadratic(HESSIAN), jnp.zeros(3), key=jax.random.key(0), samples=samples, **options
    )
    regular(
        found,
        ss.bayes.gaussian_learning_coefficient([1, 2, 4], samples=samples, localisation=0.5),
    )
    assert found.chains == 64
    assert found.diverged == 0
    assert found.batch_size is None
    np.testing.assert_allclose(found.inverse_temperature, 1 / np.log(samples))
    np.testing.assert_allclose(found.per_chain.mean(), found.value)
    np.testing.assert_allclose(found.standard_error, found.per_chain.std(ddof=1) / 8, rtol=1e-3)


@pytest.mark.script
def test_linear_regression_has_half_its_dimension():
    data = regression_data(size=400, features=4)
    x, y = np.asarray(data.inputs, np.float64), np.asarray(data.targets, np.float64)
    at = [{"weight": np.linalg.lstsq(x, y, rcond=None)[0][:, None]}]
    problem = ss.problems.linear_regression(data)
    found = COEFFICIENT(problem, at, key=jax.random.key(1), learning_rate=0.3, steps=1500, localisation=0.1)
    h = np.linalg.eigvalsh(x.T @ x / 400)
    regular(found, ss.bayes.gaussian_learning_coefficient(h, samples=400, localisation=0.1))


@pytest.mark.script
def test_logistic_regression_has_half_its_dimension():
    """Two weights, 1000 examples; the exact law, on a grid, is not quite Gaussian."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 2))
    labels = (rng.random(1000) < 1 / (1 + np.exp(-x @ [1.0, -0.5]))).astype(int)

    def loss(w):
        return np.logaddexp(0, -(2 * labels - 1) * (x @ np.asarray(w))).mean()

    at = optimize.minimize(loss, [1.0, -0.5], tol=1e-10).x
    problem = ss.problems.logistic_regression(ss.data.Dataset(x, labels, classes=2), bias=False)
    start = [{"weight": at[:, None]}]
    found = COEFFICIENT(problem, start, key=jax.random.key(1), learning_rate=1.0, steps=800, localisation=0.1)
    line = np.linspace(-1.4, 1.4, 71)
    away = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    excess = SCALE * (np.array([loss(at + step) for step in away]) - loss(at))
    weight = np.exp(-excess - 0.05 * (away**2).sum(axis=1))
    regular(found, float((excess * weight).sum() / weight.sum()))


@pytest.mark.parametrize("name", ["x⁴", "x² + y⁴", "x²y²", "½|AB|²"])
def test_a_singular_minimum_has_less_as_by_quadrature(name):
    """At the same nβ and γ; and far below d/2, which a regular minimum would have."""
    function, dimension, exact, _, _ = SINGULAR[name]
    found = COEFFICIENT(
        Formula(function, dimension),
        jnp.zeros(dimension),
        key=jax.random.key(2),
        samples=SAMPLES,
        learning_rate=0.05,
        steps=20_000,
        chains=64,
    )
    expected = exact(SCALE, 1.0)
    assert_agree(
        [found.value, found.rescaled, found.temperature_ratio],
        [expected, expected, 1.0],
        [found.standard_error, found.rescaled_error, found.temperature_error],
        count=12,
    )
    assert dimension / 2 - found.value > 8 * found.standard_error
    assert not found.remarks


@pytest.mark.parametrize("name", SINGULAR)
def test_what_quadrature_tends_to(name):
    """λ − (m − 1)/ln(nβ/γ²) + … at nβ = 10⁸: the numbers of the literature."""
    _, _, exact, expected, multiplicity = SINGULAR[name]
    correction = (multiplicity - 1) / np.log(1e8)
    assert abs(exact(1e8, 1.0) - (expected - correction)) < 0.02 * expected
    assert abs(exact(1e8, 1.0) - expected) < 0.13 * expected


@pytest.mark.script
def test_intervals_cover():
    """Of 95 % intervals on 40 keys each, for λ̂ as it is and rescaled, the binomial number misses.

    One in a million sets of right intervals misses 13 of 40 or more; a standard error too small by
    2 would miss 13 of 40 on average.
    """
    problem = ss.problems.Quadratic(HESSIAN)
    expected = ss.bayes.gaussian_learning_coefficient([1, 2, 4], samples=SAMPLES)
    options = {"learning_rate": 0.2, "steps": 300, "samples": SAMPLES, "burn_in": 100}
    found = [COEFFICIENT(problem, jnp.zeros(3), key=jax.random.key(seed), **options) for seed in range(40)]
    allowed = stats.binom.isf(1e-6, 40, 0.05)
    assert sum(not low < expected < high for low, high in (one.interval() for one in found)) <= allowed
    z = deviations([one.rescaled for one in found], expected, [one.rescaled_error for one in found])
    assert (np.abs(z) > stats.t.ppf(0.975, 63)).sum() <= allowed
    # nor are they too wide: 40 times the variance of z is a χ² of 39, but for Student's t
    z = deviations([one.value for one in found], expected, [one.standard_error for one in found])
    low, high = stats.chi2.ppf([5e-7, 1 - 5e-7], 39) / 40
    assert low < z.var() * 61 / 63 < high * 1.1
    # three remarks, each wrong once in a thousand: of 120 four are so once in 10⁵ keys, five once in 5·10⁶
    assert sum(len(one.remarks) for one in found) <= 4


def tilted(variance=1.0, size=64):
    return ss.problems.TiltedNoiseData(
        ss.problems.Quadratic(HESSIAN), dataset_size=size, noise_variance=variance, key=jax.random.key(2)
    )


@pytest.mark.script
def test_minibatches_heat_as_the_docstring_says():
    """SGLD on a quadratic is exact at any η: (1 + ηnβ c/(2B))/(1 − ηh/2) in each direction."""
    eta, gamma, size, batch_size = 0.2, 0.3, 64, 4
    scale = size / np.log(size)
    h = np.array([1.0, 2.0, 4.0])
    held = h + gamma / scale
    heat = (1 + eta * scale / (2 * batch_size)) / (1 - eta * held / 2)
    found = COEFFICIENT(
        tilted(size=size),
        jnp.zeros(3),
        key=jax.random.key(3),
        learning_rate=eta,
        steps=2000,
        localisation=gamma,
        batch_size=batch_size,
    )
    assert_agree(
        [found.value, found.temperature_ratio],
        [0.5 * (h / held * heat).sum(), heat.mean()],
        [found.standard_error, found.temperature_error],
    )
    assert found.temperature_ratio > 1.2
    assert any("minibatches" in remark for remark in found.remarks)
    plain = ss.bayes.gaussian_learning_coefficient(h, samples=size, localisation=gamma)
    assert abs(found.value - plain) > 0.2 * plain
    assert abs(found.rescaled - plain) < 0.01 * plain


def test_all_examples_heat_nothing():
    """The same data and step without minibatches: no trace of either."""
    found = COEFFICIENT(tilted(), jnp.zeros(3), key=jax.random.key(3), learning_rate=0.2, steps=2000)
    expected = ss.bayes.gaussian_learning_coefficient([1, 2, 4], samples=64)
    assert_agree(
        [found.value, found.temperature_ratio],
        [expected, 1.0],
        [found.standard_error, found.temperature_error],
    )
    assert not found.remarks


def on_their_way_out(**options):
    """Chains that have hardly left the minimum after 400 steps."""
    fixed = {"key": jax.random.key(4), "samples": SAMPLES, "learning_rate": 5e-4, "steps": 400}
    return COEFFICIENT(ss.problems.Quadratic(HESSIAN), jnp.zeros(3), **fixed, **options)


def test_too_short_a_run_says_so():
    """Chains on their way out are below the temperature, and their loss still rises."""
    found = on_their_way_out(burn_in=0)
    # ⟨1 − exp(−2ηhk)⟩ over the run, three directions together: .18, .31 and .50
    assert_agree(found.temperature_ratio, 0.33, found.temperature_error)
    assert any("burn_in" in remark and "on their way" in remark for remark in found.remarks)
    assert any("no equilibrium yet" in remark for remark in found.remarks)
    assert found.drift > 0
    assert "  ! " in str(found)


def test_samples_of_the_burn_in_are_left_out():
    """⟨1 − exp(−2ηhk)⟩ over the last hundred of the same steps is .521, over all of them .33."""
    found = on_their_way_out(burn_in=300, chains=1024)
    assert_agree(found.temperature_ratio, 0.521, found.temperature_error)
    assert abs(found.temperature_ratio - 0.33) > 5 * found.temperature_error


def test_a_problem_that_breaks_its_contract_is_refused():
    class Broken(ss.problems.FiniteSumProblem):
        dataset_size = 8

        def init(self, key):
            return jnp.zeros(3)

        def example_losses(self, theta, indices=None):
            return jnp.zeros((8, 2)) + theta.sum()

    with refused(match=r"example_losses"):
        COEFFICIENT(Broken(), jnp.zeros(3), key=jax.random.key(0), learning_rate=0.1, steps=10)


def test_a_point_that_is_no_minimum_is_seen():
    found = COEFFICIENT(
        ss.problems.Quadratic(HESSIAN),
        jnp.array([0.6, 0.0, 0.0]),
        key=jax.random.key(5),
        samples=SAMPLES,
        learning_rate=0.1,
        steps=600,
    )
    # at the minimum the loss is lower by .18, and nβ of it is 26
    np.testing.assert_allclose(found.lowest, -0.18 * SCALE, rtol=0.1)
    assert any("no minimum" in remark for remark in found.remarks)
    assert found.value < 0


def test_a_chain_does_not_depend_on_the_others():
    problem, options = ss.problems.Quadratic(HESSIAN), {"learning_rate": 0.1, "samples": 100, "steps": 100}
    few, many = (
        COEFFICIENT(problem, jnp.zeros(3), key=jax.random.key(6), chains=chains, **options)
        for chains in (8, 64)
    )
    np.testing.assert_allclose(few.per_chain, many.per_chain[:8], rtol=1e-5)
    other = COEFFICIENT(problem, jnp.zeros(3), key=jax.random.key(7), **options)
    assert not np.isclose(many.per_chain, other.per_chain, rtol=1e-2).all()


def test_chains_that_diverge_are_left_out_and_named():
    """L = x² − x⁴/4 is a well that ends at |x| = √2: what gets out never comes back."""
    problem = Formula(lambda w: jnp.sum(w**2 - w**4 / 4), 1)
    options = {"samples": 10, "inverse_temperature": 0.5, "learning_rate": 0.2, "steps": 300}
    with pytest.warns(UserWarning, match="chains diverged"):
        found = COEFFICIENT(problem, jnp.zeros(1), key=jax.random.key(8), localisation=0.0, **options)
    assert 0 < found.diverged < 64
    assert found.chains == 64 - found.diverged
    assert any(f"{found.diverged} of 64 chains diverged" in remark for remark in found.remarks)
    with (
        pytest.warns(UserWarning, match="chains diverged"),
        refused(match=r"learning_rate must be small enough.*got 3: 64 of 64 diverged"),
    ):
        COEFFICIENT(
            ss.problems.Quadratic(HESSIAN), jnp.zeros(3), key=jax.random.key(0), samples=30,
            learning_rate=3.0, steps=1000,
        )  # fmt: skip


@pytest.mark.script
def test_double_precision():
    with float64():
        found = COEFFICIENT(
            ss.problems.Quadratic(HESSIAN),
            jnp.zeros(3),
            key=jax.random.key(0),
            samples=SAMPLES,
            learning_rate=0.2,
            steps=400,
        )
    expected = ss.bayes.gaussian_learning_coefficient([1, 2, 4], samples=SAMPLES)
    assert_agree(found.value, expected, found.standard_error)


def test_the_gaussian_value_by_hand():
    assert ss.bayes.gaussian_learning_coefficient([0.0, 3.0], samples=7, localisation=0.0) == 0.5
    by_hand = 0.5 * (20 / (20 + 5) + 40 / (40 + 5))
    found = ss.bayes.gaussian_learning_coefficient(
        [1.0, 2.0], samples=10, inverse_temperature=2.0, localisation=5.0
    )
    np.testing.assert_allclose(found, by_hand)
    with refused(match="eigenvalues must be finite and >= 0, got -1"):
        ss.bayes.gaussian_learning_coefficient([1.0, -1.0], samples=10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": None}, "samples must be given for Quadratic, which has no data set"),
        ({"samples": 1}, "samples must be an integer >= 2, got 1"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and > 0, got 0"),
        ({"learning_rate": [0.1, 0.2]}, "learning_rate must be one number"),
        ({"localisation": -1.0}, "localisation must be finite and >= 0, got -1"),
        ({"inverse_temperature": 0.0}, "inverse_temperature must be finite and > 0, got 0"),
        ({"chains": 1}, "chains must be an integer >= 2, got 1. The error comes from their spread"),
        ({"every": 0}, "every must be an integer >= 1, got 0"),
        ({"burn_in": 100}, "burn_in must be < 100, the last sample of 100 steps with every = 10"),
        ({"every": 101}, "every must be <= steps = 100 for a sample to be taken at all, got 101"),
        ({"sampling": "subset"}, "sampling needs a batch_size"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
        ({"record": {}}, "options to run may be devices, .* got record"),
        ({"key": 0}, "key must be one typed key"),
        ({"at": jnp.zeros(2)}, r"at must be the parameters of one chain, of shapes \(3,\), got \(2,\)"),
        ({"at": jnp.zeros((5, 3))}, r"got \(5, 3\). For an ensemble map over"),
        ({"at": jnp.array([0.0, jnp.nan, 0.0])}, "at must be finite, got 1 numbers that are not"),
        ({"at": jnp.zeros(3, int)}, "at has dtype int32; parameters must be floating point"),
        ({"problem": None}, "problem must be a sde_sgd problem such as"),
        ({"problem": tilted()}, "samples must be left out for TiltedNoiseData, whose data set has 64"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_input_is_refused(change, message):
    arguments = {
        "problem": ss.problems.Quadratic(HESSIAN),
        "at": jnp.zeros(3),
        "key": jax.random.key(0),
        "samples": 100,
        "learning_rate": 0.1,
        "steps": 100,
        **change,
    }
    with refused(match=message):
        COEFFICIENT(arguments.pop("problem"), arguments.pop("at"), **arguments)


def test_a_whole_result_is_no_point():
    process = ss.SGD(ss.problems.Quadratic(HESSIAN), ss.Hyperparameters(0.1))
    result = ss.run(process, chains=64, steps=1, key=jax.random.key(0))
    with refused(match=r"got a Result of 64 chains. Take one of them: jax.tree.map"):
        COEFFICIENT(process.problem, result, key=jax.random.key(1), samples=10, learning_rate=0.1, steps=20)


def test_an_interval_needs_a_level():
    found = COEFFICIENT(
        ss.problems.Quadratic(HESSIAN), jnp.zeros(3), key=jax.random.key(0), samples=10, learning_rate=0.1,
        steps=20,
    )  # fmt: skip
    with refused(match="level must be > 0 and < 1, got 95"):
        found.interval(95)
    low, high = found.interval(0.9)
    assert low < found.value < high
    assert np.isnan(found.r_hat)
