"""Curves in the place of digits, against their description step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from helpers import refused
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from sde_sgd import data
from sde_sgd.data import _mnist1d

KEY = jax.random.key(4)


def by_description(draws):
    """With the operations that the source names: pad, stretch, scale, shift, noise, shear, shorten."""
    digit, pad, shift = (int(one) for one in draws[:3])
    padded = np.concatenate([_mnist1d.shapes()[digit].astype(np.float64) + 1e-12, np.zeros(pad)])

    def stretched(values, count):
        return np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(values)), values)

    curve = np.roll(stretched(padded, 72) * (1 + 0.4 * (float(draws.scale) - 0.5)), shift)
    smooth = scipy.ndimage.gaussian_filter(0.25 * np.asarray(draws.smooth, np.float64), 2)
    curve = np.where(curve != 0, curve, smooth) + 0.02 * np.asarray(draws.rough, np.float64)
    curve = curve - 0.75 * (float(draws.shear) - 0.5) * np.linspace(-0.5, 0.5, 72)
    return stretched(curve, 40)


@pytest.mark.script
def test_a_curve_is_what_its_description_makes_of_the_same_draws():
    rng = np.random.default_rng(0)
    for digit in range(10):
        for pad, shift in ((36, 0), (60, 47), (int(rng.integers(36, 61)), int(rng.integers(48)))):
            draws = _mnist1d.Draws(
                *(jnp.int32(one) for one in (digit, pad, shift)), *jnp.asarray(rng.random(2), jnp.float32),
                *jnp.asarray(rng.normal(size=(2, 72)), jnp.float32),
            )  # fmt: skip
            np.testing.assert_allclose(_mnist1d.curve(draws), by_description(draws), atol=2e-5)


def test_shapes_begin_and_end_at_zero_and_differ():
    shapes = _mnist1d.shapes()
    np.testing.assert_array_equal(shapes[:, [0, -1]], 0.0)
    np.testing.assert_allclose(shapes.std(axis=1), 1 / 6, rtol=1e-5)
    assert len(np.unique(shapes, axis=0)) == 10


def test_an_example_is_the_same_in_a_set_of_any_size():
    small, large = data.mnist1d(5, key=KEY, test_size=3), data.mnist1d(5_000, key=KEY, test_size=20)
    np.testing.assert_array_equal(small.inputs, large.inputs[:5])
    np.testing.assert_array_equal(small.targets, large.targets[:5])
    np.testing.assert_array_equal(small.test_inputs, large.test_inputs[:3])
    assert (large.name, large.classes, large.inputs.shape) == ("MNIST-1D", 10, (5_000, 40))
    assert not np.array_equal(large.inputs[:20], large.test_inputs)
    other = data.mnist1d(5, key=jax.random.key(5), test_size=3)
    assert not np.array_equal(other.targets, small.targets) or not np.array_equal(other.inputs, small.inputs)


def test_draws_are_uniform_and_inputs_have_one_mean_and_scale():
    many = data.mnist1d(40_000, key=KEY, test_size=0)
    counts = np.bincount(many.targets, minlength=10)
    # a χ² with 9 degrees of freedom is above 30 in .04 % of all cases
    assert ((counts - 4_000) ** 2 / 4_000).sum() < 30
    np.testing.assert_allclose((many.inputs.mean(), many.inputs.std()), (0.0, 1.0), atol=0.02)


def test_labels_may_be_noisy():
    clean, noisy = (data.mnist1d(2_000, key=KEY, label_noise=p, test_size=10) for p in (0.0, 0.5))
    np.testing.assert_array_equal(clean.inputs, noisy.inputs)
    np.testing.assert_array_equal(clean.test_targets, noisy.test_targets)
    assert 0.4 < float((clean.targets != noisy.targets).mean()) < 0.5


@pytest.mark.script
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")
def test_it_is_as_hard_as_that_of_the_source():
    """After 4,000 examples of the source's own program these two get .316 and .614 right."""
    curves = data.mnist1d(4_000, key=KEY, test_size=4_000)
    x, y, test_x, test_y = map(
        np.asarray, (curves.inputs, curves.targets, curves.test_inputs, curves.test_targets)
    )
    linear = LogisticRegression(max_iter=1_000).fit(x, y).score(test_x, test_y)
    network = MLPClassifier((100, 100), alpha=1.0, max_iter=100, random_state=0)
    deep = network.fit(x, y).score(test_x, test_y)
    assert abs(linear - 0.316) < 0.03, linear
    assert abs(deep - 0.614) < 0.03, deep


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, r"size must be an integer >= 1, got 0"),
        ({"size": 10, "test_size": -1}, r"test_size must be an integer >= 0, got -1"),
        ({"size": 10, "label_noise": 1.5}, r"label_noise must be in \[0, 1\], got 1\.5"),
        ({"size": 10, "key": 3}, r"key must be one typed key"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with refused(match=message):
        data.mnist1d(**{"key": KEY, **arguments})
