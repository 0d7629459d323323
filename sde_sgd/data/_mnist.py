"""MNIST and two sets of its format, from a directory the user has."""

from typing import Any

from jaxtyping import Array, Key

from sde_sgd._types import FilePath
from sde_sgd.data import _files, _image_pairs
from sde_sgd.data._dataset import Dataset

_CLASSES = 10


def mnist(
    directory: FilePath,
    *,
    train_size: int | None = None,
    key: Key[Array, ""] | None = None,
    flat: bool = True,
    max_bytes: int = _image_pairs.MAX_BYTES,
) -> Dataset:
    """MNIST: images of 28 × 28 handwritten digits in 10 classes, from a directory you have.

    The directory, or `MNIST/raw` or `raw` inside it, where torchvision puts them, holds
    `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, each plain or with `.gz`, or with a dot for the second hyphen
    (`train-images.idx3-ubyte`). Nothing is downloaded. All pixels share one mean and one scale: those
    of the training images used have mean 0 and variance 1.

    Args:
        directory: where the four files are; `~` is your home folder.
        train_size: number N of training images, a random subset; None takes all, in file order.
            A smaller subset is the start of a larger one. The test set is always whole.
        key: chooses the subset; without one it is always the same.
        flat: inputs of shape (N, 784), else (N, 28, 28, 1).
        max_bytes: largest size of one file's entries in bytes, decompressed; the default is 1.4
            times the real one.

    Returns:
        The images as inputs and the digits 0..9 as targets.

    Raises:
        FileNotFoundError: if a file is missing; it lists the names that were looked for.
        ValueError: if a file is not what it should be (see `read_idx`), images and labels do not
            match in number, a label is above 9, or an argument is out of range.

    Source: LeCun, Bottou, Bengio, Haffner 1998, *Gradient-based learning applied to document
    recognition*.
    """
    return _load("MNIST", "MNIST", directory, train_size, key, flat, max_bytes)


def fashion_mnist(
    directory: FilePath,
    *,
    train_size: int | None = None,
    key: Key[Array, ""] | None = None,
    flat: bool = True,
    max_bytes: int = _image_pairs.MAX_BYTES,
) -> Dataset:
    """Fashion-MNIST: 28 × 28 images of clothing in 10 classes, from a directory you have.

    The files have the names, the format and the sizes of MNIST's, so only the directory tells the
    two apart. Nothing is downloaded. All pixels share one mean and one scale.

    Args:
        directory: where the four files are, named as for `mnist`; or that with `FashionMNIST/raw` or
            `raw` inside, where torchvision puts them.
        train_size, key, flat, max_bytes: as for `mnist`.

    Returns:
        The images as inputs and the classes 0..9 as targets.

    Raises:
        FileNotFoundError: if a file is missing; it lists the names that were looked for.
        ValueError: if a file or an argument is not what it should be, as for `mnist`.

    Source: Xiao, Rasul, Vollgraf 2017, *Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms*.
    """
    return _load("Fashion-MNIST", "FashionMNIST", directory, train_size, key, flat, max_bytes)


def kmnist(
    directory: FilePath,
    *,
    train_size: int | None = None,
    key: Key[Array, ""] | None = None,
    flat: bool = True,
    max_bytes: int = _image_pairs.MAX_BYTES,
) -> Dataset:
    """Kuzushiji-MNIST: 28 × 28 images of cursive Japanese in 10 classes, from a directory you have.

    Its files come in two formats, and either is read: IDX files with the names of MNIST's, or
    `kmnist-train-imgs.npz`, `kmnist-train-labels.npz`, `kmnist-test-imgs.npz` and
    `kmnist-test-labels.npz`. Nothing is downloaded, nothing unpickled. All pixels share one mean and
    one scale.

    Args:
        directory: where the four files are; or that with `KMNIST/raw` or `raw` inside, where
            torchvision puts them.
        train_size, key, flat, max_bytes: as for `mnist`.

    Returns:
        The images as inputs and the classes 0..9 as targets.

    Raises:
        FileNotFoundError: if a file is missing; it lists the names that were looked for.
        ValueError: if a file or an argument is not what it should be, as for `mnist`.

    Source: Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto, Ha 2018, *Deep learning for classical
    Japanese literature*.
    """
    return _load("KMNIST", "KMNIST", directory, train_size, key, flat, max_bytes)


def _load(
    name: str, inner: str, directory: Any, train_size: Any, key: Any, flat: Any, max_bytes: Any
) -> Dataset:
    what = f"the IDX files of {name} (train-images-idx3-ubyte, ...; plain or .gz)"
    if name == "KMNIST":
        what += " or its .npz files (kmnist-train-imgs.npz, ...)"
    folder = _files.checked_directory(directory, what)

    def examples(part: str, of_npz: str) -> Any:
        images, labels = (_image_pairs.idx_names(f"{part}-{kind}", rank) for kind, rank in _KINDS)
        if name == "KMNIST":
            images.append(f"kmnist-{of_npz}-imgs.npz")
            labels.append(f"kmnist-{of_npz}-labels.npz")
        return _image_pairs.read_pair(
            [folder, folder / inner / "raw", folder / "raw"],
            images,
            labels,
            what=what,
            max_bytes=max_bytes,
            classes=_CLASSES,
        )

    return _files.image_dataset(
        examples("train", "train"),
        examples("t10k", "test"),
        train_size=train_size,
        key=key,
        flat=flat,
        classes=_CLASSES,
        name=name,
    )


_KINDS = (("images", 3), ("labels", 1))
