"""Small files of data sets, written as their makers write them."""

import gzip
import struct
from pathlib import Path

import numpy as np

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    code = CODES[array.dtype.str[1:]]
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def header(code: int, shape: tuple[int, ...]) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def images_and_labels(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return images, rng.integers(0, 10, count, dtype=np.uint8)


def write_mnist(
    directory: Path, dot: bool = False, compress: bool = False, train: int = 30, test: int = 7
) -> dict[str, np.ndarray]:
    """Write the four files; return their arrays by stem."""
    arrays = {}
    for seed, (part, count) in enumerate([("train", train), ("t10k", test)]):
        images, labels = images_and_labels(count, seed)
        for kind, array in (("images", images), ("labels", labels)):
            stem = f"{part}-{kind}"
            name = f"{stem}{'.' if dot else '-'}idx{array.ndim}-ubyte"
            data = idx_bytes(array)
            path = directory / (name + ".gz" if compress else name)
            path.write_bytes(gzip.compress(data) if compress else data)
            arrays[stem] = array
    return arrays


def write_cifar(directory: Path, per_batch: int = 4) -> dict[str, np.ndarray]:
    """Write the six batches; return their records by stem."""
    directory.mkdir(exist_ok=True)
    records = {}
    for seed, stem in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        rng = np.random.default_rng(seed)
        batch = rng.integers(0, 256, (per_batch, 3073), dtype=np.uint8)
        batch[:, 0] %= 10
        (directory / f"{stem}.bin").write_bytes(batch.tobytes())
        records[stem] = batch
    return records
