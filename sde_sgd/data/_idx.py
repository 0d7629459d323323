"""IDX files, the format of MNIST and its like."""

import io
import sys
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from sde_sgd import _checks
from sde_sgd._types import FilePath
from sde_sgd.data import _files

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
_MAX_DIMENSIONS = 32


def read_idx(path: FilePath, *, max_bytes: int = _files.MAX_BYTES) -> Shaped[np.ndarray, "..."]:
    """Read one IDX file, plain or gzip, into a NumPy array of native byte order.

    An IDX file is two zero bytes, one byte for the type (0x08 unsigned and 0x09 signed byte, 0x0B
    short, 0x0C int, 0x0D float, 0x0E double), one for the number of dimensions, their sizes as
    32-bit integers and then the entries in C order, all big-endian. No more is read, or
    decompressed, than the header declares and one buffer to see that nothing follows; gzip data
    out of which nothing comes are refused after 64 KiB; nothing is unpickled.

    Args:
        path: the file; gzip is told by its content.
        max_bytes: largest size of the entries in bytes, decompressed.

    Returns:
        A writable array of the declared shape: uint8, int8, int16, int32, float32 or float64.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a file, not IDX, empty, truncated, corrupt or too large, if a
            dimension is zero, or if bytes follow the declared ones.

    Source: the file format section of LeCun, Cortes and Burges, *The MNIST database*.
    """
    file = _checks.path("path", path)
    limit = _checks.integer("max_bytes", max_bytes, at_least=1)
    with _files.opened(file) as stream:
        return Idx(stream, file).entries(limit)


class Idx(_files.Declared):
    """An IDX file of which the header is read, and nothing else yet.

    Args:
        stream: the file, at its beginning, decompressed.
        path: to name in refusals.

    Raises:
        ValueError: if it does not begin as an IDX file does.
    """

    def __init__(self, stream: io.BufferedIOBase, path: Path):
        super().__init__(stream, path)
        self.dtype, self.shape = _read_header(stream, path)

    def entries(self, limit: int) -> Shaped[np.ndarray, "..."]:
        """Read them."""
        array = self.flat_entries(limit).reshape(self.shape)
        return array.byteswap(inplace=True) if sys.byteorder == "little" else array


def _read_header(stream: io.BufferedIOBase, path: Path) -> tuple[np.dtype, tuple[int, ...]]:
    magic = _files.read_up_to(stream, 4)
    expected = "an IDX file starts with 00 00, a type in 08, 09, 0b..0e and a number of dimensions"
    if not magic:
        raise ValueError(f"{path} is empty; {expected}. Get the file again.")
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES:
        raise ValueError(
            f"{path} starts with bytes {magic.hex(' ')}; {expected} (images 00 00 08 03, labels "
            f"00 00 08 01). Check that it is the right file, or get it again."
        )
    if not 1 <= magic[3] <= _MAX_DIMENSIONS:
        raise ValueError(
            f"{path} declares {magic[3]} dimensions; 1..{_MAX_DIMENSIONS} can be read. Check that "
            f"it is the right file, or get it again."
        )
    sizes = _files.read_up_to(stream, 4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise ValueError(
            f"{path} ends after {len(sizes)} of the {4 * magic[3]} bytes that hold its "
            f"{magic[3]} dimensions: it is truncated. Get it again."
        )
    shape = tuple(int(size) for size in np.frombuffer(sizes, dtype=">u4"))
    if 0 in shape:
        raise ValueError(
            f"{path} declares shape {shape}, which holds nothing; every dimension must be >= 1. "
            f"Get the file again."
        )
    return np.dtype(_DTYPES[magic[2]]), shape
