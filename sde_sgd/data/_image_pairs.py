"""A file of images and a file of their labels, judged by their headers before they are read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sde_sgd import _checks
from sde_sgd.data import _files
from sde_sgd.data._idx import Idx
from sde_sgd.data._npz import Npy, opened_npz

SIDE = 28
# A real file of 60000 images has 47 MB.
MAX_BYTES = 2**26


def idx_names(stem: str, dimensions: int) -> list[str]:
    """The names that an IDX file goes by."""
    plain = [f"{stem}{mark}idx{dimensions}-ubyte" for mark in "-."]
    return [name + ending for ending in ("", ".gz") for name in plain]


def read_pair(
    directories: Sequence[Path],
    image_names: Sequence[str],
    label_names: Sequence[str],
    *,
    what: str,
    max_bytes: int,
    classes: int,
    first: int = 0,
) -> tuple[UInt8[np.ndarray, "n 28 28 1"], UInt8[np.ndarray, " n"]]:
    """Images and labels, checked against each other.

    Both headers are looked at before an entry is read or decompressed: what they rule out costs nothing.

    Args:
        directories: where to look; all files are taken from the first that has any.
        image_names, label_names: that the files may have.
        what: should be in the directory, for the refusals.
        max_bytes: largest size of the images in bytes.
        classes: number of classes.
        first: the label of the first class, which becomes 0.
    """
    limit = _checks.integer("max_bytes", max_bytes, at_least=1)
    hint = f"pass a directory that holds {what}."
    names = [*image_names, *label_names]
    # from one folder, so that parts of two sets never mix
    folders = [folder for folder in directories if _files.holds_any(folder, names)][:1] or directories
    image_path = _files.find(folders, image_names, hint)
    label_path = _files.find(folders, label_names, hint)
    with _array(label_path) as labels, _array(image_path) as images:
        # NumPy's files may hold labels as wider integers
        whole = labels.dtype.kind in "iu" if isinstance(labels, Npy) else labels.dtype == np.uint8
        if not whole or len(labels.shape) != 1:
            raise ValueError(
                f"{label_path} must hold uint8 labels of shape (n,), got {labels.dtype} of shape "
                f"{labels.shape}. Check that files of images and labels are not swapped."
            )
        if images.dtype != np.uint8 or len(images.shape) != 3 or images.shape[1:] != (SIDE, SIDE):
            raise ValueError(
                f"{image_path} must hold uint8 images of shape (n, {SIDE}, {SIDE}), got "
                f"{images.dtype} of shape {images.shape}. Other images: use read_idx and Dataset."
            )
        if images.shape[0] != labels.shape[0]:
            raise ValueError(
                f"{image_path} holds {images.shape[0]} images, but {label_path} holds {labels.shape[0]} "
                f"labels. Use two files of the same set, or get them again."
            )
        images.check_size(limit)
        y = _as_bytes(label_path, labels.entries(limit))
        _files.check_labels(label_path, y, classes, first)
        return images.entries(limit)[..., np.newaxis], y - np.uint8(first)


def _as_bytes(path: Path, labels: np.ndarray) -> UInt8[np.ndarray, " n"]:
    bad = np.flatnonzero((labels < 0) | (labels > 255))
    if bad.size:
        raise ValueError(
            f"{path} holds label {labels[bad[0]]} for example {bad[0]}. Check that this is the right file, "
            f"or get it again."
        )
    return labels.astype(np.uint8)


@contextmanager
def _array(path: Path) -> Iterator[Idx | Npy]:
    if path.suffix == ".npz":
        with opened_npz(path) as array:
            yield array
    else:
        with _files.opened(path) as stream:
            yield Idx(stream, path)
