"""IDX files, the format of MNIST and Fashion-MNIST, from a directory the user has."""

import io
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Key, Shaped, UInt8

from sde_sgd import _checks
from sde_sgd.data import _files
from sde_sgd.data._dataset import Dataset

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
_MAX_DIMENSIONS = 32
_SIDE = 28
_CLASSES = 10


def read_idx(
    path: str | os.PathLike[str] | Any, *, max_bytes: int | Any = _files.MAX_BYTES
) -> Shaped[np.ndarray, "..."]:
    """Read one IDX file, plain or gzip, into a NumPy array of native byte order.

    An IDX file is two zero bytes, one byte for the type (0x08 unsigned and 0x09 signed byte, 0x0B
    short, 0x0C int, 0x0D float, 0x0E double), one for the number of dimensions, their sizes as
    32-bit integers and then the entries in C order, all big-endian. No more is read, or
    decompressed, than the header declares and one buffer to see that nothing follows; nothing is
    unpickled.

    Args:
        path: the file; gzip is told by its content.
        max_bytes: largest size of the entries in bytes, decompressed.

    Returns:
        A writable array of the declared shape: uint8, int8, int16, int32, float32 or float64.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a file, not IDX, empty, truncated, corrupt or too large, if a
            dimension is zero, or if bytes follow the declared ones.

    Source: the file format section of LeCun, Cortes and Burges, *The MNIST database*.
    """
    file = _files.checked_path("path", path)
    limit = _checks.integer("max_bytes", max_bytes, at_least=1)
    with _files.opened(file) as stream:
        dtype, shape = _read_header(stream, file)
        size = math.prod(shape) * dtype.itemsize
        declared = f"{file} declares {dtype} entries of shape {shape}, {size} bytes"
        if size > limit:
            raise ValueError(
                f"{declared}, more than max_bytes = {limit}. If the file is right, raise max_bytes."
            )
        data = _files.read_up_to(stream, size)
        if len(data) < size:
            raise ValueError(
                f"{declared}, but ends after {len(data)} of them: it is truncated. Get it again."
            )
        if stream.read(1):
            raise ValueError(f"{declared}, but more bytes follow: it is corrupt. Get it again.")
    array = np.frombuffer(data, dtype=dtype).reshape(shape)
    return array.byteswap(inplace=True) if sys.byteorder == "little" else array


def mnist(
    directory: str | os.PathLike[str] | Any,
    *,
    train_size: int | Any | None = None,
    key: Key[Array, ""] | Any | None = None,
    flat: bool | Any = True,
    max_bytes: int | Any = _files.MAX_BYTES,
) -> Dataset:
    """MNIST: images of 28 × 28 handwritten digits in 10 classes, from a directory you have.

    The directory holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
    `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each plain or with `.gz`, or with a dot
    for the second hyphen (`train-images.idx3-ubyte`). Nothing is downloaded. All pixels share one
    mean and one scale: those of the training images used have mean 0 and variance 1.

    Args:
        directory: where the four files are.
        train_size: number N of training images, a random subset; None takes all, in file order.
            A smaller subset is the start of a larger one. The test set is always whole.
        key: chooses the subset; without one it is always the same.
        flat: inputs of shape (N, 784), else (N, 28, 28, 1).
        max_bytes: largest size of one file's entries in bytes, decompressed.

    Returns:
        The images as inputs and the digits 0..9 as targets.

    Raises:
        FileNotFoundError: if a file is missing; it lists the names that were looked for.
        ValueError: if a file is not what it should be (see `read_idx`), images and labels do not
            match in number, a label is above 9, or an argument is out of range.

    Source: LeCun, Bottou, Bengio, Haffner 1998, *Gradient-based learning applied to document
    recognition*.
    """
    return _load("MNIST", directory, train_size, key, flat, max_bytes)


def fashion_mnist(
    directory: str | os.PathLike[str] | Any,
    *,
    train_size: int | Any | None = None,
    key: Key[Array, ""] | Any | None = None,
    flat: bool | Any = True,
    max_bytes: int | Any = _files.MAX_BYTES,
) -> Dataset:
    """Fashion-MNIST: 28 × 28 images of clothing in 10 classes, from a directory you have.

    The files have the names, the format and the sizes of MNIST's, so only the directory tells the
    two apart. Nothing is downloaded. All pixels share one mean and one scale.

    Args:
        directory: where the four files are, named as for `mnist`.
        train_size: number N of training images, a random subset; None takes all, in file order.
            A smaller subset is the start of a larger one. The test set is always whole.
        key: chooses the subset; without one it is always the same.
        flat: inputs of shape (N, 784), else (N, 28, 28, 1).
        max_bytes: largest size of one file's entries in bytes, decompressed.

    Returns:
        The images as inputs and the classes 0..9 as targets.

    Raises:
        FileNotFoundError: if a file is missing; it lists the names that were looked for.
        ValueError: if a file or an argument is not what it should be, as for `mnist`.

    Source: Xiao, Rasul, Vollgraf 2017, *Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms*.
    """
    return _load("Fashion-MNIST", directory, train_size, key, flat, max_bytes)


def _load(name: str, directory: Any, train_size: Any, key: Any, flat: Any, max_bytes: Any) -> Dataset:
    what = f"the IDX files of {name} (train-images-idx3-ubyte, ...; plain or .gz)"
    folder = _files.checked_directory(directory, what)
    return _files.image_dataset(
        _read_examples(folder, "train", what, max_bytes),
        _read_examples(folder, "t10k", what, max_bytes),
        train_size=train_size,
        key=key,
        flat=flat,
        classes=_CLASSES,
        name=name,
    )


def _read_examples(
    directory: Path, part: str, what: str, max_bytes: Any
) -> tuple[UInt8[np.ndarray, "n 28 28 1"], UInt8[np.ndarray, " n"]]:
    """The images and labels of one part, "train" or "t10k", checked against each other."""
    hint = f"pass a directory that holds {what}."
    image_path = _files.find([directory], _names(f"{part}-images", 3), hint)
    label_path = _files.find([directory], _names(f"{part}-labels", 1), hint)
    labels = read_idx(label_path, max_bytes=max_bytes)
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise ValueError(
            f"{label_path} must hold uint8 labels of shape (n,), got {labels.dtype} of shape "
            f"{labels.shape}. Check that files of images and labels are not swapped."
        )
    _files.check_labels(label_path, labels, _CLASSES)
    images = read_idx(image_path, max_bytes=max_bytes)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (_SIDE, _SIDE):
        raise ValueError(
            f"{image_path} must hold uint8 images of shape (n, {_SIDE}, {_SIDE}), got "
            f"{images.dtype} of shape {images.shape}. Other images: use read_idx and Dataset."
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{image_path} holds {len(images)} images, but {label_path} holds {len(labels)} "
            f"labels. Use two files of the same set, or get them again."
        )
    return images[..., np.newaxis], labels


def _names(stem: str, dimensions: int) -> list[str]:
    plain = [f"{stem}{mark}idx{dimensions}-ubyte" for mark in "-."]
    return [name + ending for ending in ("", ".gz") for name in plain]


def _read_header(stream: io.BufferedIOBase, path: Path) -> tuple[np.dtype, tuple[int, ...]]:
    magic = _files.read_up_to(stream, 4)
    expected = "an IDX file starts with 00 00, a type in 08, 09, 0b..0e and a number of dimensions"
    if not magic:
        raise ValueError(f"{path} is empty; {expected}. Get the file again.")
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES:
        raise ValueError(
            f"{path} starts with bytes {magic.hex(' ')}; {expected} (images 00 00 08 03, labels "
            f"00 00 08 01). Check that it is the right file, or get it again."
        )
    if not 1 <= magic[3] <= _MAX_DIMENSIONS:
        raise ValueError(
            f"{path} declares {magic[3]} dimensions; 1..{_MAX_DIMENSIONS} can be read. Check that "
            f"it is the right file, or get it again."
        )
    sizes = _files.read_up_to(stream, 4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise ValueError(
            f"{path} ends after {len(sizes)} of the {4 * magic[3]} bytes that hold its "
            f"{magic[3]} dimensions: it is truncated. Get it again."
        )
    shape = tuple(int(size) for size in np.frombuffer(sizes, dtype=">u4"))
    if 0 in shape:
        raise ValueError(
            f"{path} declares shape {shape}, which holds nothing; every dimension must be >= 1. "
            f"Get the file again."
        )
    return np.dtype(_DTYPES[magic[2]]), shape
