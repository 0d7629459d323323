"""CIFAR-10 and CIFAR-100, from a directory the user has."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Array, Key, UInt8

from sde_sgd import _checks
from sde_sgd._types import FilePath
from sde_sgd.data import _files
from sde_sgd.data._cifar_python import PIXELS, read_python_batch
from sde_sgd.data._dataset import Dataset

_SHAPE = (3, 32, 32)


class _Version(NamedTuple):
    """One of the two sets in one of its two versions.

    Attributes:
        folder: what its archive unpacks to.
        train, test: names of its files.
        labels: in front of the pixels of each record, or their name in a pickle.
    """

    folder: str
    train: tuple[str, ...]
    test: str
    labels: tuple[str, ...]


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEN = (
    _Version(
        "cifar-10-batches-bin", tuple(f"{name}.bin" for name in _BATCHES), "test_batch.bin", ("labels",)
    ),
    _Version("cifar-10-batches-py", _BATCHES, "test_batch", ("labels",)),
)
_HUNDRED = (
    _Version("cifar-100-binary", ("train.bin",), "test.bin", ("coarse_labels", "fine_labels")),
    _Version("cifar-100-python", ("train",), "test", ("coarse_labels", "fine_labels")),
)
_WHAT_TEN = "the binary version of CIFAR-10 (data_batch_1.bin to data_batch_5.bin, test_batch.bin)"
_WHAT_HUNDRED = "the binary version of CIFAR-100 (train.bin, test.bin)"
# A record declares no count, so these bound what is read: some more than a real file of either version.
_MAX_TEN, _MAX_HUNDRED = 2**25, 160_000_000


def cifar10(
    directory: FilePath,
    *,
    train_size: int | None = None,
    key: Key[Array, ""] | None = None,
    flat: bool = True,
    max_bytes: int = _MAX_TEN,
) -> Dataset:
    """CIFAR-10: colour images of 32 × 32 pixels in 10 classes, from a directory you have.

    The directory, or `cifar-10-batches-bin` inside it, holds `data_batch_1.bin` to
    `data_batch_5.bin` and `test_batch.bin`: records of one byte for the label and 3072 for the
    pixels. Or it, or `cifar-10-batches-py` inside it, holds the Python version, as torchvision
    unpacks it: pickles, which are read without unpickling, so that nothing in them can run. Nothing
    is downloaded. All pixels and channels share one mean and one scale: those of the training images
    used have mean 0 and variance 1.

    Args:
        directory: where the six files are; `~` is your home folder.
        train_size: number N of training images, a random subset; None takes all, in file order.
            A smaller subset is the start of a larger one. The test set is always whole.
        key: chooses the subset; without one it is always the same.
        flat: inputs of shape (N, 3072), the images (N, 32, 32, 3) flattened, else those.
        max_bytes: largest size of one file in bytes, decompressed; the default is a tenth more than a
            real batch.

    Returns:
        The images as inputs and the classes 0..9 as targets.

    Raises:
        FileNotFoundError: if a file is missing; it lists the names that were looked for.
        ValueError: if a file is not one or more whole records, is too large or holds a label above
            9, if a file of the Python version is not as it is given out, or if an argument is out of
            range.

    Source: Krizhevsky 2009, *Learning multiple layers of features from tiny images*.
    """
    return _load("CIFAR-10", _TEN, _WHAT_TEN, "labels", 10, directory, train_size, key, flat, max_bytes)


def cifar100(
    directory: FilePath,
    labels: Literal["fine", "coarse"] = "fine",
    *,
    train_size: int | None = None,
    key: Key[Array, ""] | None = None,
    flat: bool = True,
    max_bytes: int = _MAX_HUNDRED,
) -> Dataset:
    """CIFAR-100: colour images of 32 × 32 pixels in 100 classes or 20, from a directory you have.

    The directory, or `cifar-100-binary` inside it, holds `train.bin` and `test.bin`: records of one
    byte for the coarse label, one for the fine one and 3072 for the pixels. Or it, or
    `cifar-100-python` inside it, holds the Python version, `train` and `test`: pickles, which are read
    without unpickling. Nothing is downloaded. Pixels are scaled as for `cifar10`.

    Args:
        directory: where the two files are; `~` is your home folder.
        labels: "fine" (100 classes) or "coarse" (20).
        train_size, key, flat: as for `cifar10`.
        max_bytes: largest size of one file in bytes, decompressed; the default is a little more than
            the real training set.

    Returns:
        The images as inputs and the classes 0..99 or 0..19 as targets.

    Raises:
        FileNotFoundError, ValueError: as for `cifar10`.

    Source: Krizhevsky 2009, *Learning multiple layers of features from tiny images*.
    """
    _checks.choice("labels", labels, ("fine", "coarse"))
    classes = 100 if labels == "fine" else 20
    return _load(
        "CIFAR-100",
        _HUNDRED,
        _WHAT_HUNDRED,
        f"{labels}_labels",
        classes,
        directory,
        train_size,
        key,
        flat,
        max_bytes,
    )


def _load(
    name: str,
    versions: Sequence[_Version],
    what: str,
    labels: str,
    classes: int,
    directory: Any,
    train_size: Any,
    key: Any,
    flat: Any,
    max_bytes: Any,
) -> Dataset:
    folder = _files.checked_directory(directory, what)
    limit = _checks.integer("max_bytes", max_bytes, at_least=1)
    version, paths = _found(folder, versions, what)

    def batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
        if version is versions[0]:
            pixels, y = _read_records(path, version.labels, labels, limit)
        else:
            pixels, y = read_python_batch(path, labels, limit)
        _files.check_labels(path, y, classes)
        return _channels_last(pixels), y

    train = [batch(path) for path in paths[:-1]]
    images = train[0][0] if len(train) == 1 else np.concatenate([part for part, _ in train])
    targets = np.concatenate([part for _, part in train])
    del train
    return _files.image_dataset(
        (images, targets),
        batch(paths[-1]),
        train_size=train_size,
        key=key,
        flat=flat,
        classes=classes,
        name=name if classes != 20 else f"{name}, coarse",
    )


def _found(folder: Path, versions: Sequence[_Version], what: str) -> tuple[_Version, list[Path]]:
    """The files of the first version of which there is any."""
    archive = "cifar-10-binary.tar.gz" if versions is _TEN else "cifar-100-binary.tar.gz"
    hint = f"unpack {archive} and pass the directory that holds {what}."
    places = [([folder, folder / version.folder], version) for version in versions]
    there = [
        place
        for place in places
        if any(_files.holds_any(one, [*place[1].train, place[1].test]) for one in place[0])
    ]
    folders, version = (there or places)[0]
    return version, [_files.find(folders, [name], hint) for name in (*version.train, version.test)]


def _read_records(
    path: Path, before: Sequence[str], labels: str, limit: int
) -> tuple[UInt8[np.ndarray, "n 3072"], UInt8[np.ndarray, " n"]]:
    """The pixels and the labels of one file of records."""
    record = len(before) + PIXELS
    with _files.opened(path) as stream:
        data = _files.read_up_to(stream, limit)
        if stream.read(1):
            raise ValueError(
                f"{path} holds more than max_bytes = {limit} bytes. If the file is right, raise max_bytes."
            )
    if not data or len(data) % record:
        raise ValueError(
            f"{path} holds {len(data)} bytes; a batch is one or more records of {record} bytes, and "
            f"{len(data) % record} bytes are left over. The file is empty, truncated or not a binary batch: "
            f"get it again."
        )
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, record)
    return records[:, len(before) :], records[:, before.index(labels)].copy()


def _channels_last(pixels: UInt8[np.ndarray, "n 3072"]) -> UInt8[np.ndarray, "n 32 32 3"]:
    return np.ascontiguousarray(pixels.reshape(-1, *_SHAPE).transpose(0, 2, 3, 1))
