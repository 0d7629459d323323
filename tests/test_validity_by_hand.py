"""What a step of finite length, the order of the examples and skewed noise do, and intervals, by hand."""

import math

import numpy as np
import pytest
from scipy import stats
from sde_sgd.validity._finer import finer
from sde_sgd.validity._interval import BEYOND, CANNOT_TELL, WITHIN, Interval

import sde_sgd as ss
from sde_sgd.validity import _factors, _interval


def test_the_variance_of_a_finite_step():
    """2(1 + m)/(2(1 + m) − ηλ)."""
    hyper = ss.Hyperparameters(0.4, 1, 0.5)
    found = _factors.step_size_factor(np.array([2.0, -1.0, 7.4, 7.5, 9.0]), hyper)
    np.testing.assert_allclose(found, [3 / 2.2, 1, 3 / 0.04, np.inf, np.inf], rtol=1e-4)


def test_the_variance_of_fresh_subsets():
    hyper = ss.Hyperparameters(0.4, 4, 0.5)
    found = _factors.sampling_factor(np.array([0.5, 2.0]), hyper, "subset", 10)
    np.testing.assert_allclose(found, 6 / 9, rtol=1e-6)
    np.testing.assert_array_equal(_factors.sampling_factor(np.ones(2), hyper, "replacement", 10), 1)
    shuffled = _factors.sampling_factor(np.array([0.05, 2.0]), ss.Hyperparameters(0.4, 4), "shuffle", 40)
    assert shuffled[0] < shuffled[1] < 1


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_skewness_of_theta_is_that_of_its_sum(momentum):
    """θ = −η Σ u_l ξ_l by the recurrence of the response u to one kick; the sums ended after 2000."""
    rate, batch = 0.4, 4
    u, v, found = 0.0, 0.0, []
    for step in range(2000):
        v = momentum * v + 1.5 * u + (1.0 if step == 0 else 0.0)
        u -= rate * v
        found.append(u)
    u = np.array(found)
    expected = abs((u**3).sum()) / (u**2).sum() ** 1.5 / batch**0.5
    hyper = ss.Hyperparameters(rate, batch, momentum)
    np.testing.assert_allclose(_factors.skewness_factor(np.array([1.5]), hyper), expected, rtol=1e-4)
    subset = _factors.skewness_factor(np.array([1.5]), hyper, "subset", 10)
    np.testing.assert_allclose(subset, expected * (2 / 8) * (9 / 6) ** 0.5, rtol=1e-4)
    if not momentum:
        a = 1 - rate * 1.5
        np.testing.assert_allclose(expected, (1 - a**2) ** 1.5 / (1 - a**3) / 2, rtol=1e-6)


def test_an_interval_answers():
    assert [Interval(*ends).answer(0.2) for ends in ((0, 0.1), (0.3, 0.4), (0.1, 0.3), (0.1, math.inf))] == [
        WITHIN,
        BEYOND,
        CANNOT_TELL,
        CANNOT_TELL,
    ]
    # from .1 to the limit is .1, to the end of the interval .2: four times as much halves it
    np.testing.assert_allclose(Interval(0.0, 0.3).pilots_needed(0.1, 0.2), 4)
    np.testing.assert_allclose(Interval(0.1, 0.6).pilots_needed(0.4, 0.2), 2.25)
    assert Interval(0.0, 0.1).pilots_needed(0.05, 0.2) == 1


def test_the_interval_of_a_mean_is_students():
    mean, interval = _interval.of_mean(np.array([1.0, 2.0, 3.0]))
    half = stats.t.ppf(0.995, 2) / 3**0.5
    np.testing.assert_allclose([mean, *interval], [2, 2 - half, 2 + half], rtol=1e-12)


def test_how_far_a_ratio_is_from_one():
    """Half the variance is as far from it as twice."""
    half = stats.t.ppf(0.995, 10) * 0.1
    for sign in (1, -1):
        effect, interval = _interval.of_log_ratio(sign * math.log(2), 0.1, 10)
        np.testing.assert_allclose(effect, 1, rtol=1e-12)
        np.testing.assert_allclose(interval, [2 * math.exp(-half) - 1, 2 * math.exp(half) - 1], rtol=1e-12)
    assert _interval.of_log_ratio(0.05, 0.1, 10)[1].low == 0


def test_the_finer_run_has_the_same_temperature():
    data = ss.data.wine(128)
    risk = ss.problems.softmax_regression(data, l2=0.1)
    for size, momentum in ((32, 0.0), (32, 0.5), (1, 0.5)):
        hyper = ss.Hyperparameters(0.1, size, momentum)
        found = finer(risk, hyper, 1.0, 100)
        own = found.process.hyper
        np.testing.assert_allclose(own.ratio, hyper.ratio, rtol=1e-6)
        np.testing.assert_allclose(
            found.units * own.effective_learning_rate, hyper.effective_learning_rate, rtol=1e-6
        )
        assert found.step <= float(hyper.effective_learning_rate) / 4 * (1 + 1e-6)
        amplified = getattr(found.process, "l", 1)
        np.testing.assert_allclose(found.step, float(own.learning_rate) / amplified, rtol=1e-6)
    assert finer(risk, ss.Hyperparameters(0.1, 32), 1.0, 10**7) is None
