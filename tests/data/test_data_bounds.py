"""No file takes more time or memory than what its header or its records can rightly ask for.

Times are of the processor, and a tenth of them would do: a slow machine is no fault.
"""

import contextlib
import gzip
import io
import re
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_set_files import header, idx_bytes, write_cifar, write_mnist

from sde_sgd.data import cifar10, mnist, read_idx
from sde_sgd.data._gzip import Gunzip, GzipError

MIB = 2**20
SMALL = header(8, (3,)) + b"abc"
EMPTY = gzip.compress(b"", mtime=0)
ENDLESS_NAME = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03" + b"A" * (30 * MIB)


def bounded(call, error=ValueError, seconds=0.5, memory=4 * MIB) -> str:
    """What `call` is refused with, in little time and memory."""
    started = time.process_time()
    with pytest.raises(error) as refusal:
        call()
    assert time.process_time() - started < seconds
    tracemalloc.start()
    try:
        with pytest.raises(error):
            call()
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    return str(refusal.value)


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(SMALL) + bytes(30 * MIB),
        ENDLESS_NAME,
        EMPTY * (10 * MIB // len(EMPTY)),
        gzip.compress(SMALL) + EMPTY * (10 * MIB // len(EMPTY)),
        b"".join(gzip.compress(SMALL[i : i + 1], mtime=0) for i in range(len(SMALL))) + ENDLESS_NAME,
        # blocks of deflate that hold nothing, one after the other
        gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * (4 * MIB),
    ],
    ids=["zeros", "name", "empty", "empty behind", "name behind", "blocks"],
)
def test_bytes_that_nothing_comes_out_of_are_refused_soon(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert str(path) in bounded(lambda: read_idx(path))


def test_gzip_files_may_be_made_of_several_and_padded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, 300_000, dtype=np.uint8)
    data = idx_bytes(array)
    blocks = [gzip.compress(data[i : i + 2**16], mtime=0) for i in range(0, len(data), 2**16)]
    tiny = [gzip.compress(data[i : i + 1], mtime=0) for i in range(50)] + [gzip.compress(data[50:], mtime=0)]
    path = tmp_path / "file"
    for content in (
        b"".join(blocks) + EMPTY,
        bytes(0).join(tiny),
        gzip.compress(data) + bytes(512),
        gzip.compress(data[:99], mtime=0) + bytes(3) + gzip.compress(data[99:], mtime=0),
        gzip.compress(data, compresslevel=0),
    ):
        path.write_bytes(content)
        np.testing.assert_array_equal(read_idx(path), array)


@pytest.mark.parametrize("wanted", [1, 7, 100, 2**16, 2**20])
def test_what_comes_out_is_what_went_in_however_it_is_asked_for(wanted: int) -> None:
    rng = np.random.default_rng(wanted)
    parts = [rng.integers(0, 256, size, dtype=np.uint8).tobytes() for size in (1, 300, 5000)]
    data = parts[0] + bytes(3000 if wanted < 100 else 3_000_000) + parts[1] * 3 + parts[2]
    stream = Gunzip(io.BytesIO(gzip.compress(data)))
    pieces = list(iter(lambda: stream.read(wanted), b""))
    assert b"".join(pieces) == data and max(map(len, pieces)) <= wanted


@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_file_cut_anywhere_or_with_a_wrong_bit_is_refused(level: int) -> None:
    data = bytes(range(256)) * 2
    whole = gzip.compress(data, compresslevel=level, mtime=0)
    for cut in range(len(whole)):
        with pytest.raises(GzipError):
            Gunzip(io.BytesIO(whole[:cut])).readall()
    rng = np.random.default_rng(0)
    for place in rng.integers(10, len(whole), 50):
        wrong = bytearray(whole)
        wrong[place] ^= 1 << rng.integers(8)
        with contextlib.suppress(GzipError):
            assert Gunzip(io.BytesIO(bytes(wrong))).readall() == data


def zeros(begin: bytes, count: int) -> bytes:
    """A gzip file of `begin` and so many zeros, without having them in memory."""
    deflate = zlib.compressobj(1, wbits=31)
    parts = [deflate.compress(begin)]
    parts += [deflate.compress(bytes(MIB)) for _ in range(count // MIB)]
    return b"".join([*parts, deflate.compress(bytes(count % MIB)), deflate.flush()])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((60_000, 28, 29), "must hold uint8 images of shape"),
        ((60_000, 784), "must hold uint8 images of shape"),
        ((60_000, 28, 28), "holds 60000 images, but .* holds 30 labels"),
        ((2**21, 28, 28), "images, but .* holds 30 labels"),
    ],
)
def test_what_the_header_of_images_rules_out_is_not_decompressed(
    tmp_path: Path, shape: tuple[int, ...], message: str
) -> None:
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(zeros(header(8, shape), 64 * MIB))
    refusal = bounded(lambda: mnist(tmp_path), seconds=0.3)
    assert re.search(message, refusal) and str(path) in refusal


def test_more_images_than_the_set_has_are_refused_by_the_header(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    count = 2 * 2**20
    (tmp_path / "train-images-idx3-ubyte").write_bytes(zeros(header(8, (count, 28, 28)), MIB))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(zeros(header(8, (count,)), count))
    assert "more than max_bytes = 67108864" in bounded(lambda: mnist(tmp_path))


def test_a_batch_of_cifar_has_no_more_records_than_a_real_one(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    for number in range(1, 6):
        (tmp_path / f"data_batch_{number}.bin").write_bytes(zeros(b"", 20_000 * 3073))
    told = bounded(lambda: cifar10(tmp_path), memory=100 * MIB)
    assert "more than max_bytes = 33554432 bytes" in told


def test_a_label_that_cannot_be_is_found_before_the_images_are_read(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    count = 50_000
    (tmp_path / "train-images-idx3-ubyte").write_bytes(zeros(header(8, (count, 28, 28)), count * 784))
    labels = struct.pack("B", 11) + bytes(count - 1)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(header(8, (count,)) + labels)
    assert "holds label 11 for example 0" in bounded(lambda: mnist(tmp_path))
