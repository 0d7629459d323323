"""One array out of an `.npz` file: bounded memory, no pickle."""

import errno
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from sde_sgd.data import _files

# The end of a zip file: 22 bytes, then a comment; it says how long the list of what is inside is.
_END, _END_SIZE, _ZIP64 = b"PK\5\6", 22, b"PK\6\7"
_MAX_LIST = 2**16
_HEADER = re.compile(
    rb"\{'descr': '(?P<descr>[^']{1,16})', 'fortran_order': (?P<order>False|True), "
    rb"'shape': \((?P<shape>[\d, ]{0,200})\), *\} *\n"
)
# What `zipfile` raises where a file is damaged; OSError where it is sent to a place before the beginning.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    UnicodeDecodeError,
    OverflowError,
    OSError,
)
_DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "b1")


class Npy(_files.Declared):
    """An array of an `.npz` file of which the header is read, and nothing else yet.

    Args:
        stream: the array's own file, at its beginning, decompressed.
        path: to name in refusals.

    Raises:
        ValueError: if it does not begin as an array of numbers does.
    """

    def __init__(self, stream: io.BufferedIOBase, path: Path):
        super().__init__(stream, path)
        magic = _files.read_up_to(stream, 8)
        if magic[:6] != b"\x93NUMPY" or len(magic) < 8 or magic[6] not in (1, 2, 3):
            raise ValueError(f"{path} holds no array in NumPy's format. Get the file again.")
        width = 2 if magic[6] == 1 else 4
        length = int.from_bytes(_files.read_up_to(stream, width), "little")
        header = bytes(_files.read_up_to(stream, min(length, 1024)))
        found = _HEADER.fullmatch(header) if length == len(header) else None
        if found is None:
            raise ValueError(
                f"{path} holds an array with a header that is not that of one array of numbers: records, "
                f"pickled objects or damage. Pickles are never read. Get the file again."
            )
        descr = found["descr"].decode("latin-1")
        if descr[-2:] not in _DTYPES or descr[:-2] not in ("", "<", ">", "=", "|"):
            raise ValueError(
                f"{path} holds an array of type {descr!r}; only numbers are read, and objects, which are "
                f"pickled, never. Get the file again, or save its numbers with np.savez."
            )
        self.dtype = np.dtype(descr)
        self.shape = tuple(int(size) for size in found["shape"].replace(b" ", b"").split(b",") if size)
        if 0 in self.shape:
            raise ValueError(f"{path} declares entries of shape {self.shape}, which are none. Get it again.")
        self._order = "F" if found["order"] == b"True" else "C"

    def entries(self, limit: int) -> Shaped[np.ndarray, "..."]:
        """Read them."""
        flat = self.flat_entries(limit)
        result: Shaped[np.ndarray, ...] = flat.reshape(self.shape, order=self._order)  # type: ignore[call-overload]
        return result


@contextmanager
def opened_npz(path: Path, name: str = "arr_0") -> Iterator[Npy]:
    """The array of that name in an `.npz` file.

    Raises:
        ValueError: if the file is damaged or holds no such array of numbers.
    """
    again = "Get the file again."
    try:
        with path.open("rb") as raw:
            _check_list(raw, path)
            with zipfile.ZipFile(raw) as archive:
                names = archive.namelist()
                if names.count(f"{name}.npy") != 1:
                    held = ", ".join(repr(one) for one in names[:5])
                    raise ValueError(f"{path} must hold one array {name!r}, got {held or 'nothing'}. {again}")
                entry = archive.getinfo(f"{name}.npy")
                if entry.flag_bits & 1 or entry.compress_type not in (
                    zipfile.ZIP_STORED,
                    zipfile.ZIP_DEFLATED,
                ):
                    raise ValueError(f"{path} is encrypted, or compressed in another way than np.savez does.")
                with archive.open(entry) as stream:
                    yield Npy(stream, path)  # type: ignore[arg-type]
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise ValueError(f"{path} is an .npz file that is truncated or corrupt ({error}). {again}") from error


def _check_list(raw: io.BufferedReader, path: Path) -> None:
    """Refuse a zip file whose list of contents is long: `zipfile` would read all of it."""
    size = raw.seek(0, io.SEEK_END)
    raw.seek(max(0, size - _END_SIZE - 2**16 - 20))
    tail = raw.read()
    raw.seek(0)
    # as `zipfile` looks for it: at the very end, else the last one that is there
    place = len(tail) - _END_SIZE
    if tail[place : place + 4] != _END or tail[-2:] != b"\0\0":
        place = tail.rfind(_END)
    end = tail[place : place + _END_SIZE]
    if place < 0 or len(end) < _END_SIZE:
        raise ValueError(f"{path} is no .npz file, or is truncated. Get the file again.")
    length = int.from_bytes(end[12:16], "little")
    if length > _MAX_LIST or tail[max(place - 20, 0) : place].startswith(_ZIP64):
        raise ValueError(f"{path} is a zip file of more than a few arrays. Get the file again.")
