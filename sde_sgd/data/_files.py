"""Reading image files that the user already has: bounded memory, no pickle, no download."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float32, Key, Shaped, UInt8

from sde_sgd import _checks
from sde_sgd.data._dataset import Dataset
from sde_sgd.data._gzip import Gunzip, GzipError
from sde_sgd.random import check_key

MAX_BYTES = 2**31

_WHITE = 255.0  # of a pixel in 8 bits
_CHUNK = 2**20
_BUFFER = 2**16
_GZIP_MAGIC = b"\x1f\x8b"


def checked_directory(value: Any, what: str) -> Path:
    """Return `value` as the path of a directory that exists; `what` says what should be in it."""
    directory = _checks.path("directory", value)
    if not directory.exists():
        raise FileNotFoundError(
            f"directory {str(directory)!r} does not exist. Nothing is downloaded: pass a "
            f"directory that holds {what}."
        )
    if not directory.is_dir():
        raise ValueError(f"directory {str(directory)!r} is a file. Pass the directory that holds {what}.")
    return directory


def find(directories: Sequence[Path], names: Sequence[str], hint: str) -> Path:
    """The first file with one of the names in one of the directories.

    A directory with a wanted name is passed over: some archives unpack to a directory and a file
    of nearly the same name.

    Raises:
        FileNotFoundError: if there is none; it lists every name that was looked for.
        ValueError: if all that has a wanted name is a directory or another thing that is no file.
    """
    candidates = list(dict.fromkeys(directory / name for directory in directories for name in names))
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    for candidate in candidates:
        if candidate.exists():
            _refuse_non_file(candidate)
    looked = ", ".join(str(candidate) for candidate in candidates)
    raise FileNotFoundError(f"None of these files exists: {looked}. Nothing is downloaded: {hint}")


def holds_any(directory: Path, names: Sequence[str]) -> bool:
    """Whether the directory holds a file with one of the names."""
    return any((directory / name).is_file() for name in names)


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a file to read bytes, through gzip if its first two bytes say so, whatever its name.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a regular file or, while it is read, if its gzip data are corrupt.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist. Nothing is downloaded: pass the path of a file you have."
        )
    if not path.is_file():
        _refuse_non_file(path)
    try:
        with path.open("rb") as raw:
            compressed = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                yield raw
                return
            # It decompresses on demand, into a buffer of fixed size: a gzip bomb is never unrolled.
            with io.BufferedReader(Gunzip(raw), _BUFFER) as stream:
                yield stream
    except GzipError as error:
        raise ValueError(
            f"{path} starts like a gzip file, but its compressed data are truncated or corrupt "
            f"({error}). Get the file again, or decompress it with gzip to see how far it goes."
        ) from error


def read_declared(stream: io.BufferedIOBase, size: int, declared: str) -> bytearray:
    """So many bytes, and no more in the stream.

    Raises:
        ValueError: if there are fewer or more; `declared` says whose bytes they are.
    """
    data = read_up_to(stream, size)
    if len(data) < size:
        raise ValueError(f"{declared}, but ends after {len(data)} of them: it is truncated. Get it again.")
    if stream.read(1):
        raise ValueError(f"{declared}, but more bytes follow: it is corrupt. Get it again.")
    return data


def read_up_to(stream: io.BufferedIOBase, count: int) -> bytearray:
    """The next `count` bytes, fewer at the end of the file.

    The buffer grows with what the file really holds, not with what its header claims.
    """
    buffer = bytearray()
    while len(buffer) < count:
        chunk = stream.read(min(_CHUNK, count - len(buffer)))
        if not chunk:
            break
        buffer += chunk
    return buffer


class Declared:
    """An array in a file of which the header is read, and nothing else yet.

    Attributes:
        stream: the file, behind its header, decompressed.
        path: to name in refusals.
        dtype, shape: that the header declares.
    """

    dtype: np.dtype
    shape: tuple[int, ...]

    def __init__(self, stream: io.BufferedIOBase, path: Path):
        self.stream = stream
        self.path = path

    def check_size(self, limit: int) -> int:
        """The size of the entries in bytes; refused where it is above the limit."""
        size = math.prod(self.shape) * self.dtype.itemsize
        if size > limit:
            raise ValueError(
                f"{self._declared(size)}, more than max_bytes = {limit}. "
                f"If the file is right, raise max_bytes."
            )
        return size

    def flat_entries(self, limit: int) -> Shaped[np.ndarray, " entries"]:
        """Read them, in the order that they have in the file."""
        size = self.check_size(limit)
        return np.frombuffer(read_declared(self.stream, size, self._declared(size)), dtype=self.dtype)

    def _declared(self, size: int) -> str:
        return f"{self.path} declares {self.dtype} entries of shape {self.shape}, {size} bytes"


def check_labels(path: Path, labels: UInt8[np.ndarray, " n"], classes: int, first: int = 0) -> None:
    """Refuse labels outside first..first+classes−1; name the file and the first such example."""
    # unsigned: what is below the first wraps around to above the last
    bad = np.flatnonzero(labels - np.uint8(first) >= classes)
    if bad.size:
        raise ValueError(
            f"{path} holds label {labels[bad[0]]} for example {bad[0]} ({bad.size} of "
            f"{labels.size} labels are out of range); labels must lie in {first}..{first + classes - 1}. "
            f"Check that this is the right file, or get it again."
        )


def image_dataset(
    train: tuple[UInt8[np.ndarray, "n height width channels"], UInt8[np.ndarray, " n"]],
    test: tuple[UInt8[np.ndarray, "m height width channels"], UInt8[np.ndarray, " m"]],
    *,
    train_size: int | None,
    key: Key[Array, ""] | None,
    flat: bool,
    classes: int,
    name: str,
    standardise: str = "global",
    kept: tuple[int, ...] | None = None,
) -> Dataset:
    """Take a subset of the training images, scale all pixels alike and flatten if asked."""
    if not isinstance(flat, bool):
        raise ValueError(f"flat must be True (vectors) or False (images), got {flat!r}.")
    _checks.choice("standardise", standardise, ("global", "none"))
    if kept is not None:
        (train, test), classes = (_of_classes(pair, kept) for pair in (train, test)), len(kept)
    (images, labels), (test_images, test_labels) = train, test
    chosen = subset(len(images), train_size, key, name)
    if chosen is not None:
        images, labels = images[chosen], labels[chosen]
    if flat:
        images = images.reshape(len(images), -1)
        test_images = test_images.reshape(len(test_images), -1)
    mean, spread = pixel_statistics(images) if standardise == "global" else (0.0, _WHITE)
    return Dataset(
        scaled(images, mean, spread),
        labels.astype(np.int32),
        scaled(test_images, mean, spread),
        test_labels.astype(np.int32),
        classes=classes,
        name=name,
    )


def _of_classes(
    pair: tuple[UInt8[np.ndarray, "n height width channels"], UInt8[np.ndarray, " n"]], kept: tuple[int, ...]
) -> tuple[UInt8[np.ndarray, "m height width channels"], UInt8[np.ndarray, " m"]]:
    """Examples of some classes, whose labels become places among them."""
    images, labels = pair
    there = np.isin(labels, kept)
    places = np.zeros(max(kept) + 1, np.uint8)
    places[list(kept)] = np.arange(len(kept), dtype=np.uint8)
    return images[there], places[labels[there]]


def subset(total: int, train_size: int | None, key: Key[Array, ""] | None, name: str) -> np.ndarray | None:
    """Indices of `train_size` random examples (a larger set starts with a smaller), or None."""
    if key is not None:
        check_key(key)
    if train_size is None:
        return None
    size = _checks.integer("train_size", train_size, at_least=1, hint="None takes all.")
    if size > total:
        raise ValueError(
            f"train_size must be <= the {total} training examples of {name!r}, got {size}. None takes all."
        )
    order = jax.random.permutation(jax.random.key(0) if key is None else key, total)
    return np.asarray(order[:size])


def pixel_statistics(images: UInt8[np.ndarray, "n ..."]) -> tuple[float, float]:
    """Mean and standard deviation over all pixels, exact, from a histogram.

    NumPy's own variance would hold a float64 copy, eight times the images.
    """
    counts = np.zeros(256, dtype=np.int64)
    rows = max(_CHUNK // max(images[0].size, 1), 1)
    for start in range(0, len(images), rows):
        counts += np.bincount(images[start : start + rows].ravel(), minlength=256)
    values = np.arange(256.0)
    mean = float(counts @ values / images.size)
    return mean, float(np.sqrt(counts @ (values - mean) ** 2 / images.size))


def scaled(images: UInt8[np.ndarray, "n ..."], mean: float, spread: float) -> Float32[np.ndarray, "n ..."]:
    """(images − mean)/spread in float32; without spread, images − mean."""
    result: np.ndarray = np.subtract(images, np.float32(mean), dtype=np.float32)
    if spread > 0:
        result /= np.float32(spread)
    return result


def _refuse_non_file(path: Path) -> None:
    found = "a directory" if path.is_dir() else "not a regular file"
    raise ValueError(f"{path} is {found}; a file was expected. Pass or move the file inside it.")
