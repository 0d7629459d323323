"""CIFAR-10 in its binary version, from a directory the user has."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Key, UInt8

from sde_sgd import _checks
from sde_sgd.data import _files
from sde_sgd.data._dataset import Dataset

_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_CLASSES = 10
# A real batch has 30.7 MB. A record declares no count, so this alone bounds what is read.
_MAX_BYTES = 2**26
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = "test_batch"
_WHAT = "the binary version of CIFAR-10 (data_batch_1.bin to data_batch_5.bin, test_batch.bin)"
_HINT = f"unpack cifar-10-binary.tar.gz and pass the directory that holds {_WHAT}."


def cifar10(
    directory: str | os.PathLike[str] | Any,
    *,
    train_size: int | Any | None = None,
    key: Key[Array, ""] | Any | None = None,
    flat: bool | Any = True,
    max_bytes: int | Any = _MAX_BYTES,
) -> Dataset:
    """CIFAR-10: colour images of 32 × 32 pixels in 10 classes, from a directory you have.

    The directory, or `cifar-10-batches-bin` inside it, holds `data_batch_1.bin` to
    `data_batch_5.bin` and `test_batch.bin`: records of one byte for the label and 3072 for the
    pixels. Nothing is downloaded, and the Python version is refused, because it is pickled. All
    pixels and channels share one mean and one scale: those of the training images used have mean
    0 and variance 1.

    Args:
        directory: where the six files are.
        train_size: number N of training images, a random subset; None takes all, in file order.
            A smaller subset is the start of a larger one. The test set is always whole.
        key: chooses the subset; without one it is always the same.
        flat: inputs of shape (N, 3072), the images (N, 32, 32, 3) flattened, else those.
        max_bytes: largest size of one file in bytes; the default is about twice a real batch.

    Returns:
        The images as inputs and the classes 0..9 as targets.

    Raises:
        FileNotFoundError: if a file is missing; it lists the names that were looked for.
        ValueError: if a file is not one or more whole records, is too large or holds a label above
            9, if only the Python version is there, or if an argument is out of range.

    Source: Krizhevsky 2009, *Learning multiple layers of features from tiny images*.
    """
    folder = _files.checked_directory(directory, _WHAT)
    limit = _checks.integer("max_bytes", max_bytes, at_least=1)
    paths = [_find(folder, stem) for stem in (*_TRAIN, _TEST)]
    train = [_read_batch(path, limit) for path in paths[:-1]]
    labels = np.concatenate([records[:, 0] for records in train])
    images = np.concatenate([records[:, 1:] for records in train])
    del train
    test = _read_batch(paths[-1], limit)
    return _files.image_dataset(
        (_channels_last(images), labels),
        (_channels_last(test[:, 1:]), test[:, 0]),
        train_size=train_size,
        key=key,
        flat=flat,
        classes=_CLASSES,
        name="CIFAR-10",
    )


def _find(directory: Path, stem: str) -> Path:
    try:
        folders = [directory, directory / "cifar-10-batches-bin"]
        return _files.find(folders, [f"{stem}.bin"], _HINT)
    except FileNotFoundError:
        for pickled in (directory / stem, directory / "cifar-10-batches-py" / stem):
            if pickled.exists():
                raise ValueError(
                    f"{pickled} belongs to the Python version of CIFAR-10, which is pickled. "
                    f"Unpickling can run any code, so pickles are never read. Get the binary "
                    f"version, cifar-10-binary.tar.gz; {_HINT}"
                ) from None
        raise


def _read_batch(path: Path, limit: int) -> UInt8[np.ndarray, "n 3073"]:
    """The records of one file: a label and 3072 pixels each."""
    with _files.opened(path) as stream:
        data = _files.read_up_to(stream, limit)
        if stream.read(1):
            raise ValueError(
                f"{path} holds more than max_bytes = {limit} bytes. If the file is right, raise max_bytes."
            )
    if not data or len(data) % _RECORD:
        raise ValueError(
            f"{path} holds {len(data)} bytes; a batch of CIFAR-10 is one or more records of "
            f"{_RECORD} bytes, and {len(data) % _RECORD} bytes are left over. The file is empty, "
            f"truncated or not a binary batch: get it again."
        )
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, _RECORD)
    _files.check_labels(path, records[:, 0], _CLASSES)
    return records


def _channels_last(pixels: UInt8[np.ndarray, "n 3072"]) -> UInt8[np.ndarray, "n 32 32 3"]:
    return pixels.reshape(-1, *_SHAPE).transpose(0, 2, 3, 1)
