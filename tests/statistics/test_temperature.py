"""The temperature test: its value and error against closed forms, the jackknife and scipy."""

import functools

import jax
import numpy as np
import pytest
from helpers import ALARM, bound, draws, jackknife, regression_data
from scipy import stats

import sde_sgd as ss
import sde_sgd.statistics as st
from sde_sgd.theory._density import Density1D

KEY = jax.random.key(0)


@pytest.mark.parametrize("coordinates", [1, 5])
def test_temperature_of_sgd_at_finite_learning_rate(coordinates):
    """SGD on |θ|²/2 is N(0, T/(2 − η)): hotter than T by 1/(1 − η/2), which the second identity knows."""
    rate, temperature = 0.4, 0.05
    theta = draws(20_000, coordinates) * np.sqrt(temperature / (2 - rate))
    plain = st.temperature_test(theta, theta, temperature)
    exact = st.temperature_test(theta, theta, temperature, learning_rate=rate)
    assert plain.p < ALARM < exact.p
    assert exact.dimensions == coordinates
    assert abs(plain.value - temperature / (1 - rate / 2)) < bound() * plain.standard_error
    np.testing.assert_allclose(plain.work, plain.value * coordinates / 2)
    np.testing.assert_allclose(
        plain.standard_error, plain.value * np.sqrt(2 / coordinates / 20_000), rtol=0.07
    )
    moved = st.temperature_test(
        theta + 1, theta, temperature, centre=np.ones(coordinates), learning_rate=rate
    )
    np.testing.assert_allclose(moved.value, exact.value)


def test_temperature_of_data_noise_that_depends_on_theta(key):
    """Linear regression: T(θ) = η Tr C(θ)/(B d) for each chain; that at θ* would be wrong."""
    data = regression_data()
    problem, hyper = ss.problems.linear_regression(data), ss.Hyperparameters(0.1, 1)
    result = ss.run(ss.SGD(problem, hyper), chains=10_000, steps=400, key=key)
    theta = np.asarray(jax.tree.leaves(result.samples())[0], np.float64)[..., 0]
    inputs, targets = np.asarray(data.inputs, np.float64), np.ravel(data.targets)
    each = (theta @ inputs.T - targets)[..., None] * inputs
    gradient = each.mean(axis=1)
    trace = (each**2).sum(axis=2).mean(axis=1) - (gradient**2).sum(axis=1)
    best = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    check = functools.partial(
        st.temperature_test, {"w": theta}, {"w": gradient}, centre={"w": best}, learning_rate=0.1
    )
    assert check(0.1 * trace / 3).p > ALARM
    assert check(0.1 * trace / (2 * 3)).p < ALARM
    at_best = ((inputs @ best - targets) ** 2 * (inputs**2).sum(axis=1)).mean()
    assert check(0.1 * at_best / 3).p < ALARM


def test_temperature_with_momentum():
    """θ − ηm v/(1 − m) in place of θ, η/(1 − m) in place of η, for heavy-ball SGD on θ²/2."""
    rng, rate, momentum, chains = np.random.default_rng(0), 0.1, 0.8, 20_000
    theta, velocity = np.zeros((2, chains))
    for _ in range(150):
        velocity = momentum * velocity + theta + rng.normal(size=chains)
        theta = theta - rate * velocity
    effective = rate / (1 - momentum)
    ahead = theta - effective * momentum * velocity
    assert st.temperature_test(ahead, theta, effective, learning_rate=effective).p > ALARM
    assert st.temperature_test(theta, theta, effective, learning_rate=effective).p < ALARM


def test_curvature_tells_the_temperature_of_a_double_well():
    """θ·∇L of a double well is too noisy at T = .1; |∇L|² is as sharp as on a quadratic."""
    grid = np.linspace(-2, 2, 4001)
    x = np.asarray(Density1D(grid, -((grid**2 - 1) ** 2) / 4 * 2 / 0.1).sample(20_000, key=KEY), np.float64)
    slope = x**3 - x
    plain = st.temperature_test(x, slope, 0.1)
    sharp = st.temperature_test(x, slope, 0.1, laplacian=3 * x**2 - 1)
    assert plain.p > ALARM
    assert sharp.p > ALARM
    assert plain.standard_error > 3 * sharp.standard_error
    assert abs(sharp.value - 0.1) < bound() * sharp.standard_error
    assert sharp.standard_error < 0.02 * 0.1


@pytest.mark.parametrize("identity", ["plain", "learning rate", "laplacian", "temperature of each chain"])
def test_error_of_the_temperature_is_that_of_the_jackknife(identity):
    """Of a ratio of means: the two agree to O(1/n), and n is 400."""
    theta = draws(400, 2) + 0.3
    each = np.exp(0.5 * draws(400, seed=3)) if identity == "temperature of each chain" else np.full(400, 2.0)
    rows = {"laplacian": 3 * (theta**2).sum(axis=1), "learning_rate": np.full(400, 0.3)}
    named = {"laplacian": "laplacian", "learning rate": "learning_rate"}.get(identity)
    slope = theta**3 if named == "laplacian" else theta

    def measured(theta, slope, each, row):
        options = {} if named is None else {named: row}
        found = st.temperature_test(theta, slope, each, **options)
        # where T differs from chain to chain T̂ is what is measured beside its mean
        return found.value - (each.mean() if identity == "temperature of each chain" else 0)

    row = rows.get(named, np.zeros(400))
    found = st.temperature_test(theta, slope, each, **({} if named is None else {named: row}))
    np.testing.assert_allclose(found.standard_error, jackknife(measured, theta, slope, each, row), rtol=0.02)


def test_p_of_the_temperature_is_students():
    """Thirty chains, where one degree of freedom more is seen: by scipy's test of the mean."""
    theta, rate = draws(30, 2), 0.3
    squared = (theta**2).sum(axis=1)
    for options, excess in (
        ({}, squared - 0.8),
        ({"learning_rate": rate}, (1 - rate / 2) * squared - 0.8),
        ({"laplacian": squared + 1}, squared - 0.4 * (squared + 1)),
    ):
        found, theirs = st.temperature_test(theta, theta, 0.8, **options), stats.ttest_1samp(excess, 0)
        np.testing.assert_allclose([found.statistic, found.p], [theirs.statistic, theirs.pvalue], rtol=1e-9)
    np.testing.assert_allclose(found.work_error, stats.sem(squared))
