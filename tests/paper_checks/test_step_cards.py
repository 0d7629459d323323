"""The helpers of the cards on steps, alignment and saturation, on made-up numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from paper_checks.sharpest_directions import _networks, _trained, alignment, saturation, step_length
from paper_checks.sharpest_directions.step_length import Effect


def effect(best, seeds=8, error=0.01, seed=0):
    """A parabola with its minimum at α* = best, its slopes a little different from seed to seed."""
    noise = error * np.random.default_rng(seed).normal(size=seeds)
    curvature = np.ones(seeds)
    slope = -best * curvature + noise
    alphas = np.array(step_length.ALPHAS)
    return Effect(slope[:, None] * alphas + 0.5 * curvature[:, None] * alphas**2, slope, curvature)


def test_a_step_that_is_too_long_and_one_that_is_not():
    """The arm that is least shown counts: one with α* of 1.2 among three."""
    long, short = effect(0.5), effect(1.2)
    found = step_length._overshoots("α*", {"one": long, "other": effect(0.7, seed=1)})
    assert found.met and found.estimate == pytest.approx(0.7, abs=0.02)
    found = step_length._overshoots("α*", {"one": long, "two": long, "three": short})
    assert not found.met and found.estimate == pytest.approx(1.2, abs=0.02)


def test_the_loss_rises_at_twice_the_step_where_its_minimum_is_below_one():
    assert step_length._rises({"one": effect(0.9), "other": effect(0.5)}).met
    assert not step_length._rises({"one": effect(1.1), "other": effect(0.5)}).met


def test_the_rest_of_the_step_is_compared_with_its_top_part():
    def arm(top, rest):
        return {step_length.FULL: {"top": effect(top), "rest": effect(rest, seed=1)}}

    assert step_length._rest({"one": arm(0.5, 0.8), "other": arm(0.4, 2.0)}).met
    assert not step_length._rest({"one": arm(0.5, 0.8), "other": arm(0.6, 0.6)}).met


def test_the_error_of_a_ratio_of_means_is_its_spread():
    """By the jackknife, over 2000 sets of 8 seeds."""
    rng = np.random.default_rng(0)
    curvature = rng.gamma(4.0, 0.25, (2000, 8))
    slope = -0.5 * curvature + 0.2 * rng.normal(size=(2000, 8))
    made = [Effect(np.zeros((8, 5)), *pair) for pair in zip(slope, curvature, strict=True)]
    spread = np.std([one.best for one in made])
    assert np.mean([one.error for one in made]) == pytest.approx(spread, rel=0.15)


def test_above_is_students_t():
    """Of 4, 5, 6 and 7 above 3: t = 2.5/.6455 with three degrees of freedom."""
    mean, error, p = _trained.above(np.array([4.0, 5.0, 6.0, 7.0]), 3.0)
    assert (mean, error) == (5.5, pytest.approx(0.6455, abs=1e-4))
    assert p == pytest.approx(0.01523, abs=1e-4)
    assert _trained.above(np.zeros(4))[2] == 1


def test_ten_times_chance():
    many, few = 30 + np.arange(8.0), 5 + np.arange(8.0)
    assert alignment.least("share", {("one", 0.1): many}).met
    found = alignment.least("share", {("one", 0.1): many, ("other", 0.1): few})
    assert not found.met and found.estimate == few.mean()


def test_values_at_one_loss():
    """The loss falls by e at each look: 1, 1/e, 1/e²; half way between two of them is half way in values."""
    losses = np.exp(-np.array([[0.0, 1.0, 2.0], [0.0, 0.5, 1.0]]))
    values = np.array([[0.0, 10.0, 30.0], [0.0, 1.0, 2.0]])
    np.testing.assert_allclose(saturation.at_loss(losses, np.exp(-1.0), values), [10, 2])
    np.testing.assert_allclose(saturation.at_loss(losses, np.exp(-0.75), values), [7.5, 1.5])


def test_slope_for_each_doubling():
    rates = np.array([0.04, 0.08, 0.16])
    slopes = saturation.per_doubling(rates, np.array([[0.1, 3.0], [0.3, 2.0], [0.5, 1.0]]))
    np.testing.assert_allclose(slopes, [0.2, -1.0])
    assert not saturation.shown("slope", {"one": slopes}).met
    rising = slopes[0] + 0.01 * np.arange(8.0)
    assert saturation.shown("slope", {"one": rising}).met
    assert saturation.shown("slope", {"one": rising, "two": -rising}, most=True).met


def test_correlation_within_rows_does_not_see_what_differs_between_them():
    """Both grow with the row; in each row one falls where the other rises."""
    rows = 100 * np.arange(3.0)[:, None]
    x = rows + np.arange(8.0)
    r, p = saturation.correlation(x, rows - np.arange(8.0))
    assert r == pytest.approx(-1) and p < 1e-6
    r, p = saturation.correlation(x, x)
    assert r == pytest.approx(1) and p > 0.99
    assert saturation.correlation(x, np.ones((3, 8))) == (0.0, 1.0)


@pytest.mark.script
def test_rectified_values_are_those_of_the_network():
    """Four layers with channels last; the output is that of the last one's weights."""
    net = _networks.convolutional(size=16)
    theta = net.init(jax.random.key(0))
    layers = _networks.rectified(theta, net.inputs[:5])
    assert [layer.shape for layer in layers] == [(5, 8, 8, 4), (5, 8, 8, 4), (5, 4, 4, 8), (5, 32)]
    assert all(float(layer.min()) == 0 for layer in layers)
    outputs = layers[-1] @ theta["4"]["weight"] + theta["4"]["bias"]
    np.testing.assert_allclose(net.predict(theta, net.inputs[:5]), outputs, rtol=1e-5)
    assert jnp.ndim(outputs) == 2
