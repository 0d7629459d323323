"""Linear regression, whose examples differ in curvature: enumeration, closed forms and simulation."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import bound, deviations, refused
from scipy import optimize

import sde_sgd as ss
from sde_sgd.theory._linear._orders import epoch_operators, step_maps
from sde_sgd.theory._linear._regression import _examples
from sde_sgd.theory._setting import one_setting

theory = ss.theory
SIZE, BATCH, RATE = 12, 2, 0.1
SAMPLINGS = ("replacement", "subset", "shuffle")


def regression(size=SIZE, features=2, seed=0, **options):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(size, features))
    targets = inputs @ np.arange(1.0, features + 1) + rng.normal(size=size)
    return ss.problems.linear_regression(ss.data.Dataset(inputs, targets), **options)


def hermite_data():
    """Inputs with the moments of a normal variable up to the fourth, targets ±1: N = 12."""
    root = np.sqrt(3.0)
    inputs = np.repeat([-root, 0.0, 0.0, 0.0, 0.0, root], 2)
    return ss.problems.linear_regression(ss.data.Dataset(inputs[:, None], np.tile([1.0, -1.0], 6)))


@pytest.mark.parametrize(("rate", "batch"), [(0.1, 1), (0.3, 1), (0.6, 2)])
def test_online_regression_closed_form(rate, batch):
    """T/(2 − η − 2T) with T = η/B, for any inputs with E x² = 1 and E x⁴ = 3."""
    hyper = ss.Hyperparameters(rate, batch)
    T = rate / batch
    found = theory.regression_covariance(hermite_data(), hyper).covariance[0, 0]
    np.testing.assert_allclose(found, T / (2 - rate - 2 * T), rtol=1e-6)
    np.testing.assert_allclose(theory.online_regression_variance(hyper), found, rtol=1e-6)


def test_examples_are_those_of_the_problem():
    problem = regression(l2=0.3)
    minimum, examples = _examples(problem)
    x, y = np.asarray(problem.inputs, np.float64), np.asarray(problem.targets, np.float64)
    hessian = x.T @ x / SIZE + 0.3 * np.eye(2)
    np.testing.assert_allclose(examples.hessian, hessian, rtol=1e-6)
    np.testing.assert_allclose(minimum, np.linalg.solve(hessian, x.T @ y / SIZE), rtol=1e-6)
    slopes = x * (x @ minimum - y)[:, None] + 0.3 * minimum
    np.testing.assert_allclose(examples.covariance, np.cov(slopes.T, bias=True), rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("sampling", ["replacement", "subset"])
def test_independent_batches_by_enumeration(sampling, momentum):
    """The mean of G ⊗ G over every batch there is: N = 5, B = 2."""
    hyper = ss.Hyperparameters(0.05, 2, momentum)
    problem = regression(5)
    _, examples = _examples(problem)
    draws = {
        "replacement": list(itertools.product(range(5), repeat=2)),
        "subset": list(itertools.combinations(range(5), 2)),
    }[sampling]
    operator = sum(twice(examples, one_setting(hyper), list(draw)) for draw in draws) / len(draws)
    found = theory.regression_covariance(problem, hyper, sampling=sampling)
    np.testing.assert_allclose(found.covariance, fixed_point(operator)[:2, :2], rtol=1e-8)
    assert not found.bias.any()
    assert not found.standard_error.any()


def twice(examples, setting, chosen):
    one = step_maps(examples.hessians[chosen].mean(axis=0), examples.gradients[chosen].mean(axis=0), setting)
    return np.kron(one, one)


def fixed_point(operator):
    values, vectors = np.linalg.eig(operator)
    vector = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    side = round(len(operator) ** 0.5)
    return (vector / vector[-1]).reshape(side, side)


def over_orders(problem, hyper, sampling):
    """E[G ⊗ G] of an epoch, order by order."""
    _, examples = _examples(problem)
    size, batch = problem.dataset_size, one_setting(hyper).batch
    total, count = 0.0, 0
    for order in itertools.permutations(range(size)):
        epoch = np.eye(5 if one_setting(hyper).momentum else 3)
        for j in range(size // batch if sampling == "shuffle" else -(-size // batch)):
            chosen = list(order[j * batch : (j + 1) * batch])
            hessian, gradient = (
                examples.hessians[chosen].mean(axis=0),
                examples.gradients[chosen].mean(axis=0),
            )
            epoch = step_maps(hessian, gradient, one_setting(hyper)) @ epoch
        total, count = total + np.kron(epoch, epoch), count + 1
    return total / count


@pytest.mark.parametrize(
    ("size", "batch", "momentum", "sampling"),
    [
        (5, 1, 0.0, "shuffle"),
        (6, 2, 0.0, "shuffle"),
        (5, 2, 0.6, "shuffle"),
        (5, 2, 0.0, "shuffle_all"),
        (5, 3, 0.6, "shuffle_all"),
    ],
)
def test_shuffled_epochs_by_all_their_orders(size, batch, momentum, sampling):
    hyper = ss.Hyperparameters(0.05, batch, momentum)
    problem = regression(size)
    exact = fixed_point(over_orders(problem, hyper, sampling))
    bias = exact[:2, -1]
    found = theory.regression_covariance(problem, hyper, sampling=sampling)
    np.testing.assert_allclose(found.bias, bias, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found.covariance, exact[:2, :2] - np.outer(bias, bias), rtol=1e-7)
    drawn = theory.regression_covariance(
        problem, hyper, sampling=sampling, orders=4000, key=jax.random.key(1)
    )
    # jackknife errors from 20 groups: Student's t with 19 degrees of freedom, 8 there is 1e-7
    z = deviations(drawn.covariance, found.covariance, drawn.standard_error)
    assert np.abs(z).max() < 8
    assert 0 < drawn.standard_error[0, 0] < 0.1 * found.covariance[0, 0]


def test_the_jackknife_error_is_the_spread_over_orders():
    """40 keys: the spread of the variances is known to 11 %, the mean of the errors to 3 %; half is seen.

    A factor √19 in the error, or (n − 1)/n for n − 1, is far beyond.
    """
    problem, hyper = regression(6), ss.Hyperparameters(0.05, 1)
    laws = [
        theory.regression_covariance(problem, hyper, sampling="shuffle", orders=400, key=jax.random.key(seed))
        for seed in range(40)
    ]
    spread = np.std([law.covariance for law in laws], axis=0, ddof=1)
    stated = np.mean([law.standard_error for law in laws], axis=0)
    np.testing.assert_allclose(stated, spread, rtol=0.5)


def test_equal_curvatures_give_the_additive_law():
    """One input for all: the exact recursion has nothing to add to `discrete_covariance`."""
    rng = np.random.default_rng(2)
    problem = ss.problems.linear_regression(ss.data.Dataset(np.ones((10, 1)), rng.normal(size=10)))
    _, examples = _examples(problem)
    hyper = ss.Hyperparameters(0.3, 2, 0.4)
    for sampling in SAMPLINGS:
        law = theory.regression_covariance(problem, hyper, sampling=sampling)
        exact = theory.discrete_covariance(
            examples.hessian, examples.covariance, hyper, sampling=sampling, dataset_size=10
        )
        np.testing.assert_allclose(law.covariance, exact, rtol=1e-8)
        np.testing.assert_allclose(law.bias, 0, atol=1e-12)
    drawn, _ = epoch_operators(examples, one_setting(hyper), 100, np.random.default_rng(0))
    assert np.ptp(drawn, axis=0).max() < 1e-12  # the control variate is exact


# Against simulated SGD


@pytest.fixture(scope="module", params=SAMPLINGS)
def simulated(request):
    """E (θ − θ*)² at the ends of 40 epochs of 16 000 chains, and its standard error from their spread."""
    problem = regression()
    minimum, _ = _examples(problem)
    at = jnp.asarray(minimum, jnp.float32)
    epoch = SIZE // BATCH

    def squares(theta):
        return (theta[0]["weight"][:, 0] - at) ** 2

    result = ss.run(
        ss.SGD(problem, ss.Hyperparameters(RATE, BATCH), sampling=request.param),
        chains=16_000,
        steps=60 * epoch,
        key=jax.random.key(7),
        initial=[{"weight": at[:, None]}],
        moments={"squares": squares},
        every=epoch,
        burn_in=20 * epoch,
    )
    squares = result.moments["squares"]
    return request.param, squares.mean, squares.standard_error


def expected(sampling, batch=BATCH):
    """E (θ − θ*)² in theory."""
    law = theory.regression_covariance(regression(), ss.Hyperparameters(RATE, batch), sampling=sampling)
    assert not law.standard_error.any()
    return np.diag(law.covariance) + law.bias**2


def test_simulated_variances_are_within_one_per_cent(simulated):
    """N = 12, d = 2, η = .1, B = 2. Null: the exact second moment, of which e^-2·η·λ·120 of the start
    is left after the burn-in. Standard errors: the spread over chains; also within 1 %."""
    sampling, found, error = simulated
    exact = expected(sampling)
    assert np.abs(deviations(found, exact, error)).max() < bound(6)
    assert (error / exact).max() < 0.0035
    assert np.abs(found / exact - 1).max() < 0.01


def test_planted_wrong_laws_are_caught(simulated):
    """The other samplings, B off by one, T for T/2, and equal curvatures: each is outside the bound."""
    sampling, found, error = simulated
    wrong = {name: expected(name) for name in SAMPLINGS if name != sampling}
    wrong["batch off by one"] = expected(sampling, BATCH + 1)
    wrong["factor two"] = 2 * expected(sampling)
    _, examples = _examples(regression())
    wrong["equal curvatures"] = np.diag(
        theory.discrete_covariance(
            examples.hessian,
            examples.covariance,
            ss.Hyperparameters(RATE, BATCH),
            sampling=sampling,
            dataset_size=SIZE,
        )
    )
    for fault, law in wrong.items():
        assert np.abs(deviations(found, law, error)).max() > bound(6), fault


# Refusals


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("sampling", ["subset", "shuffle", "shuffle_all"])
def test_batches_of_all_examples_come_to_rest(sampling, momentum):
    """Gradient descent, up to its edge 2(1 + m)/λ."""
    inputs = np.array([[1.0], [2.0], [-1.0], [0.5]], np.float32)
    problem = ss.problems.linear_regression(ss.data.Dataset(inputs, np.array([1.0, 0, 1, 2], np.float32)))
    found = theory.regression_covariance(problem, ss.Hyperparameters(0.1, 4, momentum), sampling=sampling)
    assert not found.covariance.any()
    assert not found.bias.any()
    edge = 2 * (1 + momentum) / float(np.square(inputs).mean())
    theory.regression_covariance(problem, ss.Hyperparameters(0.99 * edge, 4, momentum), sampling=sampling)
    with refused(match=r"learning_rate \* curvature must be < 2"):
        theory.regression_covariance(problem, ss.Hyperparameters(1.01 * edge, 4, momentum), sampling=sampling)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_line_through_every_example_leaves_no_noise(sampling):
    """Without noise at the minimum the mean square still diverges where that of a step or epoch does."""
    inputs = np.repeat([1.0, -2.0, 0.5, 0.25], 3)[:, None]
    problem = ss.problems.linear_regression(ss.data.Dataset(inputs, 2 * inputs[:, 0]))
    found = theory.regression_covariance(problem, ss.Hyperparameters(0.1, 1), sampling=sampling)
    assert np.abs(found.covariance).max() < 1e-12
    with refused(match="second moment of SGD diverges"):
        theory.regression_covariance(problem, ss.Hyperparameters(1.45, 1), sampling=sampling)


@pytest.mark.parametrize("scale", [1.0, 0.01])
@pytest.mark.parametrize(("momentum", "power"), [(0.0, 3), (0.9, 2)])
def test_shuffled_epochs_of_tiny_steps(momentum, power, scale):
    """Σ falls as η³, with momentum as η², down to where an epoch takes 1e-10 of the second moment away."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(8, 2))
    targets = inputs @ [1.0, -1.0] + 0.5 * rng.normal(size=8)
    problem = ss.problems.linear_regression(ss.data.Dataset(scale * inputs, targets))

    def scaled(rate):
        hyper = ss.Hyperparameters(rate, 2, momentum)
        return theory.regression_covariance(problem, hyper, sampling="shuffle").covariance / rate**power

    for rate, rtol in ((1e-4, 3e-3), (1e-5, 3e-3), (1e-6, 3e-3), (1e-7, 0.03)):
        expected = scaled(1e-3)
        np.testing.assert_allclose(scaled(rate), expected, atol=rtol * np.abs(expected).max(), rtol=0)
    with refused(match="lost in rounding"):
        scaled(1e-15)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_border_of_stability_of_shuffled_epochs(momentum):
    """Where the spectral radius is 1: a millionth below it there is a law, a millionth above none."""
    problem = regression(5)

    def excess(rate):
        operator = over_orders(problem, ss.Hyperparameters(rate, 1, momentum), "shuffle")
        side = round(len(operator) ** 0.5)
        inner = operator.reshape((side,) * 4)[:-1, :-1, :-1, :-1].reshape((side - 1) ** 2, -1)
        return np.abs(np.linalg.eigvals(inner)).max() - 1

    edge = optimize.brentq(excess, 0.05, 2, xtol=1e-10)
    below, above = (ss.Hyperparameters(edge * (1 + sign * 1e-6), 1, momentum) for sign in (-1, 1))
    theory.regression_covariance(problem, below, sampling="shuffle")
    with refused(match="diverges over an epoch"):
        theory.regression_covariance(problem, above, sampling="shuffle")


def test_bad_input():
    hyper = ss.Hyperparameters(RATE, BATCH)
    with refused(match="problem must be a finite sum"):
        theory.regression_covariance(ss.problems.Quadratic(1.0), hyper)
    with refused(match="must have quadratic losses"):
        theory.regression_covariance(
            ss.problems.TiltedNoiseData(ss.problems.DoubleWell(), dataset_size=8, key=jax.random.key(0)),
            hyper,
        )
    with refused(match="hessian must be positive definite"):
        theory.regression_covariance(regression(3, 5), hyper)
    with refused(match=r"feeds itself by a factor 1\.\d+ >= 1"):
        theory.regression_covariance(hermite_data(), ss.Hyperparameters(0.7, 1))
    with refused(match=r"learning_rate \* curvature must be < 2"):
        theory.regression_covariance(hermite_data(), ss.Hyperparameters(2.5, 100))
    with refused(match="sampling must be one of"):
        theory.regression_covariance(regression(), hyper, sampling="all")
    with refused(match="orders must be an integer >= 100"):
        theory.regression_covariance(regression(), hyper, sampling="shuffle", orders=3)
    with refused(match="diverges over an epoch"):
        theory.regression_covariance(hermite_data(), ss.Hyperparameters(1.5, 2), sampling="shuffle")
