"""The gradient noise scale, against dense matrices and over repetitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import class_data, refused, regression_data

import sde_sgd as ss
from sde_sgd import bayes

KEY = jax.random.key(1)
LINE = ss.problems.linear_regression(regression_data(200, 3))
NET = ss.problems.mlp(class_data(), hidden=(3,))


def dense(problem, theta):
    gradient, _ = jax.flatten_util.ravel_pytree(problem.gradient(theta))
    covariance = np.asarray(problem.gradient_covariance(theta), np.float64)
    return np.trace(covariance) / float((np.asarray(gradient, np.float64) ** 2).sum())


@pytest.mark.parametrize("problem", [LINE, NET, ss.problems.Quadratic(np.diag([1.0, 2.0]))])
def test_it_is_that_of_the_dense_covariance(problem):
    theta = jax.tree.map(lambda leaf: leaf + 0.5, problem.init(KEY))
    found = bayes.gradient_noise_scale(problem, theta)
    np.testing.assert_allclose(found.value, dense(problem, theta), rtol=1e-4)
    assert found.low == found.value == found.high
    assert bool(found.resolved)


def test_of_a_line_it_is_the_closed_form():
    """x = ±1, y = 1 + x + ε: the gradients' mean and spread by hand at θ = 0."""
    x = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    y = np.array([3.0, 0.0, 1.0, 0.0])
    line = ss.problems.linear_regression(ss.data.Dataset(x, y))
    theta = jax.tree.map(jnp.zeros_like, line.init(KEY))
    rows = np.asarray(line.example_gradients(theta), np.float64)
    mean = rows.mean(axis=0)
    expected = ((rows - mean) ** 2).sum() / len(rows) / (mean**2).sum()
    np.testing.assert_allclose(bayes.gradient_noise_scale(line, theta).value, expected, rtol=1e-5)
    assert expected > 0


def test_it_is_recorded_in_a_run():
    result = ss.run(
        ss.SGD(LINE, ss.Hyperparameters(0.05, 8)), chains=2, steps=4, every=2, key=KEY,
        record={"B": lambda theta: bayes.gradient_noise_scale(LINE, theta).value},
    )  # fmt: skip
    alone = [dense(LINE, jax.tree.map(lambda leaf, i=i: leaf[i], result.theta)) for i in range(2)]
    np.testing.assert_allclose(result.record["B"][-1], alone, rtol=1e-3)


@pytest.mark.script
def test_the_interval_holds_the_truth_as_often_as_it_says():
    theta = jax.tree.map(lambda leaf: leaf + 0.5, LINE.init(KEY))
    exact = dense(LINE, theta)

    def one(key):
        return bayes.gradient_noise_scale(LINE, theta, sizes=(4, 64), batches=64, key=key)

    found = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(7), 200))
    held = int(((found.low <= exact) & (exact <= found.high)).sum())
    assert 180 <= held <= 198
    assert bool(found.resolved.all())
    means = float(found.trace.mean()) / float(found.squared_gradient.mean())
    np.testing.assert_allclose(means, exact, rtol=0.05)


@pytest.mark.script
def test_where_noise_hides_the_gradient_it_says_so():
    """At the minimum there is no gradient: some estimates are negative, and none is resolved."""
    bowl = ss.problems.linear_regression(regression_data(200, 3))
    solution = ss.run(
        ss.SGD(bowl, ss.Hyperparameters(0.2, 200), sampling="subset"), chains=1, steps=400, key=KEY
    ).theta
    theta = jax.tree.map(lambda leaf: leaf[0], solution)
    keys = jax.random.split(KEY, 20)
    found = jax.lax.map(
        lambda key: bayes.gradient_noise_scale(bowl, theta, sizes=(4, 32), batches=16, key=key), keys
    )
    assert int(found.resolved.sum()) <= 3
    assert np.isinf(found.high[~np.asarray(found.resolved)]).all()
    assert (np.asarray(found.value) < 0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": (8, 8)}, r"sizes must rise, the smaller batch first, got 8 and 8"),
        ({"sizes": (0, 8)}, r"sizes\[0\] must be an integer >= 1, got 0"),
        ({"sizes": 8}, r"sizes must be two batch sizes such as \(8, 128\), got 8"),
        ({"batches": 4}, r"batches must be an integer >= 8, got 4\. The interval comes from their spread"),
        ({"level": 1.0}, r"level must be .* got 1"),
        ({"key": 3}, r"key must be one typed key"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with refused(match=message):
        bayes.gradient_noise_scale(LINE, LINE.init(KEY), **options)


def test_batches_need_examples():
    with refused(match=r"sizes must be None for DoubleWell, which has no examples"):
        bayes.gradient_noise_scale(ss.problems.DoubleWell(), jnp.ones(()), sizes=(2, 4))


def far(count=100, mean=1e4):
    """½(θ − y)² with targets far from 0: gradients of examples that hardly differ."""
    targets = (mean + jax.random.normal(jax.random.key(5), (count,))).astype("float32")
    data = ss.data.Dataset(jnp.zeros((count, 1)), targets)
    return ss.problems.from_loss(
        lambda theta, _, y: 0.5 * (theta - y) ** 2, data, init=lambda key: jnp.zeros(())
    )


def test_a_large_mean_costs_no_digits():
    """Squares of 10⁸ have none left of a variance of 1."""
    problem = far()
    found = bayes.gradient_noise_scale(problem, jnp.zeros(()))
    truth = np.asarray(problem.targets, np.float64).var()
    assert float(found.trace) == pytest.approx(truth, rel=2e-3)  # targets are kept to 10⁻³
    assert found.resolved


def test_a_gradient_of_rounding_is_not_resolved():
    problem = far(mean=1.0)
    at = jnp.asarray(np.asarray(problem.targets, np.float64).mean(), jnp.float32)
    assert not bayes.gradient_noise_scale(problem, at).resolved
