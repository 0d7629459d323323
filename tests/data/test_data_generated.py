"""Generated data: reproducible, the same example whatever the size, and nothing leaks."""

import itertools
import math

import jax
import numpy as np
import pytest
from helpers import refused
from scipy import ndimage

from sde_sgd.data import _augment, _generate, _teacher
from sde_sgd.data._augment import augmented_digits
from sde_sgd.data._bundled import digits
from sde_sgd.data._teacher import teacher

KEY = jax.random.key(7)
STILL = {"rotation": 0.0, "shift": 0.0, "scale": 0.0, "shear": 0.0}


# Augmented digits


def test_augmented_digits_shapes_and_scale() -> None:
    data = augmented_digits(9000, key=KEY)
    assert data.inputs.shape == (9000, 64) and data.targets.shape == (9000,)
    assert data.test_inputs.shape == (517, 64) and data.classes == 10
    assert data.inputs.dtype == digits().inputs.dtype
    assert abs(float(data.inputs.mean())) < 0.1
    assert 0.7 < float(data.inputs.std()) < 1.1
    plain = digits(key=KEY)
    assert float(data.inputs.min()) >= float(plain.inputs.min()) - 1e-5
    assert float(data.inputs.max()) <= float(plain.inputs.max()) + 1e-5


def test_augmented_digits_start_with_the_originals_and_keep_the_test_set() -> None:
    data, plain = augmented_digits(5000, key=KEY), digits(1280, key=KEY)
    np.testing.assert_array_equal(data.inputs[:1280], plain.inputs)
    np.testing.assert_array_equal(data.targets, np.resize(plain.targets, 5000))
    np.testing.assert_array_equal(data.test_inputs, plain.test_inputs)
    np.testing.assert_array_equal(data.test_targets, plain.test_targets)
    few = augmented_digits(100, key=KEY)
    np.testing.assert_array_equal(few.inputs, plain.inputs[:100])
    # Every later example is really moved.
    moved = np.abs(data.inputs[1280:] - np.resize(plain.inputs, (3720, 64))).max(axis=1)
    assert moved.min() > 1e-3


def test_no_example_is_made_from_a_test_original() -> None:
    """With maps that do nothing, every training example is one of the training originals."""
    data = augmented_digits(4500, key=KEY, test_size=1200, **STILL)
    plain = digits(1280, key=KEY)
    train = {row.tobytes() for row in np.asarray(plain.inputs)}
    test = {row.tobytes() for row in np.asarray(plain.test_inputs)}
    assert not train & test
    assert {row.tobytes() for row in np.asarray(data.inputs)} == train
    assert {row.tobytes() for row in np.asarray(data.test_inputs)} == test
    np.testing.assert_array_equal(data.inputs, np.resize(plain.inputs, (4500, 64)))
    np.testing.assert_array_equal(data.test_targets, np.resize(plain.test_targets, 1200))


@pytest.mark.script
def test_augmented_digits_do_not_depend_on_the_sizes() -> None:
    long = augmented_digits(9000, key=KEY, test_size=2000)
    short = augmented_digits(4097, key=KEY, test_size=700)
    np.testing.assert_array_equal(short.inputs, long.inputs[:4097])
    np.testing.assert_array_equal(short.targets, long.targets[:4097])
    np.testing.assert_array_equal(short.test_inputs, long.test_inputs[:700])
    again = augmented_digits(4097, key=KEY, test_size=700)
    np.testing.assert_array_equal(again.inputs, short.inputs)
    other = augmented_digits(4097, key=jax.random.key(8))
    assert not np.array_equal(other.inputs, short.inputs)
    # The test set's maps are not the training set's.
    same = augmented_digits(2000, key=KEY, train_size=1)
    assert not np.array_equal(same.inputs[1], same.inputs[2])


def test_transformation_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    count = 20
    images = rng.uniform(0, 16, (count, 8, 8)).astype(np.float32)
    maps = rng.uniform(-1, 1, (count, 5)) * [0.5, 0.3, 0.3, 1.5, 1.5]
    ours = _augment._transform(
        jax.numpy.asarray(images), jax.numpy.asarray(maps, "float32"), jax.numpy.float32(-2)
    )
    centre = np.full(2, 3.5)
    for image, (angle, scale, shear, *shift), mine in zip(images, maps, ours, strict=True):
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        inverse = np.linalg.inv((1 + scale) * turn @ np.array([[1, shear], [0, 1]]))
        expected = ndimage.affine_transform(
            image.astype(np.float64),
            inverse,
            offset=centre - inverse @ (centre + shift),
            order=1,
            mode="grid-constant",
            cval=-2,
        )
        np.testing.assert_allclose(mine, expected, atol=1e-4)


def test_maps_stay_inside_their_limits_and_fill_them() -> None:
    """A shift alone moves a lone pixel's centre of mass by itself."""
    limits = jax.numpy.asarray([0.0, 0.0, 0.0, 0.5, 0.5], dtype="float32")
    point = np.zeros((1, 64), np.float32)
    point[0, 3 * 8 + 4] = 1.0
    copies, _ = _augment._copies(
        jax.numpy.arange(4096, dtype="uint32"),
        jax.numpy.asarray(point),
        jax.numpy.zeros(1, "int32"),
        _generate.words(KEY, 1),
        limits,
        jax.numpy.float32(0),
    )
    images = np.asarray(copies).reshape(-1, 8, 8)
    np.testing.assert_allclose(images.sum(axis=(1, 2)), 1, atol=1e-5)
    moved = np.stack([images.sum(axis=2) @ np.arange(8) - 3, images.sum(axis=1) @ np.arange(8) - 4])
    assert np.abs(moved).max() <= 0.5 + 1e-5 and np.abs(moved).max() > 0.49
    # Uniform on [−½, ½]: mean 0 ± 5 standard errors, variance 1/12, no correlation.
    assert np.abs(moved.mean(axis=1)).max() < 5 * math.sqrt(1 / 12 / 4096)
    np.testing.assert_allclose(moved.var(axis=1), 1 / 12, rtol=0.08)
    assert abs(np.corrcoef(moved)[0, 1]) < 5 / math.sqrt(4096)


def test_augmented_digits_without_a_test_set() -> None:
    data = augmented_digits(2000, key=KEY, train_size=1797)
    assert len(data.test_inputs) == 0
    assert len(augmented_digits(10, key=KEY, test_size=0).test_inputs) == 0
    with refused(match=r"test_size must be 0 or None when train_size = 1797"):
        augmented_digits(2000, key=KEY, train_size=1797, test_size=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, r"size must be an integer >= 1, got 0"),
        ({"size": 1.5}, r"size must be an integer"),
        ({"train_size": 1798}, r"train_size must be <= the 1797"),
        ({"train_size": 0}, r"train_size must be an integer >= 1"),
        ({"test_size": -1}, r"test_size must be an integer >= 0"),
        ({"key": 3}, r"key must be one typed key"),
        ({"key": jax.random.split(KEY)}, r"key must be one typed key"),
        ({"rotation": 181}, r"rotation must be in \[0, 180\], got 181\. In degrees"),
        ({"rotation": -1}, r"rotation must be finite and >= 0"),
        ({"shift": 9.0}, r"shift must be in \[0, 8\], got 9\. In pixels"),
        ({"shift": "much"}, r"shift must be a real number"),
        ({"scale": 1.0}, r"scale must be finite and >= 0 and < 1, got 1"),
        ({"scale": math.nan}, r"scale must be finite"),
        ({"shear": [0.1, 0.2]}, r"shear must be one number, got shape \(2,\)"),
    ],
)
def test_augmented_digits_refuse_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with refused(match=message):
        augmented_digits(**{"size": 10, "key": KEY, **arguments})


# Teacher


@pytest.mark.script
def test_teacher_is_reproducible_and_does_not_depend_on_the_sizes() -> None:
    long = teacher(6000, key=KEY, test_size=5000)
    short = teacher(4097, key=KEY, test_size=3)
    assert long.inputs.shape == (6000, 32) and long.test_inputs.shape == (5000, 32)
    assert long.name == "teacher 32-64-64-10" and long.classes == 10
    np.testing.assert_array_equal(short.inputs, long.inputs[:4097])
    np.testing.assert_array_equal(short.targets, long.targets[:4097])
    np.testing.assert_array_equal(short.test_inputs, long.test_inputs[:3])
    np.testing.assert_array_equal(short.test_targets, long.test_targets[:3])
    again = teacher(6000, key=KEY, test_size=5000)
    np.testing.assert_array_equal(again.inputs, long.inputs)
    np.testing.assert_array_equal(again.targets, long.targets)
    other = teacher(6000, key=jax.random.key(8), test_size=0)
    assert not np.array_equal(other.inputs, long.inputs)
    assert len(other.test_inputs) == 0 and other.test_inputs.shape == (0, 32)
    # No example is met twice, in the training set or between the sets.
    rows = np.concatenate([long.inputs, long.test_inputs])
    assert len(np.unique(rows[:, 0])) > 0.999 * len(rows)
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.script
def test_teacher_inputs_are_standard_normal() -> None:
    inputs = np.asarray(teacher(8000, key=KEY, inputs=6, test_size=0).inputs, np.float64)
    error = 1 / math.sqrt(8000)
    assert np.abs(inputs.mean(axis=0)).max() < 5 * error
    assert np.abs(np.cov(inputs.T) - np.eye(6)).max() < 5 * math.sqrt(2) * error


@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
def test_labels_are_the_teachers(hidden: tuple[int, ...]) -> None:
    """A second implementation of the network, in float64, from its weights."""
    data = teacher(3000, key=KEY, inputs=5, hidden=hidden, classes=4, gain=1.5, test_size=1000)
    network = _teacher._network(KEY, (5, *hidden, 4), 1.5)
    widths = [weight.shape for weight in network.weights]
    assert widths == list(itertools.pairwise((5, *hidden, 4)))
    for inputs, labels in ((data.inputs, data.targets), (data.test_inputs, data.test_targets)):
        activity = np.asarray(inputs, np.float64)
        for layer, weight in enumerate(network.weights):
            activity = (np.tanh(activity) if layer else activity) @ np.asarray(weight, np.float64)
        logits = (activity - np.asarray(network.centre)) / np.asarray(network.spread)
        assert np.abs(logits.mean(axis=0)).max() < 0.2
        np.testing.assert_allclose(logits.std(axis=0), 1, atol=0.15)
        top = np.sort(logits, axis=1)
        clear = top[:, -1] - top[:, -2] > 1e-4
        assert clear.mean() > 0.99
        np.testing.assert_array_equal(np.asarray(labels)[clear], logits.argmax(axis=1)[clear])


@pytest.mark.script
def test_teacher_weights_have_variance_gain_squared_over_fan_in() -> None:
    network = _teacher._network(KEY, (100, 200, 10), 3.0)
    for weight in network.weights:
        count = weight.size
        variance = float(np.asarray(weight).var()) * weight.shape[0]
        assert abs(variance / 9 - 1) < 5 * math.sqrt(2 / count)


@pytest.mark.script
def test_classes_are_roughly_balanced() -> None:
    for seed in range(4):
        data = teacher(10_000, key=jax.random.key(seed), test_size=0)
        shares = np.bincount(data.targets, minlength=10) / 1000
        assert shares.min() > 0.5 and shares.max() < 1.7


def test_label_noise_redraws_a_fraction_of_the_training_labels() -> None:
    size, noise, classes = 8000, 0.3, 10
    clean, noisy = (teacher(size, key=KEY, label_noise=p, test_size=500) for p in (0.0, noise))
    np.testing.assert_array_equal(noisy.inputs, clean.inputs)
    np.testing.assert_array_equal(noisy.test_targets, clean.test_targets)
    # Exactly `noise · size` are redrawn; each changes with probability 1 − 1/classes.
    redrawn, probability = noise * size, 1 - 1 / classes
    changed = int((np.asarray(noisy.targets) != np.asarray(clean.targets)).sum())
    band = 5 * math.sqrt(redrawn * probability * (1 - probability))
    assert abs(changed - redrawn * probability) < band
    again = teacher(size, key=KEY, label_noise=noise, test_size=0)
    np.testing.assert_array_equal(again.targets, noisy.targets)
    # Wholly random labels agree with the teacher's by chance only.
    random = np.asarray(teacher(size, key=KEY, label_noise=1, test_size=0).targets)
    agreement = (random == np.asarray(clean.targets)).mean()
    assert abs(agreement - 0.1) < 5 * math.sqrt(0.1 * 0.9 / size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, r"size must be an integer >= 1"),
        ({"size": "many"}, r"size must be an integer"),
        ({"key": 3}, r"key must be one typed key"),
        ({"inputs": 0}, r"inputs must be an integer >= 1"),
        ({"hidden": 5}, r"hidden must be a tuple of widths such as \(64, 64\)"),
        ({"hidden": (64, 0)}, r"hidden\[1\] must be an integer >= 1, got 0"),
        ({"hidden": (8, 1)}, r"hidden\[-1\] must be >= 2, got 1"),
        ({"hidden": (), "inputs": 1}, r"inputs \(without hidden layers\) must be >= 2"),
        ({"classes": 1}, r"classes must be an integer >= 2"),
        ({"classes": 1025}, r"classes must be in 2\.\.1024, got 1025"),
        pytest.param(
            {"classes": 20, "inputs": 1},
            r"classes = 20 are too many .* Raise inputs or hidden",
            marks=pytest.mark.script,
        ),
        ({"gain": 0.0}, r"gain must be finite and >= 0.001, got 0"),
        ({"gain": 2e3}, r"gain must be in \[0.001, 1000\]"),
        pytest.param(
            {"gain": 1e-3, "hidden": (4,) * 14},
            r"gain must be larger .* Raise gain",
            marks=pytest.mark.script,
        ),
        ({"label_noise": 1.1}, r"label_noise must be in \[0, 1\], got 1.1"),
        ({"label_noise": -0.1}, r"label_noise must be finite and >= 0"),
        ({"label_noise": math.nan}, r"label_noise must be finite"),
        ({"label_noise": [0.1, 0.2]}, r"label_noise must be one number"),
        ({"test_size": -1}, r"test_size must be an integer >= 0"),
    ],
)
def test_teacher_refuses_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with refused(match=message):
        teacher(**{"size": 10, "key": KEY, "test_size": 10, "hidden": (8,), **arguments})
