"""Wrong labels on purpose: how many, of which classes, and what they become."""

import math

import jax
import numpy as np
import pytest
from helpers import assert_agree, class_data, refused, regression_data

import sde_sgd as ss
from sde_sgd.data import Dataset, with_label_noise

KEY = jax.random.key(5)
SIZE, CLASSES = 4000, 4
CLEAN = class_data(SIZE, 1, CLASSES)
OLD = np.asarray(CLEAN.targets)


def new_labels(fraction, to, key=KEY):
    noisy = with_label_noise(CLEAN, fraction, key=key, to=to)
    np.testing.assert_array_equal(noisy.inputs, CLEAN.inputs)
    np.testing.assert_array_equal(noisy.test_targets, CLEAN.test_targets)
    assert noisy.classes == CLASSES
    return np.asarray(noisy.targets)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_another_label_is_always_another(fraction):
    """Null: each of the three others has a third of the redrawn labels of a class; binomial errors."""
    new = new_labels(fraction, "other")
    assert (new != OLD).sum() == round(fraction * SIZE)
    counts = np.bincount((new - OLD)[new != OLD] % CLASSES, minlength=CLASSES)[1:]
    chosen = fraction * SIZE
    assert_agree(counts, np.full(3, chosen / 3), np.sqrt(chosen * 2) / 3)


def test_a_class_becomes_the_class_it_is_mapped_to():
    """Null: the chosen examples are a random subset, so of one class hypergeometrically many."""
    new = new_labels(0.4, {0: 1, 3: 2})
    assert set(new[OLD == 1]) == {1} and set(new[OLD == 2]) == {2}
    assert set(new[OLD == 0]) == {0, 1} and set(new[OLD == 3]) == {3, 2}
    counts = [(new[label == OLD] != label).sum() for label in (0, 3)]
    of_class = SIZE // CLASSES
    variance = of_class * 0.4 * 0.6 * (SIZE - of_class) / (SIZE - 1)
    assert_agree(counts, [0.4 * of_class] * 2, np.sqrt(variance))
    np.testing.assert_array_equal(new_labels(1.0, {np.int32(0): 1}), np.where(OLD == 0, 1, OLD))


@pytest.mark.script
def test_a_matrix_has_the_odds_of_new_labels_in_the_row_of_the_old_one():
    """Null: multinomial counts in each row."""
    odds = np.array([[0.7, 0.3, 0, 0], [0, 0, 0, 1], [0.25, 0.25, 0.25, 0.25], [0.5, 0, 0.1, 0.4]])
    new = new_labels(1.0, odds)
    of_class = SIZE // CLASSES
    counts = np.stack([np.bincount(new[label == OLD], minlength=CLASSES) for label in range(CLASSES)])
    # where the odds are 0 or 1 the error is 0: there the counts must be right
    assert_agree(counts, of_class * odds, np.sqrt(of_class * odds * (1 - odds)))
    kept = new_labels(0.5, odds)
    assert set(kept[OLD == 1]) == {1, 3}
    # rounded odds sum to 1 all the same, and lead to no class that is not there
    thirds = np.full((3, 3), np.float32(1 / 3))
    data = Dataset(np.zeros((3000, 1)), np.arange(3000) % 3)
    assert set(np.asarray(with_label_noise(data, 1, key=KEY, to=thirds).targets)) == {0, 1, 2}


@pytest.mark.parametrize("to", ["any", "other", {0: 1, 1: 2, 2: 3, 3: 0}])
def test_every_class_may_have_its_own_fraction(to):
    fractions = [0.0, 0.1234, 0.5, 1.0]
    new = new_labels(fractions, to)
    changed = [(new[label == OLD] != label).sum() for label in range(CLASSES)]
    if to == "any":
        # Null: each of those chosen keeps its label with odds 1/4
        chosen = np.array([0, 123, 500, 1000])
        assert_agree(changed, 0.75 * chosen, np.sqrt(chosen * 0.75 * 0.25))
    else:
        assert changed == [0, 123, 500, 1000]


def test_another_key_makes_other_labels_wrong():
    first, second = (new_labels(0.2, "other", jax.random.key(seed)) != OLD for seed in (0, 1))
    assert (first != second).any()
    assert 0 < (first & second).sum() < 0.4 * 800


@pytest.mark.parametrize(
    ("fraction", "to", "message"),
    [
        (
            np.linspace(0, 1, 3),
            "any",
            r"^fraction must be one number, or 4 of them, .* shape \(3,\)\. For several",
        ),
        ([0.1, 0.2, 0.3, 1.1], "any", r"^fraction must be <= 1, got 1\.1"),
        ([0.1, 0.2, -0.3, 1.0], "any", r"^fraction must be finite and >= 0, got -0\.3 \(entry 2\)"),
        ("a quarter", "any", r"^fraction must be a real number"),
        (0.1, "others", r"^to must be 'any' .*'other' .*; got 'others'"),
        (0.1, {0: 4}, r"^to must name classes in 0\.\.3, got 4 as to\[0\]"),
        (0.1, {-1: 0}, r"^to must name classes in 0\.\.3, got -1 as a class"),
        (0.1, {0: 1.5}, r"^to must be 'any' .*; got 1\.5 as to\[0\]"),
        (0.1, [1, 2, 3, 0], r"^to must be 'any' .*; got shape \(4,\)\. dict\(enumerate"),
        (0.1, np.eye(3), r"^to must be a matrix of shape \(4, 4\), .* got shape \(3, 3\)"),
        (0.1, np.ones((4, 4)), r"^to must have rows that sum to 1, got 4 in row 0: .*Divide by"),
        (0.1, np.eye(4) * 2 - 0.25, r"^to must be finite and >= 0, got -0\.25"),
        (0.1, None, r"^to must be finite|^to must be a real|^to must be a matrix"),
    ],
)
def test_what_is_no_noise_is_refused(fraction, to, message):
    with refused(match=message):
        with_label_noise(CLEAN, fraction, key=KEY, to=to)


def test_only_a_data_set_has_labels_to_make_wrong():
    with refused(match=r"^dataset must be a sde_sgd\.data\.Dataset, got tuple"):
        with_label_noise((OLD, OLD), 0.1, key=KEY)
    with refused(match=r"has real targets, not class labels .*y\.astype\(int\)"):
        with_label_noise(Dataset(OLD[:, None], OLD * 1.0), 0.1, key=KEY)
    assert ss.data.with_label_noise is with_label_noise


@pytest.mark.parametrize("to", [{}, {0: 0, 2: 2}])
def test_a_mapping_that_changes_nothing_is_refused(to, key):
    with refused(match="maps no class to another"):
        with_label_noise(class_data(), 0.1, key=key, to=to)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_label_noise_redraws_the_fraction_it_says(fraction):
    """Null: of the round(fN) labels redrawn each changes with odds 1 − 1/K; binomial bound."""
    size, classes = 4001, 5
    clean = class_data(size, 1, classes)
    noisy = with_label_noise(clean, fraction, key=KEY)
    changed = int((np.asarray(noisy.targets) != np.asarray(clean.targets)).sum())
    redrawn = round(fraction * size)
    odds = 1 - 1 / classes
    assert_agree(changed, redrawn * odds, math.sqrt(redrawn * odds * (1 - odds)))
    np.testing.assert_array_equal(noisy.inputs, clean.inputs)
    np.testing.assert_array_equal(noisy.test_targets, clean.test_targets)
    assert noisy.classes == classes
    assert np.asarray(noisy.targets).min() >= 0
    assert np.asarray(noisy.targets).max() < classes


def test_random_labels_are_uniform_whatever_the_clean_ones():
    """Null: with all labels redrawn each class has N/K of them, standard error √(N(K−1))/K."""
    size, classes = 4000, 4
    data = Dataset(np.zeros((size, 1)), np.zeros(size, int), classes=classes)
    counts = np.bincount(with_label_noise(data, 1.0, key=KEY).targets, minlength=classes)
    assert_agree(counts, np.full(4, size / 4), math.sqrt(size * 3) / 4)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, np.nan])
def test_label_noise_outside_the_unit_interval_is_refused(fraction):
    with refused(match="fraction must be"):
        with_label_noise(class_data(), fraction, key=KEY)


def test_label_noise_needs_labels():
    with refused(match="real targets, not class labels"):
        with_label_noise(regression_data(), 0.5, key=KEY)
