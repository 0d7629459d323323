"""Loaders of files the user has: right on good files, and a clear refusal of every bad one."""

import functools
import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from data_set_files import CODES, header, idx_bytes, write_cifar, write_mnist
from helpers import refused

from sde_sgd.data._cifar import cifar10
from sde_sgd.data._dataset import Dataset
from sde_sgd.data._idx import read_idx
from sde_sgd.data._mnist import fashion_mnist, mnist

MIB = 2**20
SCALED = functools.partial(mnist, standardise="global")


def peak_memory(call: Callable[[], object]) -> int:
    """Largest number of bytes held by Python and NumPy while `call` runs and fails."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# read_idx


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("compress", [False, True])
def test_read_idx_returns_what_was_written(tmp_path: Path, dtype: str, compress: bool) -> None:
    array = (np.arange(24).reshape(2, 3, 4) * 5).astype(dtype)
    if dtype != "u1":
        array = array - np.array(60, dtype)
    path = tmp_path / "some file"
    path.write_bytes(gzip.compress(idx_bytes(array)) if compress else idx_bytes(array))
    read = read_idx(str(path))
    assert read.dtype == np.dtype(dtype) and read.dtype.isnative and read.flags.writeable
    np.testing.assert_array_equal(read, array)


def test_read_idx_at_exactly_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(idx_bytes(np.arange(10, dtype=np.int32)))
    assert read_idx(path, max_bytes=40).shape == (10,)
    with refused(match=r"40 bytes, more than max_bytes = 39\. .*raise max_bytes"):
        read_idx(path, max_bytes=39)


GOOD = idx_bytes(np.arange(100, dtype=np.uint8))
GZIPPED = gzip.compress(GOOD, mtime=0)  # the names of parametrised tests hold these bytes


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"is empty.*Get the file again"),
        (b"\0\0\x08", r"starts with bytes 00 00 08; an IDX file starts with"),
        (b"<html>not found</html>", r"starts with bytes 3c 68 74 6d; .*right file"),
        (b"\0\1\x08\1" + GOOD[4:], r"starts with bytes 00 01 08 01"),
        (b"\0\0\x0a\1" + GOOD[4:], r"starts with bytes 00 00 0a 01"),
        (b"\0\0\x00\1" + GOOD[4:], r"starts with bytes 00 00 00 01"),
        (b"\0\0\x08\0" + GOOD[4:], r"declares 0 dimensions; 1\.\.32 can be read"),
        (b"\0\0\x08\xff" + GOOD[4:], r"declares 255 dimensions"),
        (b"\0\0\x08\3\0\0\0\1\0", r"ends after 5 of the 12 bytes that hold its 3 dimensions"),
        (header(8, (0, 28, 28)), r"shape \(0, 28, 28\), which holds nothing"),
        (header(8, (2**32 - 1,) * 32), r"more than max_bytes = 2147483648"),
        (header(0x0E, (2**28 + 1,)), r"float64 entries .* 2147483656 bytes, more than max_bytes"),
        (GOOD[:-1], r"declares uint8 entries of shape \(100,\), 100 bytes, but ends after 99"),
        (GOOD[:8], r"ends after 0 of them: it is truncated"),
        (GOOD + b"\0", r"100 bytes, but more bytes follow"),
        (gzip.compress(GOOD + b"\0", mtime=0), r"100 bytes, but more bytes follow"),
        (gzip.compress(GOOD[:-1], mtime=0), r"ends after 99 of them"),
        (gzip.compress(b"", mtime=0), r"is empty"),
        (GZIPPED[:-20], r"starts like a gzip file, but .* truncated or corrupt"),
        (GZIPPED[:-8] + b"\0\0\0\0" + GZIPPED[-4:], r"truncated or corrupt \(.*incorrect data check"),
        (GZIPPED[:-4], r"truncated or corrupt"),
        (GZIPPED[:20] + b"\xff" * 40 + GZIPPED[60:], r"truncated or corrupt"),
        (GZIPPED + b"garbage", r"truncated or corrupt"),
        (b"\x1f\x8b", r"truncated or corrupt"),
        (b"\x1f\x8b\0\0\0\0\0\0\0\0\0\0", r"truncated or corrupt"),
    ],
)
def test_read_idx_refuses_a_bad_file_by_name(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad-file"
    path.write_bytes(data)
    with refused(match=message) as refusal:
        read_idx(path)
    assert str(path) in str(refusal.value)


def test_read_idx_of_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing-here does not exist. Nothing is downl"):
        read_idx(tmp_path / "nothing-here")
    with refused(match=r"is a directory; a file was expected"):
        read_idx(tmp_path)
    for bad in (None, 0, b"bytes", "", "a\0b"):
        with refused(match="path must be a path"):
            read_idx(bad)
    for long in ("a" * 5000, "b/" * 3000, Path("c" * 5000)):
        with refused(match=r"path must be a path, got .{,200} characters, .* too long"):
            read_idx(long)
    for limit in (0, -1, 1.5, "2 GiB", None):
        with refused(match="max_bytes must be an integer >= 1"):
            read_idx(tmp_path / "a", max_bytes=limit)


def test_no_file_makes_read_idx_hold_more_than_it_declares(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(header(8, (1, 28, 28)) + bytes(64 * MIB), compresslevel=1))
    assert bomb.stat().st_size < MIB
    assert peak_memory(lambda: read_idx(bomb)) < 2 * MIB
    # It declares everything it holds, but that is over the limit: refused before decompression.
    bomb.write_bytes(gzip.compress(header(8, (64 * MIB,)) + bytes(64 * MIB), compresslevel=1))
    assert peak_memory(lambda: read_idx(bomb, max_bytes=MIB)) < 2 * MIB


@pytest.mark.parametrize("compress", [False, True])
def test_a_large_claim_in_a_small_file_takes_little_memory(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "claim"
    data = header(8, (2**31,)) + bytes(1000)
    path.write_bytes(gzip.compress(data) if compress else data)
    assert peak_memory(lambda: read_idx(path)) < 4 * MIB


# MNIST and Fashion-MNIST


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(("load", "name"), [(SCALED, "MNIST"), (fashion_mnist, "Fashion-MNIST")])
def test_mnist_reads_every_way_to_name_the_files(
    tmp_path: Path, load: Callable[..., Dataset], name: str, dot: bool, compress: bool
) -> None:
    arrays = write_mnist(tmp_path, dot, compress)
    data = load(str(tmp_path))
    assert data.name == name and data.classes == 10
    assert data.inputs.shape == (30, 784) and data.test_inputs.shape == (7, 784)
    np.testing.assert_array_equal(data.targets, arrays["train-labels"])
    np.testing.assert_array_equal(data.test_targets, arrays["t10k-labels"])
    train = arrays["train-images"].astype(np.float64)
    for inputs, images in ((data.inputs, "train-images"), (data.test_inputs, "t10k-images")):
        expected = (arrays[images] - train.mean()) / train.std()
        np.testing.assert_allclose(inputs, expected.reshape(-1, 784), atol=1e-6)


def test_mnist_as_images(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    images = mnist(tmp_path, flat=False)
    assert images.inputs.shape == (30, 28, 28, 1) and images.test_inputs.shape == (7, 28, 28, 1)
    np.testing.assert_array_equal(images.inputs.reshape(30, -1), mnist(tmp_path, flat=True).inputs)


def test_mnist_subset(tmp_path: Path) -> None:
    arrays = write_mnist(tmp_path)
    small, large = SCALED(tmp_path, train_size=8), SCALED(tmp_path, train_size=20)
    assert small.size == 8 and len(small.test_inputs) == 7
    np.testing.assert_array_equal(small.targets, large.targets[:8])
    np.testing.assert_allclose(float(small.inputs.mean()), 0, atol=1e-5)
    np.testing.assert_allclose(float(small.inputs.std()), 1, atol=1e-5)
    np.testing.assert_array_equal(small.inputs, SCALED(tmp_path, train_size=8, key=jax.random.key(0)).inputs)
    other = SCALED(tmp_path, train_size=8, key=jax.random.key(1))
    assert not np.array_equal(other.inputs, small.inputs)
    # Undo the scaling: each image goes with its own label, and none is taken twice.
    every = SCALED(tmp_path, train_size=30)
    pixels = arrays["train-images"].reshape(30, -1)
    raw = np.rint(np.asarray(every.inputs) * pixels.std() + pixels.mean()).astype(np.uint8)
    found = [int(np.flatnonzero((pixels == image).all(axis=1))[0]) for image in raw]
    assert sorted(found) == list(range(30)) and found != list(range(30))
    np.testing.assert_array_equal(every.targets, arrays["train-labels"][found])


def test_mnist_of_one_constant_image(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.full((30, 28, 28), 9, np.uint8)))
    np.testing.assert_array_equal(SCALED(tmp_path).inputs, np.zeros((30, 784)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_size": 31}, r"train_size must be <= the 30 training examples of 'MNIST', got 31"),
        ({"train_size": 0}, r"train_size must be an integer >= 1, got 0\. None takes all"),
        ({"train_size": 2.5}, r"train_size must be an integer"),
        ({"train_size": "all"}, r"train_size must be an integer"),
        ({"key": 0}, r"key must be one typed key"),
        ({"train_size": 3, "key": np.zeros(2, np.uint32)}, r"key must be one typed key"),
        ({"flat": "no"}, r"flat must be True .* got 'no'"),
        ({"max_bytes": 100}, r"more than max_bytes = 100"),
        ({"max_bytes": 0}, r"max_bytes must be an integer >= 1"),
    ],
)
def test_mnist_refuses_bad_arguments(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    write_mnist(tmp_path)
    with refused(match=message):
        mnist(tmp_path, **arguments)


def test_mnist_names_every_file_it_looked_for(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="Nothing is downloaded") as refusal:
        mnist(tmp_path)
    for mark in "-.":
        for ending in ("", ".gz"):
            assert f"{tmp_path / 't10k-images'}{mark}idx3-ubyte{ending}" in str(refusal.value)


def test_bad_directories(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    for load in (mnist, fashion_mnist, cifar10):
        with pytest.raises(FileNotFoundError, match=r"does not exist\. Nothing is downloaded"):
            load(tmp_path / "missing")
        with refused(match=r"is a file\. Pass the directory"):
            load(file)
        with refused(match="directory must be a path"):
            load(3)
        with pytest.raises(FileNotFoundError, match="None of these files exists"):
            load(tmp_path)


def test_mnist_passes_over_a_directory_with_the_name_of_a_file(tmp_path: Path) -> None:
    write_mnist(tmp_path, dot=True)
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    assert mnist(tmp_path).size == 30
    (tmp_path / "train-images.idx3-ubyte").unlink()
    with refused(match=r"train-images-idx3-ubyte is a directory"):
        mnist(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(29, np.uint8), r"holds 30 images, .* 29 labels"),
        ("t10k-labels-idx1-ubyte", np.zeros(8, np.uint8), r"holds 7 images, .* 8 labels"),
        (
            "train-labels-idx1-ubyte",
            np.arange(30, dtype=np.uint8),
            r"holds label 10 for example 10 \(20 of 30 labels are out of range\).* 0\.\.9",
        ),
        ("train-labels-idx1-ubyte", np.zeros((30, 28, 28), np.uint8), r"not swapped"),
        ("train-labels-idx1-ubyte", np.zeros(30, np.int32), r"uint8 labels .* got int32"),
        ("train-images-idx3-ubyte", np.zeros(30, np.uint8), r"uint8 images of shape \(n, 28, 28\)"),
        ("train-images-idx3-ubyte", np.zeros((30, 28, 27), np.uint8), r"got uint8 .*28, 27\)"),
        ("train-images-idx3-ubyte", np.zeros((30, 28, 28), np.float32), r"got float32 .*read_idx"),
    ],
)
def test_mnist_refuses_files_that_do_not_fit(
    tmp_path: Path, name: str, array: np.ndarray, message: str
) -> None:
    write_mnist(tmp_path)
    (tmp_path / name).write_bytes(idx_bytes(array))
    with refused(match=message) as refusal:
        mnist(tmp_path)
    assert str(tmp_path / name) in str(refusal.value)


# CIFAR-10


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_cifar_returns_what_was_written(tmp_path: Path, inside: str) -> None:
    records = write_cifar(tmp_path / inside)
    train = np.concatenate([records[f"data_batch_{i}"] for i in range(1, 6)])
    data = cifar10(tmp_path, flat=False)
    assert data.name == "CIFAR-10" and data.classes == 10
    assert data.inputs.shape == (20, 32, 32, 3) and data.test_inputs.shape == (4, 32, 32, 3)
    np.testing.assert_array_equal(data.targets, train[:, 0])
    np.testing.assert_array_equal(data.test_targets, records["test_batch"][:, 0])
    pixels = train[:, 1:].astype(np.float64)
    scaled = (pixels - pixels.mean()) / pixels.std()
    # Record 17 by hand: red, green and blue planes, each row by row.
    for channel, row, column in [(0, 0, 0), (1, 5, 31), (2, 31, 7)]:
        expected = scaled[17, channel * 1024 + row * 32 + column]
        np.testing.assert_allclose(data.inputs[17, row, column, channel], expected, atol=1e-6)
    np.testing.assert_array_equal(cifar10(tmp_path).inputs, data.inputs.reshape(20, -1))
    small = cifar10(tmp_path, train_size=6, key=jax.random.key(3))
    assert small.inputs.shape == (6, 3072) and len(small.test_inputs) == 4


def test_cifar_refuses_bad_files_by_name(tmp_path: Path) -> None:
    good = write_cifar(tmp_path)["data_batch_3"].tobytes()
    path = tmp_path / "data_batch_3.bin"
    bad = [
        (good[:-1], r"holds 12291 bytes; .* 3073 bytes, and 3072 bytes are left over"),
        (good + b"\0", r"and 1 bytes are left over"),
        (b"", r"holds 0 bytes; .*empty"),
        (good[:3073] + b"\x0a" + good[3074:], r"holds label 10 for example 1 \(1 of 4"),
        (gzip.compress(good, mtime=0)[:-9], r"truncated or corrupt"),
    ]
    for data, message in bad:
        path.write_bytes(data)
        with refused(match=message) as refusal:
            cifar10(tmp_path)
        assert str(path) in str(refusal.value)
    path.write_bytes(good)
    with refused(match=r"holds more than max_bytes = 12291 bytes.*raise"):
        cifar10(tmp_path, max_bytes=len(good) - 1)
    assert cifar10(tmp_path, max_bytes=len(good)).size == 20
    with refused(match="max_bytes must be an integer >= 1"):
        cifar10(tmp_path, max_bytes=0)
    with refused(match="train_size must be <= the 20"):
        cifar10(tmp_path, train_size=21)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"cifar-10-binary.tar.gz") as missing:
        cifar10(tmp_path)
    for folder in (tmp_path, tmp_path / "cifar-10-batches-bin"):
        assert str(folder / "data_batch_3.bin") in str(missing.value)
    path.mkdir()
    with refused(match=r"data_batch_3.bin is a directory"):
        cifar10(tmp_path)


def test_cifar_bomb(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    bomb = gzip.compress(bytes(64 * MIB), compresslevel=1)
    (tmp_path / "data_batch_1.bin").write_bytes(bomb)
    assert peak_memory(lambda: cifar10(tmp_path, max_bytes=MIB)) < 4 * MIB
