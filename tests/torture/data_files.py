"""Files of data sets, damaged at random: the same numbers, other numbers, or a documented refusal.

IDX and binary CIFAR files have no checksums: a changed pixel in them is another valid file. What is
compressed has, so there no changed number may be taken.
"""

import gzip
import pickle
import resource
import struct
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sde_sgd.data import cifar10, cifar100, kmnist, mnist, read_idx
from torture._row import Row

_SECONDS, _MEMORY = 2.0, 300 * 2**20
_MUTANTS = 12_000
_TWICE = "the file twice"


@dataclass
class _Kind:
    """A kind of file: whole ones in a folder, which of them is damaged, and how the set is read.

    Attributes:
        what: in words.
        write: puts the files into a folder.
        name: of the file that is damaged.
        read: reads the set from the folder.
        guarded: whether a checksum covers all numbers.
        share: of the mutants.
    """

    what: str
    write: Callable[[Path], None]
    name: str
    read: Callable[[Path], object]
    guarded: bool
    share: float


def rows(amount: float, seed: int) -> list[Row]:
    """Damage files of every kind; `amount` 1 is 12000 mutants."""
    found = []
    for number, kind in enumerate(_KINDS):
        rng = np.random.default_rng([seed, number])
        with tempfile.TemporaryDirectory() as folder:
            count = max(3, round(amount * _MUTANTS * kind.share))
            found.append(_row(kind, Path(folder), count, rng))
    return found


def _row(kind: _Kind, folder: Path, count: int, rng: np.random.Generator) -> Row:
    row = Row(f"{kind.what}, damaged")
    kind.write(folder)
    path = folder / kind.name
    whole = path.read_bytes()
    right = _numbers(kind.read(folder))
    for trial in range(count):
        how, data = _damaged(whole, rng)
        path.write_bytes(data)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        wrong = None
        try:
            outcome = "same numbers" if _numbers(kind.read(folder)) == right else "other numbers"
            # two gzip files in a row are one, of twice as many records
            if outcome == "other numbers" and kind.guarded and how != _TWICE:
                wrong = "a changed number was taken"
        except (ValueError, FileNotFoundError) as error:
            outcome = "refused"
            if type(error) not in (ValueError, FileNotFoundError):
                wrong = f"{type(error).__name__}: {error}"
            elif str(folder) not in str(error):
                wrong = f"the refusal names no file: {error}"
        except Exception as error:  # noqa: BLE001 - which errors there may be is the question
            outcome, wrong = "another error", f"{type(error).__name__}: {error}"
        seconds = time.process_time() - started
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        if seconds > _SECONDS:
            wrong = f"{seconds:.1f} s"
        elif grown > _MEMORY:
            wrong = f"{grown / 2**20:.0f} MiB"
        row.note(outcome, wrong and f"trial {trial}, {how}: {wrong}")
    return row


def _numbers(data: object) -> bytes:
    if isinstance(data, np.ndarray):
        return data.dtype.str.encode() + str(data.shape).encode() + data.tobytes()
    parts = (getattr(data, name) for name in ("inputs", "targets", "test_inputs", "test_targets"))
    return b"".join(np.asarray(part).tobytes() for part in parts)


def _damaged(whole: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """One of the ways to damage a file, mostly near its beginning or end, where its structure is."""
    data = bytearray(whole)
    near = int(rng.choice([16, 64, 512, len(whole)]))
    place = int(rng.integers(min(near, len(whole))))
    if rng.integers(2):
        place = len(whole) - 1 - place
    way = rng.integers(9)
    if way == 0:
        bit = int(rng.integers(8))
        data[place] ^= 1 << bit
        return f"bit {bit} of byte {place} flipped", bytes(data)
    if way == 1:
        data[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF]))
        return f"byte {place} set to {data[place]}", bytes(data)
    if way == 2:
        return f"cut at {place}", whole[:place]
    if way == 3:
        size = int(rng.integers(1, 64))
        return f"{size} bytes put in at {place}", whole[:place] + rng.bytes(size) + whole[place:]
    if way == 4:
        size = int(rng.integers(1, 64))
        return f"{size} bytes taken out at {place}", whole[:place] + whole[place + size :]
    if way == 5:
        value = int(rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, int(rng.integers(2**32))]))
        order = rng.choice(["<I", ">I"])
        data[place : place + 4] = struct.pack(order, value)
        return f"{order} {value} at {place}", bytes(data)
    if way == 6:
        size = int(rng.choice([1, 100, 2**16, 2**21]))
        tail = bytes(size) if rng.integers(2) else rng.bytes(size)
        return f"{size} bytes behind, {'zeros' if not any(tail[:9]) else 'random'}", whole + tail
    if way == 7:
        return _TWICE, whole + whole
    other = int(rng.integers(len(whole)))
    size = int(rng.integers(1, 256))
    data[place : place + size] = whole[other : other + size]
    return f"{size} bytes from {other} at {place}", bytes(data)


def _idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def _pictures(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), rng.integers(0, 10, count, dtype=np.uint8)


def _write_idx(folder: Path) -> None:
    (folder / "file").write_bytes(_idx(np.arange(60, dtype=np.uint8).reshape(3, 4, 5)))


def _write_mnist(folder: Path, *, compressed: bool) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("t10k", 3)):
        images, labels = _pictures(rng, count)
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            data = gzip.compress(_idx(array), mtime=0) if compressed else _idx(array)
            (folder / name).write_bytes(data)


def _write_kmnist(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 3)):
        for name, array in zip(("imgs", "labels"), _pictures(rng, count), strict=True):
            np.savez_compressed(folder / f"kmnist-{part}-{name}.npz", array)


def _write_cifar(folder: Path, *, compressed: bool = False) -> None:
    rng = np.random.default_rng(0)
    for stem in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        records = rng.integers(0, 256, (2, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        data = records.tobytes()
        (folder / f"{stem}.bin").write_bytes(gzip.compress(data, mtime=0) if compressed else data)


def _write_cifar_python(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for stem in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        content = {b"data": rng.integers(0, 256, (2, 3072), dtype=np.uint8), b"labels": [3, 9]}
        (folder / stem).write_bytes(pickle.dumps(content, 3))


def _write_cifar_100(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        records = rng.integers(0, 256, (2, 3074), dtype=np.uint8)
        records[:, 0] %= 20
        records[:, 1] %= 100
        (folder / f"{name}.bin").write_bytes(records.tobytes())


_KINDS = [
    _Kind("IDX", _write_idx, "file", lambda folder: read_idx(folder / "file"), False, 0.25),
    _Kind(
        "MNIST, images",
        lambda folder: _write_mnist(folder, compressed=False),
        "train-images-idx3-ubyte",
        mnist,
        False,
        0.1,
    ),
    _Kind(
        "MNIST, labels, gzip",
        lambda folder: _write_mnist(folder, compressed=True),
        "train-labels-idx1-ubyte",
        mnist,
        True,
        0.1,
    ),
    _Kind(
        "MNIST, images, gzip",
        lambda folder: _write_mnist(folder, compressed=True),
        "train-images-idx3-ubyte",
        mnist,
        True,
        0.1,
    ),
    _Kind("KMNIST, images, npz", _write_kmnist, "kmnist-train-imgs.npz", kmnist, True, 0.15),
    _Kind("CIFAR-10", _write_cifar, "data_batch_2.bin", cifar10, False, 0.05),
    _Kind(
        "CIFAR-10, gzip",
        lambda folder: _write_cifar(folder, compressed=True),
        "data_batch_2.bin",
        cifar10,
        True,
        0.1,
    ),
    _Kind("CIFAR-10, Python version", _write_cifar_python, "data_batch_2", cifar10, False, 0.1),
    _Kind("CIFAR-100", _write_cifar_100, "train.bin", cifar100, False, 0.05),
]
