"""Data sets from one's own arrays: what integers mean, and what is refused with a way out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ensemble, float64, losses_at, refused
from scipy import sparse

import sde_sgd as ss
from sde_sgd.data import Dataset, split

X = np.random.default_rng(0).normal(size=(6, 2))
Y = np.array([0, 1, 2, 2, 1, 0])
KEY = jax.random.key(0)


class Table:
    """What a table of another library shows NumPy."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


@pytest.mark.parametrize("wrap", [np.asarray, jnp.asarray, lambda rows: np.asarray(rows).tolist(), Table])
def test_arrays_lists_and_tables_give_the_same_data(wrap):
    data = Dataset(wrap(X), wrap(Y), wrap(X[:2]), wrap(Y[:2]))
    np.testing.assert_array_equal(data.inputs, X.astype(np.float32))
    np.testing.assert_array_equal(data.test_inputs, data.inputs[:2])
    np.testing.assert_array_equal(data.targets, Y)
    assert data.classes == 3 and data.targets.dtype == jnp.int32


def test_a_pandas_table_gives_its_numbers():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [0.5, 1.5, 2.5], "b": [True, False, True], "c": [1, 2, 3]})
    data = Dataset(frame, pandas.Series([0, 1, 1], dtype="Int64"))
    np.testing.assert_array_equal(data.inputs, [[0.5, 1, 1], [1.5, 0, 2], [2.5, 1, 3]])
    assert data.inputs.dtype == jnp.float32 and data.classes == 2
    frame["d"] = ["x", "y", "z"]
    with refused(match=r"inputs must hold real numbers, got 'x', a str, at \(0, 3\)"):
        Dataset(frame, [0, 1, 1])
    with refused(match=r"^targets must .*(<NA>, a NAType, at \(1,\)|NaN .* first in row 1)"):
        Dataset(frame[["a"]], pandas.Series([0, None, 1], dtype="Int64"))


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_integer_inputs_stay_integers_of_either_sign(dtype):
    data = Dataset(np.array([[1, 2], [3, 100]], dtype), [0, 1], np.array([[5, 6]], dtype), [1])
    for part in (data.inputs, data.test_inputs):
        assert part.dtype == jnp.int32
    np.testing.assert_array_equal(data.inputs, [[1, 2], [3, 100]])
    assert int((data.inputs[0] - data.inputs[1])[1]) == -98


def test_no_integer_is_rounded():
    big = np.array([[2**24 + 1], [2**31 - 1]])
    np.testing.assert_array_equal(Dataset(big, [0, 1]).inputs, big)
    for beyond in (2**31, -(2**31) - 1, 2**62):
        with refused(match=rf"^inputs must hold integers within ±2³¹ .*got {beyond}\..*jax_enable"):
            Dataset(np.array([[1], [beyond]]), [0, 1])
    with refused(match=r"^test_inputs must hold integers within"):
        Dataset([[1], [2]], [0, 1], [[2**40]], [1])
    with float64():
        kept = Dataset([[1], [2]], [0, 1], [[2**40]], [1])
        assert kept.inputs.dtype == kept.test_inputs.dtype == jnp.int64
        assert int(kept.test_inputs[0, 0]) == 2**40
        assert Dataset([[1], [2]], [0, 1]).inputs.dtype == jnp.int32
        assert Dataset(X, Y).inputs.dtype == jnp.float64
        with refused(match="inputs must hold integers within"):
            Dataset(np.array([[1], [2**63]], np.uint64), [0, 1])


def test_truth_values_are_numbers_as_inputs_and_two_classes_as_targets():
    data = Dataset(X > 0, X[:, 0] > 0, X[:1] > 0, X[:1, 0] > 0)
    assert data.inputs.dtype == jnp.float32 and data.classes == 2
    np.testing.assert_array_equal(data.inputs, (X > 0).astype(np.float32))
    np.testing.assert_array_equal(data.targets, (X[:, 0] > 0).astype(int))
    assert Dataset(X, np.ones(6, bool)).classes == 2


def test_one_part_is_not_of_integers_and_the_other_of_floats():
    with refused(match=r"^inputs and test_inputs must both be integers or both be floats"):
        Dataset([[1], [2]], [0, 1], [[0.5]], [1])
    assert Dataset([[1], [2]], [0, 1], np.zeros((0, 1)), np.zeros(0)).test_inputs.dtype == jnp.int32
    assert Dataset(X, Y, np.zeros((0, 2), int), []).test_inputs.dtype == jnp.float32


def test_integer_targets_are_classes_and_floats_are_not():
    assert Dataset(X, Y).classes == 3
    assert Dataset(X, Y, classes=5).classes == 5
    assert Dataset(X, Y.astype(np.uint8)).classes == 3
    real = Dataset(X, Y.astype(float))
    assert real.classes is None and real.targets.dtype == jnp.float32
    assert ss.problems.mlp(Dataset(X, Y), hidden=(3,)).predict.sizes == (2, 3, 3)
    assert ss.problems.mlp(real, hidden=(3,), loss="squared_error").predict.sizes == (2, 3, 1)
    sequences = Dataset(X, np.array([[300, 2]] * 6), X[:1], np.array([[1, 2]]))
    assert sequences.classes is None and sequences.targets.dtype == jnp.int32


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (Y + 1, r"^targets are integers, .*go from 1 to 3\. Give targets - 1\. .*astype\(float\)"),
        (Y - 1, r"^targets are integers, .*go from -1 to 1\. np.unique\(targets, return_inverse"),
        (
            2 * Y,
            r"^targets are integers, .*from 0 to 4 without 1\. .*classes=5; .*np.unique.*astype\(float\)",
        ),
        (Y + 5, r"^targets are integers, .*from 5 to 7 without 0"),
        (0 * Y, r"^targets are integers, .*are all 0, which is one class\. Give classes="),
        (
            Y[:, None],
            r"^targets must be class labels of shape \(N,\), got int64 of shape \(6, 1\): targets\[:, 0",
        ),
        (np.eye(3, dtype=bool)[Y], r"^targets must be class labels .* targets.argmax\(axis=1\)"),
        (Y + 1j, r"^targets must hold real numbers, got complex ones"),
        (list("abcabc"), r"^targets must hold real numbers, got strings; .*np.unique\(targets"),
        (
            np.where(Y == 2, np.nan, 1.0),
            r"^targets must be finite; .*NaN or infinity in 2 of 6 rows, first in row 2",
        ),
    ],
)
def test_targets_that_fit_no_reading_are_refused(targets, message):
    with refused(match=message):
        Dataset(X, targets)


def test_labels_are_what_the_number_of_classes_says():
    for targets, message in [
        (
            Y.astype(float),
            r"^targets must be integer class labels of shape \(N,\), got float64 .*astype\(int\)",
        ),
        (Y + 0.5, r"^targets must be integer class labels .*Leave classes out for real targets"),
        (np.eye(3)[Y], r"^targets must be integer class labels .*targets\.argmax\(axis=1\)"),
        (np.asarray(Y, float)[:, None], r"^targets must be integer class labels .*targets\[:, 0\]"),
        (Y + 1, r"^targets must lie in 0\.\.2, got labels from 1 to 3\. .*give targets - 1"),
    ]:
        with refused(match=message):
            Dataset(X, targets, classes=3)
    with refused(match=r"^test_targets must lie in 0\.\.2, got labels .*give classes=4"):
        Dataset(X, Y, X, Y + 1)
    for classes in (1, 2.5, "three"):
        with refused(match="classes must be an integer >= 2"):
            Dataset(X, Y, classes=classes)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (X[:5], r"^inputs and targets must have the same number of rows, got shapes \(5, 2\) and \(6,\)\.$"),
        (X.T, r"^inputs and targets .*Examples are rows: give inputs\.T"),
        (
            [[1.0, 2.0]] * 5 + [[1.0]],
            r"^inputs must have rows of one shape, but row 0 .*\(2,\) and row 5 .*\(1,\)",
        ),
        (
            np.array([[1.0]] * 5 + [None], dtype=object),
            r"^inputs must hold real numbers, got \[1\.0\], a list",
        ),
        ([None] * 6, r"^inputs must hold real numbers, got None, a NoneType, at \(0,\)"),
        ({"a": 1}, r"^inputs must be an array, a list or a table .* got dict"),
        ((row for row in X), r"^inputs must be an array, a list or a table .* got generator"),
        (
            sparse.csr_array(X),
            r"^inputs must be an array, .*got csr_array .*Give inputs\.toarray",
        ),
        (np.array(3.0), r"^inputs must be an array, .* got ndarray shape \(\)"),
        (np.datetime64("2020-01-01") + np.arange(6), r"^inputs must hold real numbers, got dates"),
        (X + 0j, r"^inputs must hold real numbers, got complex ones \(complex128\)"),
        ([1j] * 6, r"^inputs must hold real numbers, got complex"),
        (np.ma.masked_greater(X, 0), r"^inputs must not hold masked entries; fill them"),
        (np.where(X[3, 1] == X, np.inf, X), r"^inputs must be finite; .* in 1 of 6 rows, first in row 3"),
        (np.zeros((0, 2)), r"^inputs and targets must have the same number of rows"),
    ],
)
def test_inputs_that_are_no_examples_are_refused(inputs, message):
    with refused(match=message):
        Dataset(inputs, Y)


def test_no_message_holds_a_whole_array():
    objects = np.array([list(range(1000))] * 6 + [None], dtype=object)[:6]
    with refused(match="inputs must hold") as error:
        Dataset(objects, Y)
    assert len(str(error.value)) < 300


def test_a_data_set_is_not_built_of_traced_numbers():
    with refused(match=r"^inputs must be numbers that are known, not traced ones"):
        jax.jit(lambda x: Dataset(x, Y).inputs)(X)


def test_parts_of_different_shapes_are_refused():
    with refused(match=r"^test_targets have shape \(3,\) per example, targets have \(\)"):
        Dataset(X, Y.astype(float), X, np.zeros((6, 3)))
    with refused(match=r"^test_inputs have shape \(3,\) per example, inputs have \(2,\)"):
        Dataset(X, Y, np.zeros((6, 3)), Y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ss.problems.mlp(Dataset(X, Y * 1.0)), r"squared_error.*y\.astype\(int\)"),
        (lambda: ss.problems.softmax_regression(Dataset(X, Y * 1.0)), r"y\.astype\(int\)"),
        (lambda: ss.problems.linear_regression(Dataset(X, Y)), r"y\.astype\(float\)"),
        (lambda: ss.problems.mlp(Dataset(X, np.eye(3, dtype=int)[Y])), r"y\.argmax\(axis=1\)"),
        (
            lambda: ss.problems.mlp(Dataset(X, np.eye(3, dtype=int)[Y]), loss="squared_error"),
            r"targets must be floats for the squared error .*y\.astype\(float\)",
        ),
    ],
)
def test_a_model_says_how_to_give_the_targets_it_needs(make, message):
    with refused(match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda data: ss.problems.mlp(data, hidden=(3,)),
        pytest.param(
            lambda data: ss.problems.resnet(data, depth=8, width=2, groups=1, image_shape=(4, 4)),
            marks=pytest.mark.script,
        ),
    ],
    ids=["mlp", "resnet"],
)
def test_integers_are_numbers_to_a_model_that_multiplies_them(make):
    counts = np.random.default_rng(1).integers(0, 5, (6, 16))
    problem, other = make(Dataset(counts, Y)), make(Dataset(counts.astype(float), Y))
    theta = ensemble(problem.init(KEY), 1)
    np.testing.assert_array_equal(losses_at(problem, theta), losses_at(other, theta))


def test_split_keeps_ids_and_scales_measurements():
    ids = np.arange(12).reshape(6, 2)
    data = split(ids, Y, 4, key=KEY, standardise="none")
    assert data.inputs.dtype == jnp.int32 and data.classes == 3 and data.test_inputs.shape == (2, 2)
    assert sorted(np.concatenate([data.inputs, data.test_inputs]).ravel().tolist()) == list(range(12))
    with refused(match=r"^standardise must be given where inputs are integers: 'none' keeps"):
        split(ids, Y, 4, key=KEY)
    scaled = split(ids, Y, 4, key=KEY, standardise="features")
    np.testing.assert_allclose(scaled.inputs.mean(axis=0), 0, atol=1e-6)
    assert split(X, Y * 1.0, 6, key=KEY).classes is None
    with refused(match="same number of rows"):
        split(X, Y[:5], 4, key=KEY)
    # of the six labels the two of one class may all be in the test set
    assert {split(X, Y, 4, key=jax.random.key(seed)).classes for seed in range(5)} == {3}
    with refused(match="standardise must be one of"):
        split(X, Y, 4, key=KEY, standardise="x")
