"""EMNIST, handwritten digits and letters, from a directory the user has."""

from typing import Any, Literal

from jaxtyping import Array, Key

from sde_sgd import _checks
from sde_sgd._types import FilePath
from sde_sgd.data import _files, _image_pairs
from sde_sgd.data._dataset import Dataset

# name → number of classes and the label of the first
_SPLITS = {
    "balanced": (47, 0),
    "byclass": (62, 0),
    "bymerge": (47, 0),
    "digits": (10, 0),
    "letters": (26, 1),
    "mnist": (10, 0),
}
# The 697932 training images of two splits have 547 MB.
_MAX_BYTES = 2**30


def emnist(
    directory: FilePath,
    split: Literal["balanced", "byclass", "bymerge", "digits", "letters", "mnist"] = "balanced",
    *,
    train_size: int | None = None,
    key: Key[Array, ""] | None = None,
    flat: bool = True,
    max_bytes: int = _MAX_BYTES,
) -> Dataset:
    """EMNIST: images of 28 × 28 handwritten digits and letters, from a directory you have.

    The directory, or `gzip`, `EMNIST/raw` or `raw` inside it, holds the four files of the split, such
    as `emnist-balanced-train-images-idx3-ubyte` and `emnist-balanced-test-labels-idx1-ubyte`, each
    plain or with `.gz`. The files hold every image with rows and columns swapped; here they are swapped
    back, so that digits stand as those of `mnist` do. Nothing is downloaded. All pixels share one mean
    and one scale.

    Args:
        directory: where the files are.
        split: "balanced" (47 classes; 112800 training images), "byclass" (62; 697932), "bymerge" (47;
            697932), "digits" (10; 240000), "letters" (26; 124800) or "mnist" (10; 60000).
        train_size, key, flat: as for `mnist`.
        max_bytes: largest size of one file's entries in bytes, decompressed.

    Returns:
        The images as inputs and the classes 0..k−1 as targets. Letters, which the files count from 1,
        count from 0 here: a is 0.

    Raises:
        FileNotFoundError: if a file is missing; it lists the names that were looked for.
        ValueError: if a file or an argument is not what it should be, as for `mnist`.

    Source: Cohen, Afshar, Tapson, van Schaik 2017, *EMNIST: extending MNIST to handwritten letters*.
    """
    classes, first = _SPLITS[_checks.choice("split", split, tuple(_SPLITS))]
    stem = f"emnist-{split}"
    what = f"the IDX files of EMNIST ({stem}-train-images-idx3-ubyte, ...; plain or .gz)"
    folder = _files.checked_directory(directory, what)

    def examples(part: str) -> Any:
        images, labels = _image_pairs.read_pair(
            [folder, folder / "gzip", folder / "EMNIST" / "raw", folder / "raw"],
            _image_pairs.idx_names(f"{stem}-{part}-images", 3),
            _image_pairs.idx_names(f"{stem}-{part}-labels", 1),
            what=what,
            max_bytes=max_bytes,
            classes=classes,
            first=first,
        )
        return images.transpose(0, 2, 1, 3), labels

    return _files.image_dataset(
        examples("train"),
        examples("test"),
        train_size=train_size,
        key=key,
        flat=flat,
        classes=classes,
        name=f"EMNIST {split}",
    )
