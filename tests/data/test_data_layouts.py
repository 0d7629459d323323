"""Sets in the folders and formats that other libraries leave them in."""

import gzip
import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_set_files import idx_bytes, write_cifar, write_mnist
from helpers import refused

import sde_sgd as ss
from sde_sgd.data import _cifar_python, cifar10, cifar100, emnist, fashion_mnist, kmnist, mnist

PIXELS = 3072


def standardised(train: np.ndarray, images: np.ndarray) -> np.ndarray:
    train = train.astype(float)
    return ((images - train.mean()) / train.std()).reshape(len(images), -1)


# MNIST, Fashion-MNIST, KMNIST


@pytest.mark.parametrize(
    ("load", "inner"),
    [(mnist, "MNIST/raw"), (fashion_mnist, "FashionMNIST/raw"), (kmnist, "KMNIST/raw"), (mnist, "raw")],
)
def test_the_folders_of_torchvision_are_found(tmp_path: Path, load, inner: str) -> None:
    (tmp_path / inner).mkdir(parents=True)
    arrays = write_mnist(tmp_path / inner)
    data = load(tmp_path, standardise="global")
    np.testing.assert_array_equal(data.targets, arrays["train-labels"])
    np.testing.assert_allclose(
        data.test_inputs, standardised(arrays["train-images"], arrays["t10k-images"]), atol=1e-6
    )


def test_one_set_is_not_taken_for_another(tmp_path: Path) -> None:
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    write_mnist(tmp_path / "MNIST/raw")
    with pytest.raises(FileNotFoundError, match="FashionMNIST/raw/train-images"):
        fashion_mnist(tmp_path)
    # images that lie here are not put together with labels that lie there
    for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
        (tmp_path / name).write_bytes((tmp_path / "MNIST/raw" / name).read_bytes())
    with pytest.raises(FileNotFoundError, match="train-labels"):
        mnist(tmp_path)


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "sets").mkdir()
    write_mnist(tmp_path / "sets")
    assert mnist("~/sets").size == mnist(Path("~/sets")).size == 30
    assert ss.data.read_idx("~/sets/t10k-labels-idx1-ubyte").shape == (7,)
    with refused(match=r"^directory must be a path, got '~nobody-of-this-name/x'"):
        mnist("~nobody-of-this-name/x")


def write_kmnist(folder: Path, save=np.savez_compressed) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 12), ("test", 5)):
        arrays[f"{part}-imgs"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{part}-labels"] = rng.integers(0, 10, count, dtype=np.uint8)
    for name, array in arrays.items():
        save(folder / f"kmnist-{name}.npz", array)
    return arrays


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_kmnist_is_read_from_npz(tmp_path: Path, save) -> None:
    arrays = write_kmnist(tmp_path, save)
    data = kmnist(tmp_path)
    assert data.name == "KMNIST" and data.classes == 10
    np.testing.assert_array_equal(data.targets, arrays["train-labels"])
    np.testing.assert_array_equal(data.test_targets, arrays["test-labels"])
    for inputs, images in ((data.inputs, "train-imgs"), (data.test_inputs, "test-imgs")):
        np.testing.assert_allclose(inputs, standardised(arrays["train-imgs"], arrays[images]), atol=1e-6)
    np.save(tmp_path / "order.npy", np.asfortranarray(arrays["train-imgs"]))
    with zipfile.ZipFile(tmp_path / "kmnist-train-imgs.npz", "w") as archive:
        archive.write(tmp_path / "order.npy", "arr_0.npy")
    np.testing.assert_array_equal(kmnist(tmp_path).inputs, data.inputs)


@pytest.mark.parametrize("dtype", ["u1", "<i8", ">i4"])
def test_labels_of_kmnist_may_be_wider_integers(tmp_path: Path, dtype: str) -> None:
    arrays = write_kmnist(tmp_path)
    path = tmp_path / "kmnist-train-labels.npz"
    np.savez(path, arrays["train-labels"].astype(dtype))
    np.testing.assert_array_equal(kmnist(tmp_path).targets, arrays["train-labels"])
    for wrong in (10, -1, 256):
        labels = arrays["train-labels"].astype(int)
        labels[7] = wrong
        np.savez(path, labels)
        with refused(match=rf"holds label {wrong} for example 7"):
            kmnist(tmp_path)


class Bomb:
    """Ends the process when it is unpickled."""

    def __reduce__(self):
        return (exit, ("unpickled",))


def npz(**arrays: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in arrays.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


GOOD = npy(np.zeros((12, 28, 28), np.uint8))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no .npz file, or is truncated"),
        (b"PK\3\4 and no end", "is no .npz file, or is truncated"),
        (npz(arr_0=GOOD)[:-30], "is no .npz file, or is truncated"),
        (npz(other=GOOD), r"must hold one array 'arr_0', got 'other.npy'"),
        (npz(), r"must hold one array 'arr_0', got nothing"),
        (npz(arr_0=npy(np.array([Bomb()], object))), r"of type '\|O'; only numbers are read, and objects"),
        (npz(arr_0=npy(np.zeros(3, [("a", "u1")]))), r"header that is not that of one array of numbers"),
        (npz(arr_0=GOOD.replace(b"(12, 28, 28)", b"(__import__)")), r"header that is not that of one array"),
        (npz(arr_0=npy(np.zeros((0, 28, 28), np.uint8))), r"of shape \(0, 28, 28\), which are none"),
        (npz(arr_0=GOOD.replace(b"'|u1'", b"'<<u1'").replace(b"}  ", b"} ", 1)), "of type '<<u1'"),
        (npz(arr_0=b"PK"), "holds no array in NumPy's format"),
        (npz(arr_0=GOOD[:-1]), "but ends after 9407 of them: it is truncated"),
        (npz(arr_0=GOOD + b"\0"), "but more bytes follow: it is corrupt"),
        (npz(arr_0=npy(np.zeros((12, 28, 28), np.float32))), r"uint8 images of shape .* got float32"),
        (npz(arr_0=npy(np.zeros((11, 28, 28), np.uint8))), r"holds 11 images, .* 12 labels"),
        (npz(arr_0=npy(np.zeros((12, 28, 28), np.uint8)))[:-60] + bytes(60), "is no .npz file|truncated"),
        (npz(arr_0=GOOD)[:40] + npz(arr_0=GOOD)[90:], "truncated or corrupt"),
        (npz(**{f"a{i}": b"" for i in range(2000)}), "zip file of more than a few arrays"),
    ],
)
def test_an_npz_that_is_none_is_refused_and_never_unpickled(
    tmp_path: Path, data: bytes, message: str
) -> None:
    write_kmnist(tmp_path)
    path = tmp_path / "kmnist-train-imgs.npz"
    path.write_bytes(data)
    with refused(match=message) as refusal:
        kmnist(tmp_path)
    assert str(path) in str(refusal.value)


# EMNIST


@pytest.mark.parametrize(
    ("split", "classes", "first"), [("letters", 26, 1), ("byclass", 62, 0), ("mnist", 10, 0)]
)
@pytest.mark.parametrize("inner", ["", "gzip", "EMNIST/raw"])
def test_images_of_emnist_stand_upright_and_classes_count_from_0(
    tmp_path: Path, split: str, classes: int, first: int, inner: str
) -> None:
    folder = tmp_path / inner
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 2 * classes), ("test", 3)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % classes + first).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            name = f"emnist-{split}-{part}-{kind}-ubyte.gz"
            (folder / name).write_bytes(gzip.compress(idx_bytes(array), compresslevel=1))
        if part == "train":
            train = images
    data = emnist(tmp_path, split, flat=False)
    assert data.classes == classes and data.name == f"EMNIST {split}"
    np.testing.assert_array_equal(data.targets, np.arange(2 * classes) % classes)
    expected = (train[5, 3, 20] - train.mean()) / train.std()
    np.testing.assert_allclose(data.inputs[5, 20, 3, 0], expected, atol=1e-5)


def test_emnist_names_its_splits_and_the_labels_of_each(tmp_path: Path) -> None:
    with refused(match=r"^split must be one of 'balanced', .* got 'digit'"):
        emnist(tmp_path, "digit")
    with pytest.raises(FileNotFoundError, match="emnist-letters-train-images-idx3-ubyte"):
        emnist(tmp_path, "letters")
    for part in ("train", "test"):
        stem = tmp_path / f"emnist-letters-{part}-"
        Path(f"{stem}images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((2, 28, 28), np.uint8)))
        Path(f"{stem}labels-idx1-ubyte").write_bytes(idx_bytes(np.array([26, 0], np.uint8)))
    with refused(match=r"holds label 0 for example 1 .* must lie in 1\.\.26"):
        emnist(tmp_path, "letters")


# CIFAR-100 and the Python version of either


def test_cifar_100_has_fine_and_coarse_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    records = {}
    for name, count in (("train", 6), ("test", 3)):
        batch = rng.integers(0, 256, (count, 2 + PIXELS), dtype=np.uint8)
        batch[:, 0] %= 20
        batch[:, 1] %= 100
        records[name] = batch
        (folder / f"{name}.bin").write_bytes(batch.tobytes())
    fine, coarse = cifar100(tmp_path, flat=False), cifar100(folder, "coarse", flat=False)
    assert (fine.classes, coarse.classes) == (100, 20)
    np.testing.assert_array_equal(fine.targets, records["train"][:, 1])
    np.testing.assert_array_equal(coarse.targets, records["train"][:, 0])
    np.testing.assert_array_equal(coarse.test_targets, records["test"][:, 0])
    np.testing.assert_array_equal(fine.inputs, coarse.inputs)
    pixels = records["train"][:, 2:]
    expected = (pixels[4, 1024 + 5 * 32 + 31] - pixels.mean()) / pixels.std()
    np.testing.assert_allclose(fine.inputs[4, 5, 31, 1], expected, atol=1e-5)
    with refused(match=r"^labels must be one of 'fine', 'coarse', got 'both'"):
        cifar100(tmp_path, "both")
    with pytest.raises(FileNotFoundError, match=r"train\.bin.*cifar-100-binary\.tar\.gz"):
        cifar100(tmp_path.parent)
    records["train"][3, 0] = 20
    (folder / "train.bin").write_bytes(records["train"].tobytes())
    with refused(match=r"holds label 20 for example 3 .* 0\.\.19"):
        cifar100(tmp_path, "coarse")


def text(value: bytes) -> bytes:
    return b"U" + bytes([len(value)]) + value


def python_batch(pixels: np.ndarray, **labels: np.ndarray) -> bytes:
    """A batch as Python 2 wrote it, instruction for instruction as the files that are given out."""
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07"
    array += b"K\x00\x85q\x08U\x01bq\x09\x87Rq\x0a"
    array += b"(K\x01M" + struct.pack("<H", len(pixels)) + b"M\x00\x0c\x86cnumpy\ndtype\nq\x0b"
    array += (
        b"U\x02u1q\x0cK\x00K\x01\x87Rq\x0d(K\x03U\x01|q\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
    )
    array += struct.pack("<I", pixels.size) + pixels.tobytes() + b"tb"
    entries = text(b"batch_label") + text(b"testing batch 1 of 1") + text(b"data") + array
    for name, values in labels.items():
        entries += (
            text(name.encode()) + b"]q\x0f(" + b"".join(b"K" + bytes([value]) for value in values) + b"e"
        )
    names = b"".join(text(b"a_%d.png" % i) for i in range(len(pixels)))
    return b"\x80\x02}q\x01(" + entries + text(b"filenames") + b"]q\x10(" + names + b"eu."


def python_files(folder: Path, per_batch: int = 4, protocol: int | None = None) -> dict[str, np.ndarray]:
    """The records of `write_cifar` in the Python version."""
    folder.mkdir(parents=True, exist_ok=True)
    records = write_cifar(folder, per_batch)
    for stem, batch in records.items():
        (folder / f"{stem}.bin").unlink()
        pixels, labels = batch[:, 1:], batch[:, 0]
        content = {b"data": np.ascontiguousarray(pixels), b"labels": labels.tolist()}
        data = python_batch(pixels, labels=labels) if protocol is None else pickle.dumps(content, protocol)
        (folder / stem).write_bytes(data)
    return records


@pytest.mark.parametrize("protocol", [None, 3, 4])
@pytest.mark.parametrize("inside", ["", "cifar-10-batches-py"])
def test_the_python_version_gives_the_same_data(tmp_path: Path, protocol: int | None, inside: str) -> None:
    records = python_files(tmp_path / "python" / inside, protocol=protocol)
    if protocol is None:
        # it is a pickle indeed
        content = pickle.loads((tmp_path / "python" / inside / "test_batch").read_bytes(), encoding="bytes")
        np.testing.assert_array_equal(content[b"data"], records["test_batch"][:, 1:])
    write_cifar(tmp_path / "binary")
    found, expected = cifar10(tmp_path / "python"), cifar10(tmp_path / "binary")
    for name in ("inputs", "targets", "test_inputs", "test_targets"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_the_python_version_of_cifar_100(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    (tmp_path / "cifar-100-python").mkdir()
    for name in ("train", "test"):
        pixels = rng.integers(0, 256, (3, PIXELS), dtype=np.uint8)
        data = python_batch(pixels, coarse_labels=[1, 2, 19], fine_labels=[0, 99, 5])
        (tmp_path / "cifar-100-python" / name).write_bytes(data)
    np.testing.assert_array_equal(cifar100(tmp_path).targets, [0, 99, 5])
    np.testing.assert_array_equal(cifar100(tmp_path, "coarse").test_targets, [1, 2, 19])


PICTURES = np.zeros((2, PIXELS), np.uint8)
BATCH = python_batch(PICTURES, labels=[1, 2])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cbuiltins\nexit\n(S'unpickled'\ntR.", r"it names b'builtins' b'exit'"),
        (pickle.dumps(Bomb()), r"it names b'_sitebuiltins' b'Quitter'|it names b'"),
        (pickle.dumps({b"data": np.array([Bomb()]), b"labels": [1]}, 4), r"it names b'"),
        (BATCH.replace(b"_reconstruct", b"frombuffer"), r"it names b'numpy.core.multiarray' b'frombuffer'"),
        (BATCH.replace(b"numpy\ndtype", b"numpy\nload"), r"it names b'numpy' b'load'"),
        (b"\x80\x02(i__main__\nBomb\n.", r"the instruction b'i' at byte 3"),
        (pickle.dumps({b"labels": [1]}), r"it holds no 'data' and 'labels'"),
        (pickle.dumps({b"data": [1], b"labels": [1]}), r"as it is given out\. It is a pickle"),
        (python_batch(PICTURES, labels=[1]), r"it has 1 labels and 6144 pixels"),
        (BATCH.replace(b"U\x02u1", b"U\x02O8"), r"its data are no unsigned bytes"),
        (BATCH[:-1], r"it is truncated"),
        (BATCH[:100], r"it is truncated"),
        (b"\x80\x02" + b"N" * 2000 + b".", r"more than 2000 instructions"),
        (b"\x80\x02r\xff\xff\xff\x7f.", r"is not a batch"),
        (b"\x80\x02T\xff\xff\xff\x7fabc.", r"it is truncated"),
        (b"\x80\x02]e.", r"is not a batch"),
        (b"", r"it is truncated"),
        # tuples that hold the one before twice: 2⁶⁰ entries to whoever writes them all out
        (b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"h\x00\x93.", r"it names "),
        (python_batch(PICTURES, labels=[1, 10]), r"holds label 10 for example 1"),
    ],
)
def test_a_pickle_that_is_no_batch_is_refused_and_nothing_in_it_runs(
    tmp_path: Path, data: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # enough for the batches here; a real one has more
    monkeypatch.setattr(_cifar_python, "_MAX_INSTRUCTIONS", 2000)
    python_files(tmp_path, 1)
    path = tmp_path / "data_batch_2"
    path.write_bytes(data)
    with refused(match=message) as refusal:
        cifar10(tmp_path)
    assert str(path) in str(refusal.value)
