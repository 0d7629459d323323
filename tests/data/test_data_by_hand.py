"""Data sets so small that every number is known beforehand, and what may not leak between their parts."""

import itertools
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd.data import _augment, _files, _generate
from sde_sgd.data._augment import augmented_digits
from sde_sgd.data._bundled import digits
from sde_sgd.data._dataset import Dataset
from sde_sgd.data._label_noise import with_label_noise
from sde_sgd.data._split import split
from sde_sgd.data._teacher import teacher

KEY = jax.random.key(7)
ROWS = np.array([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0], [10.0, 5.0]])
LABELS = np.arange(4)


def parts(standardise, train_size=3):
    """The split of `ROWS`; its labels say which row became which."""
    made = split(ROWS, LABELS, train_size, key=KEY, classes=4, name="rows", standardise=standardise)
    return made, np.asarray(made.targets), np.asarray(made.test_targets)


def test_the_scale_is_that_of_the_training_set_alone():
    made, train, test = parts("features")
    chosen = ROWS[train, 0]
    np.testing.assert_allclose(made.inputs[:, 0], (chosen - chosen.mean()) / chosen.std(), rtol=1e-6)
    np.testing.assert_allclose(
        made.test_inputs[:, 0], (ROWS[test, 0] - chosen.mean()) / chosen.std(), rtol=1e-6
    )
    # a feature that is always the same is 0, in both
    np.testing.assert_array_equal(made.inputs[:, 1], 0)
    np.testing.assert_array_equal(made.test_inputs[:, 1], 0)
    whole, train, _ = parts("global")
    np.testing.assert_allclose(
        whole.inputs, (ROWS[train] - ROWS[train].mean()) / ROWS[train].std(), rtol=1e-6
    )
    assert sorted([*train, *test]) == [0, 1, 2, 3]


def test_a_constant_whose_mean_is_rounded_is_still_a_constant():
    """The standard deviation of a thousand times .1 is 1.4e-17."""
    rows = np.column_stack([np.full(1000, 0.1), np.arange(1000.0)])
    made = split(rows, np.arange(1000) % 2, 1000, key=jax.random.key(0), classes=2, name="rows")
    assert np.abs(made.inputs[:, 0]).max() < 1e-12
    np.testing.assert_allclose(np.std(made.inputs[:, 1]), 1, rtol=1e-6)


def test_all_examples_may_be_for_training():
    made, train, test = parts("none", train_size=4)
    np.testing.assert_array_equal(made.inputs, ROWS[train])
    assert test.size == 0
    with refused(match="train_size must be <= the 4 examples of 'rows', got 5"):
        parts("none", train_size=5)


def test_numbers_of_examples_go_on_from_block_to_block(monkeypatch):
    monkeypatch.setattr(_generate, "_BLOCK", 4)
    for size in (3, 4, 9):
        (made,) = _generate.by_block(lambda numbers: (numbers,), size)
        np.testing.assert_array_equal(made, np.arange(size))


def test_what_is_outside_of_an_image_is_the_background():
    """Shifts of up to a whole image leave rows or columns empty in most copies."""
    data = augmented_digits(200, key=KEY, train_size=10, rotation=0, shift=8, scale=0, shear=0)
    background = digits(10, key=KEY).inputs.min()
    corners = np.asarray(data.inputs[10:]).reshape(-1, 8, 8)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_allclose(corners.max(axis=1).min(), background, rtol=1e-5)
    assert (np.abs(corners - background) < 1e-4).mean() > 0.4


def test_training_and_test_copies_have_maps_of_their_own(monkeypatch):
    seen = []
    enlarge = _augment._enlarge

    def noted(inputs, targets, size, key_words, **options):
        seen.append(np.asarray(key_words))
        return enlarge(inputs, targets, size, key_words, **options)

    monkeypatch.setattr(_augment, "_enlarge", noted)
    augmented_digits(20, key=KEY, train_size=10, test_size=20)
    assert len(seen) == 2
    assert (seen[0] != seen[1]).any()


@pytest.mark.script
def test_no_input_of_a_teacher_is_in_both_sets():
    data = teacher(50, key=KEY, inputs=3, hidden=(4,), classes=2, test_size=50)
    rows = [{row.tobytes() for row in np.asarray(part)} for part in (data.inputs, data.test_inputs)]
    assert len(rows[0]) == len(rows[1]) == 50
    assert not rows[0] & rows[1]
    names = [_generate.words(KEY, purpose).tobytes() for purpose in range(4)]
    assert all(one != other for one, other in itertools.combinations(names, 2))


@pytest.mark.skipif(not Path(os.devnull).exists(), reason="needs a special file")
def test_a_special_file_is_no_file():
    with (
        refused(match="is not a regular file; a file was expected"),
        _files.opened(Path(os.devnull)),
    ):
        pass


def test_labels_are_below_the_number_of_classes():
    Dataset(ROWS, LABELS, classes=4)
    for labels in (LABELS + 1, LABELS - 1):
        with refused(match=r"targets must lie in 0\.\.3, got labels from"):
            Dataset(ROWS, labels, classes=4)


@pytest.mark.parametrize(("fraction", "redrawn"), [(0.0, 0), (0.24, 2), (0.28, 3), (1.0, 10)])
def test_the_number_of_redrawn_labels_is_rounded(fraction, redrawn):
    """Of a million classes: that a label keeps its own by chance has odds 1e-6."""
    data = Dataset(np.zeros((10, 1)), np.arange(10), classes=1_000_000)
    noisy = with_label_noise(data, fraction, key=KEY)
    assert int((np.asarray(noisy.targets) != np.arange(10)).sum()) == redrawn


def test_no_two_layers_start_alike():
    data = Dataset(np.zeros((4, 3)), np.arange(4) % 3, classes=3)
    layers = ss.problems.mlp(data, hidden=(3, 3)).init(KEY)
    weights = [np.asarray(layer["weight"]) for layer in layers]
    assert [weight.shape for weight in weights] == [(3, 3)] * 3
    assert all(np.abs(one - other).max() > 0.1 for one, other in itertools.combinations(weights, 2))
